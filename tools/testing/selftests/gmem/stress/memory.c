// SPDX-License-Identifier: GPL-2.0
/* The regions of a process, their shadows, and whether both agree. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "stress.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

struct worker me;
struct stress *all;
char *common_memory;

uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t rnd(void)
{
	return mix(me.rng++);
}

bool coin(void)
{
	return rnd() & 1;
}

static void *plain_alloc(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("no memory for a shadow");
	return p;
}

/* Two reservations: one aligned to a block, one 64 KiB beside that. */
static void places_make(struct region *region, size_t len)
{
	int i;

	region->len = len;
	for (i = 0; i < 2; i++) {
		char *p = mmap(NULL, len + 2 * BLOCK, PROT_NONE, MAP_PRIVATE |
			       MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			die("no addresses");
		p = (char *)(((uintptr_t)p + BLOCK - 1) & -BLOCK);
		region->places[i] = p + i * 64 * KiB;
	}
	region->at = region->places[0];
}

static void region_make(int nr, size_t len, int flags, int fd)
{
	struct region *region = &me.regions[nr];

	places_make(region, len);
	if (mmap(region->at, len, PROT_READ | PROT_WRITE, MAP_FIXED |
		 MAP_PEER_SHARED | flags, fd, 0) == MAP_FAILED)
		die("mmap of region %d: %s", nr, strerror(errno));
	region->shadow = plain_alloc(len);
}

void memory_make(void)
{
	int fd = memfd_create("gmem_stress", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 256 * KiB))
		die("memfd: %s", strerror(errno));
	region_make(HUGE_A, BLOCK, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	region_make(HUGE_B, BLOCK, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	region_make(SMALL, 512 * KiB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	region_make(SHARED_FILE, 256 * KiB, MAP_SHARED, fd);
	close(fd);
	madvise(me.regions[SMALL].at, 512 * KiB, MADV_NOHUGEPAGE);
	me.regions[COMMON] = (struct region){
		.at = common_memory, .shadow = all->common, .len = COMMON_LEN,
	};
	me.scratch = buf_alloc(SCRATCH_LEN);
	me.plain = plain_alloc(SCRATCH_LEN);
}

void npus_open(void)
{
	int i;

	for (i = 0; i < NPUS; i++) {
		me.npu[i] = npu_try_open(i);
		if (me.npu[i] >= 0)
			me.hnid[i] = npu_info(me.npu[i]).hnid;
		else if (!(all->gone & 1 << i))
			wrong(NULL, "cannot open NPU %d: %s", i,
			      strerror(-me.npu[i]));
	}
}

void npus_close(void)
{
	int i;

	for (i = 0; i < NPUS; i++)
		if (me.npu[i] >= 0)
			close(me.npu[i]);
}

/* The part of a region that this process may write. */
static void bounds(int region, size_t *start, size_t *len)
{
	*start = 0;
	*len = me.regions[region].len;
	if (region == COMMON) {
		*len = COMMON_LEN / all->workers & -page_size();
		*start = (me.index + all->round) % all->workers * *len;
	}
}

static size_t draw_len(size_t max, bool pages)
{
	size_t page = page_size(), len;

	switch (rnd() % 8) {
	case 0 ... 2:
		len = (rnd() % 4 + 1) * page;
		break;
	case 3 ... 4:
		len = (rnd() % 64 + 1) * page;
		break;
	case 5:
		len = 16 * page;
		break;
	case 6:
		len = (rnd() % (max / page) + 1) * page;
		break;
	default:
		len = max;
	}
	if (!pages && rnd() % 2)
		len = rnd() % len + 1;
	return len < max ? len : max;
}

static struct range range_in(int region, size_t len, bool pages)
{
	size_t start, max, off;

	bounds(region, &start, &max);
	len = len < max ? len : max;
	off = len < max ? rnd() % (max - len + 1) : 0;
	if (pages || rnd() % 2)
		off &= -page_size();
	return (struct range){ .region = region, .off = start + off, .len = len };
}

struct range draw_range(unsigned int where, bool pages)
{
	size_t start, max;
	int region;

	do
		region = rnd() % REGIONS;
	while (!(where & 1 << region));
	bounds(region, &start, &max);
	return range_in(region, draw_len(max, pages), pages);
}

struct range draw_other(const struct range *r)
{
	int region = (r->region + 1 + rnd() % SHARED_FILE) % (SHARED_FILE + 1);

	return range_in(region, r->len, !(r->off % page_size() ||
					  r->len % page_size()));
}

/* Tells who wrote it when, and where it belongs. */
static uint64_t word(int region, size_t off)
{
	return (uint64_t)(me.index << 4 | me.generation) << 56 |
	       (uint64_t)(region + 1) << 52 | (uint64_t)me.step << 20 | off / 8;
}

void pattern(const struct range *r)
{
	char *base = me.regions[r->region].shadow;
	size_t off = r->off, end = r->off + r->len;

	while (off < end) {
		uint64_t w = word(r->region, off);
		size_t n = 8 - off % 8;

		n = n < end - off ? n : end - off;
		memcpy(base + off, (char *)&w + off % 8, n);
		off += n;
	}
}

void write_shadow(const struct range *r)
{
	memcpy(addr(r), shadow(r), r->len);
}

static void compare(const struct range *r, const char *seen, const char *who)
{
	const char *want = shadow(r);
	struct range at = *r;
	size_t i, bad = 0, first = 0;
	uint64_t got = 0;

	if (!memcmp(seen, want, r->len))
		return;
	for (i = 0; i < r->len; i++) {
		if (seen[i] != want[i] && !bad++)
			first = i;
	}
	memcpy(&got, seen + first, r->len - first < 8 ? r->len - first : 8);
	at.off += first;
	at.len = r->len - first < 8 ? r->len - first : 8;
	wrong(&at, "%s sees %#llx there; %zu of %zu bytes are wrong", who,
	      (unsigned long long)got, bad, r->len);
}

void check_cpu(const struct range *r)
{
	compare(r, addr(r), "the CPU");
}

void check_npu(const struct range *r, int npu)
{
	struct npu_cmd c = cmd_copy(me.scratch, addr(r), r->len);

	if (job(npu, &c, 1))
		check_cpu(r);
	else
		compare(r, me.scratch, npu ? "NPU 1" : "NPU 0");
}

void check(const struct range *r)
{
	switch (rnd() % 4) {
	case 0 ... 1:
		check_cpu(r);
		break;
	case 2:
		check_npu(r, 0);
		break;
	default:
		check_npu(r, 1);
	}
}

static void check_regions(int end)
{
	int i;

	for (i = 0; i < end; i++) {
		struct range r = { .region = i, .len = me.regions[i].len };

		check(&r);
	}
}

void check_all(void)
{
	check_regions(REGIONS);
}

void check_private(void)
{
	check_regions(SHARED_FILE);
}

uint64_t digest_all(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < REGIONS; i++) {
		const uint64_t *p = (uint64_t *)me.regions[i].shadow;
		size_t n;

		for (n = 0; n < me.regions[i].len / 8; n++)
			sum = (sum ^ p[n]) * 0x100000001b3ULL;
	}
	return sum;
}

/* Errors for which the run itself may be the reason. */
static bool may_refuse(int npu, int err)
{
	return (err == -ENODEV && all->gone & 1 << npu) || err == -ENOMEM;
}

static int judged(int npu, int err)
{
	all->of[me.index].jobs++;
	if (!err)
		return 0;
	if (!may_refuse(npu, err)) {
		/* What each task waits for, into the kernel's log. */
		if (err == -ETIME)
			file_write("/proc/sysrq-trigger", "t");
		wrong(NULL, "a job of NPU %d: %s", npu, strerror(-err));
	}
	all->of[me.index].refused++;
	return err;
}

int job(int npu, const struct npu_cmd *cmds, unsigned int nr)
{
	uint64_t id = 0;
	int err;

	if (me.npu[npu] < 0)
		return -ENODEV;
	err = npu_submit(me.npu[npu], cmds, nr, -1, &id);
	return err ? judged(npu, err) : job_end(npu, id);
}

int job_result(int npu, uint64_t id)
{
	struct npu_wait result;
	int err;

	/* Work of io_uring interrupts it. */
	do
		err = npu_wait(me.npu[npu], id, scaled(60000, 240000), &result);
	while (err == -EINTR);
	return err ?: result.status;
}

int job_end(int npu, uint64_t id)
{
	if (!id)
		return judged(npu, all->gone & 1 << npu ? -ENODEV : -EAGAIN);
	return judged(npu, job_result(npu, id));
}

int draw_node(void)
{
	uint64_t r = rnd() % (NPUS + 1);

	return r < NPUS ? me.hnid[r] : HOME;
}

int keep(char *at, size_t len, unsigned int what)
{
	switch (what % 8) {
	case 0 ... 1:
		return hmadvise(me.hnid[0], at, len, MADV_PREFETCH);
	case 2 ... 3:
		return hmadvise(me.hnid[1], at, len, MADV_PREFETCH);
	case 4:
		return to_home(at, len);
	case 5:
		return madvise(at, len, MADV_PAGEOUT) ? -errno : 0;
	case 6:
		return madvise(at, len, MADV_COLD) ? -errno : 0;
	default:
		return madvise(at, len, MADV_COLLAPSE) ? -errno : 0;
	}
}

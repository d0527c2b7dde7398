// SPDX-License-Identifier: GPL-2.0
/* Advice, policies and userfaultfd. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "stress.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC	(1 << 15)
#endif

/* Advice that changes no byte. */
static int advice(struct range *r)
{
	static const int list[] = {
		MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, MADV_MERGEABLE, MADV_UNMERGEABLE,
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTDUMP,
		MADV_DODUMP,
	};
	int what = list[rnd() % (sizeof(list) / sizeof(*list))];

	note(what);
	return madvise(addr(r), r->len, what) ? -errno : 0;
}

static int hadvice(struct range *r)
{
	static const int list[] = {
		MADV_PREFETCH, MADV_PREFETCH, MADV_PREFETCH, MADV_PINNED,
		MADV_UNPINNED, MADV_UNPINNED, MADV_PREFERRED_NODE,
		MADV_NO_PREFERRED_NODE, MADV_READ_MOSTLY, MADV_READ_MOSTLY,
		MADV_NO_READ_MOSTLY, MADV_ACCESSED_BY, MADV_NO_ACCESSED_BY,
		MADV_NO_ACCESSED_BY,
	};
	int what = list[rnd() % (sizeof(list) / sizeof(*list))];
	int which = rnd() % (NPUS + 2);

	note(what);
	note(which);
	return hmadvise(which < NPUS ? me.hnid[which] : which == NPUS ? HOME : -1,
			addr(r), r->len, what);
}

/* Zeroes are in its place. */
static int drop(struct range *r)
{
	bool mine = coin();

	note(mine);
	if (mine ? hmadvise(-1, addr(r), r->len, MADV_DONTNEED) :
	    madvise(addr(r), r->len, MADV_DONTNEED))
		wrong(r, "MADV_DONTNEED: %s", strerror(errno));
	memset(shadow(r), 0, r->len);
	return 0;
}

/* Shared memory has a file, which keeps its bytes, or which gets a hole. */
static int drop_shared(struct range *r)
{
	bool hole = coin();

	note(hole);
	if (madvise(addr(r), r->len, hole ? MADV_REMOVE : MADV_DONTNEED))
		return -errno;
	if (hole)
		memset(shadow(r), 0, r->len);
	return 0;
}

/* What was freed may be there or not until somebody writes. */
static int lazy_free(struct range *r)
{
	int npu = coin(), byte = rnd() & 0xff, by_npu = coin(), err;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);

	note(npu | by_npu << 1);
	note(byte);
	err = madvise(addr(r), r->len, MADV_FREE) ? -errno : 0;
	memset(shadow(r), byte, r->len);
	if (!by_npu || job(npu, &c, 1))
		write_shadow(r);
	return err;
}

/* The same bytes in all pages, to be merged. */
static int merge(struct range *r)
{
	int npu = coin(), byte = rnd() & 3, err;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);

	note(npu);
	note(byte);
	memset(shadow(r), byte, r->len);
	err = madvise(addr(r), r->len, MADV_MERGEABLE) ? -errno : 0;
	if (job(npu, &c, 1))
		write_shadow(r);
	return err;
}

static int locked(struct range *r)
{
	int npu = coin(), byte = rnd() & 0xff, err;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);

	note(npu);
	note(byte);
	err = mlock(addr(r), r->len) ? -errno : 0;
	memset(shadow(r), byte, r->len);
	if (job(npu, &c, 1))
		write_shadow(r);
	check_cpu(r);
	munlock(addr(r), r->len);
	return err;
}

static unsigned long draw_nodes(void)
{
	unsigned long nodes = 0;
	int i, which = rnd() % (1 << (NPUS + 1));

	note(which);
	for (i = 0; i < NPUS; i++)
		if (which & 1 << i)
			nodes |= 1UL << me.hnid[i];
	return which & 1 << NPUS || !nodes ? nodes | 1UL << HOME : nodes;
}

static int policy(struct range *r)
{
	static const int modes[] = {
		MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE, MPOL_DEFAULT,
	};
	int mode = modes[rnd() % 4];
	unsigned long nodes = draw_nodes();

	note(mode);
	return syscall(__NR_mbind, addr(r), r->len, mode,
		       mode == MPOL_DEFAULT ? NULL : &nodes, 64,
		       coin() ? MPOL_MF_MOVE : 0) < 0 ? -errno : 0;
}

static int migrate(struct range *r)
{
	unsigned long from = draw_nodes(), to = draw_nodes();

	return syscall(__NR_migrate_pages, 0, 64, &from, &to) < 0 ? -errno : 0;
}

#define MOVED	32
static int move(struct range *r)
{
	int nodes[MOVED], status[MOVED], nr, i;
	void *pages[MOVED];

	for (nr = 0; nr < MOVED && nr * page_size() < r->len; nr++) {
		pages[nr] = addr(r) + nr * page_size();
		nodes[nr] = draw_node();
	}
	for (i = nr; i < MOVED; i++)
		rnd();
	return syscall(__NR_move_pages, 0, nr, pages, nodes, status,
		       MPOL_MF_MOVE) < 0 ? -errno : 0;
}

static int uffd_make(const struct range *r, uint64_t features, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr(r), r->len }, .mode = mode,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd >= 0 && (ioctl(fd, UFFDIO_API, &api) ||
			ioctl(fd, UFFDIO_REGISTER, &reg))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Pages that only userfaultfd may supply: by a copy of others, or by moving them. */
static int uffd_supply(struct range *r)
{
	struct range src = draw_other(r);
	bool move = coin() && src.region != SHARED_FILE;
	int npu = coin(), fd, err = 0;
	size_t done = 0, len;

	note(src.region);
	note(npu | move << 1);
	r->len = src.len;
	fd = uffd_make(r, move ? UFFD_FEATURE_MOVE : 0,
		       UFFDIO_REGISTER_MODE_MISSING);
	if (fd < 0)
		return -errno;
	if (madvise(addr(r), r->len, MADV_DONTNEED))
		wrong(r, "MADV_DONTNEED: %s", strerror(errno));
	if (me.npu[npu] >= 0 && !npu_run1(me.npu[npu], cmd_read(addr(r), 1)))
		wrong(r, "NPU %d reads what userfaultfd has yet to supply", npu);
	while (move && done < r->len) {
		struct uffdio_move m = {
			.dst = (uintptr_t)addr(r) + done, .len = r->len - done,
			.src = (uintptr_t)addr(&src) + done,
			.mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
		};

		if (ioctl(fd, UFFDIO_MOVE, &m) && errno != EAGAIN) {
			err = -errno;
			break;
		}
		done += m.move > 0 ? m.move : 0;
	}
	/* What did not move is copied, by the page where one call would meet several VMAs. */
	memcpy(shadow(r), shadow(&src), r->len);
	memset(shadow(&src), 0, done);
	len = r->len - done;
	while (done < r->len) {
		struct uffdio_copy c = {
			.dst = (uintptr_t)addr(r) + done, .len = len,
			.src = (uintptr_t)shadow(r) + done,
		};

		if (ioctl(fd, UFFDIO_COPY, &c) && errno != EAGAIN) {
			if (errno != ENOENT || len == page_size())
				wrong(r, "UFFDIO_COPY: %s", strerror(errno));
			len = page_size();
		}
		done += c.copy > 0 ? c.copy : 0;
	}
	close(fd);
	/* The same whether it moved or not. */
	memset(shadow(&src), 0, r->len);
	write_shadow(&src);
	return err;
}

static int uffd_protect(struct range *r)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)addr(r), r->len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int npu = coin(), byte = rnd() & 0xff, err = 0, fd;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len / 2);
	struct range half = *r;

	note(npu);
	note(byte);
	fd = uffd_make(r, UFFD_FEATURE_WP_ASYNC, UFFDIO_REGISTER_MODE_WP);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		err = -errno;
	half.len /= 2;
	memset(shadow(r), byte, half.len);
	if (job(npu, &c, 1))
		write_shadow(&half);
	check(r);
	close(fd);
	return err;
}

const struct op mm_ops[] = {
	{ "advice", advice, 10, ANYWHERE, true },
	{ "hadvice", hadvice, 14, ANYWHERE, true },
	{ "drop", drop, 4, PRIVATE, true },
	{ "drop_shared", drop_shared, 2, 1 << SHARED_FILE | 1 << COMMON, true },
	{ "lazy_free", lazy_free, 3, PRIVATE, true },
	{ "merge", merge, 3, PRIVATE, true },
	{ "mlock", locked, 2, ANYWHERE, true },
	{ "policy", policy, 3, ANYWHERE, true },
	{ "migrate", migrate, 2, ANYWHERE, true },
	{ "move_pages", move, 3, ANYWHERE, true },
	{ "uffd_supply", uffd_supply, 3, PRIVATE, true },
	{ "uffd_protect", uffd_protect, 2, PRIVATE, true },
	{ }
};

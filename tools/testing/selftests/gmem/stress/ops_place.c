// SPDX-License-Identifier: GPL-2.0
/* Where memory is, and who may use it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "stress.h"

static void reserve(char *at, size_t len)
{
	if (mmap(at, len, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE, -1, 0) == MAP_FAILED)
		wrong(NULL, "cannot reserve addresses: %s", strerror(errno));
}

static char *other_place(const struct region *region)
{
	return region->places[region->at == region->places[0]];
}

/*
 * Several mappings may have to move. When a signal comes - work of io_uring is one -
 * while pages that KSM merged are taken apart for that, the kernel begins again, does
 * not find what has moved already, and says EFAULT.
 */
static bool moves(char *from, char *to, size_t len)
{
	size_t done = 0, before;
	unsigned char core;

	while (mremap(from + done, len - done, len - done,
		      MREMAP_MAYMOVE | MREMAP_FIXED, to + done) != to + done) {
		if (errno != EFAULT)
			return false;
		before = done;
		while (done < len && mincore(from + done, page_size(), (void *)&core))
			done += page_size();
		if (done == before || done == len) {
			errno = EFAULT;
			return false;
		}
	}
	return true;
}

/* The whole region goes to its other place. */
static int mremap_all(struct range *r)
{
	struct region *region = &me.regions[r->region];
	char *from = region->at, *to = other_place(region);

	r->off = 0;
	r->len = region->len;
	if (!moves(from, to, region->len))
		wrong(r, "mremap: %s", strerror(errno));
	reserve(from, region->len);
	region->at = to;
	return 0;
}

/* A part goes elsewhere, is used there, and returns. */
static int mremap_part(struct range *r)
{
	struct region *region = &me.regions[r->region];
	char *from = addr(r), *to = other_place(region) + rnd() %
		(region->len - r->len + 1) / page_size() * page_size();
	int npu = coin(), byte = rnd() & 0xff, err;
	struct npu_cmd c = cmd_fill(to, byte, r->len);

	note(npu);
	note(byte);
	if (!moves(from, to, r->len))
		wrong(r, "mremap of a part: %s", strerror(errno));
	memset(shadow(r), byte, r->len);
	err = job(npu, &c, 1);
	if (err)
		memcpy(to, shadow(r), r->len);
	if (!moves(to, from, r->len))
		wrong(r, "mremap back: %s", strerror(errno));
	reserve(to, r->len);
	return err;
}

/* The old place stays mapped and is empty; private memory only. */
static int mremap_copy(struct range *r)
{
	char *from = addr(r), *to = other_place(&me.regions[r->region]) + r->off;
	int npu = coin(), byte = rnd() & 0xff;
	struct npu_cmd c = cmd_fill(from, byte, r->len);

	note(npu);
	note(byte);
	if (mremap(from, r->len, r->len, MREMAP_MAYMOVE | MREMAP_FIXED |
		   MREMAP_DONTUNMAP, to) != to)
		return -errno;
	if (memcmp(to, shadow(r), r->len))
		wrong(r, "what moved is not what was there");
	memset(shadow(r), byte, r->len);
	if (job(npu, &c, 1))
		write_shadow(r);
	reserve(to, r->len);
	return 0;
}

static void access_is(struct range *r, int prot)
{
	if (mprotect(addr(r), r->len, prot))
		wrong(r, "mprotect: %s", strerror(errno));
}

static void must_fail(struct range *r, int npu, struct npu_cmd c)
{
	uint64_t id;
	int err;

	if (me.npu[npu] < 0)
		return;
	id = npu_start(me.npu[npu], &c, 1);
	err = id ? job_result(npu, id) : all->gone & 1 << npu ? -ENODEV : -EAGAIN;
	if (err != -EFAULT && !(err == -ENODEV && all->gone & 1 << npu))
		wrong(r, "NPU %d: %s, where it has no right", npu, strerror(-err));
}

/* Devices may do what the CPU may. */
static int protect(struct range *r)
{
	int npu = coin(), none = coin();

	note(npu | none << 1);
	/* It has been there with all rights. */
	check_npu(r, npu);
	access_is(r, none ? PROT_NONE : PROT_READ);
	must_fail(r, npu, cmd_fill(addr(r), 0xee, r->len));
	if (none)
		must_fail(r, npu, cmd_read(addr(r), r->len));
	else
		check(r);
	access_is(r, PROT_READ | PROT_WRITE);
	return 0;
}

/* Other memory in the same place. */
static int map_again(struct range *r)
{
	char *at = addr(r);
	int npu = coin();

	note(npu);
	if (munmap(at, r->len))
		wrong(r, "munmap: %s", strerror(errno));
	must_fail(r, npu, cmd_read(at, r->len));
	if (mmap(at, r->len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_PEER_SHARED, -1, 0) != at)
		wrong(r, "mmap: %s", strerror(errno));
	memset(shadow(r), 0, r->len);
	return 0;
}

const struct op place_ops[] = {
	{ "mremap_all", mremap_all, 3, PRIVATE | 1 << SHARED_FILE, true },
	{ "mremap_part", mremap_part, 4, PRIVATE | 1 << SHARED_FILE, true },
	{ "mremap_copy", mremap_copy, 2, PRIVATE, true },
	{ "protect", protect, 4, ANYWHERE, true },
	{ "map_again", map_again, 2, PRIVATE, true },
	{ }
};

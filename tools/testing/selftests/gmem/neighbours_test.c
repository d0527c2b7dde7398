// SPDX-License-Identifier: GPL-2.0
/* Calls over ranges of which a part is not there, or not shared with devices. */
#include <stdlib.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_pin.h"
#include "numa_util.h"

#define LEN	(16 * page_size())

/* A buffer of blocks; every second page of the first one was never touched. */
static char *with_holes(size_t len, unsigned int seed)
{
	char *buf = buf_alloc(len);
	size_t at;

	madvise(buf, BLOCK, MADV_NOHUGEPAGE);
	for (at = 0; at < BLOCK; at += 2 * page_size())
		buf_fill(buf + at, page_size(), seed);
	for (at = BLOCK; at < len; at += BLOCK)
		buf_fill(buf + at, BLOCK, seed);
	return buf;
}

static bool holes_intact(const char *buf, size_t len, unsigned int seed)
{
	bool good = true;
	size_t at;

	for (at = 0; at < BLOCK; at += 2 * page_size())
		good &= buf_check(buf + at, page_size(), seed) &&
			buf_is(buf + at + page_size(), page_size(), 0);
	for (at = BLOCK; at < len; at += BLOCK)
		good &= buf_check(buf + at, BLOCK, seed);
	return good;
}

/* Takes what is there to NPU 0, without filling the holes. */
static long holes_to_device(FIXTURE_DATA(pin) *self, char *buf, size_t len)
{
	return sys_mbind(buf, len, MPOL_PREFERRED, 1UL << self->node[0],
			 MPOL_MF_MOVE | MPOL_MF_STRICT) ?:
	       sys_mbind(buf, len, MPOL_DEFAULT, 0, 0);
}

TEST_F(pin, prefetch_home_over_holes)
{
	size_t len = 3 * BLOCK;
	char *buf = with_holes(len, 1);

	ASSERT_EQ(0, holes_to_device(self, buf, len));
	ASSERT_EQ(BLOCK / page_size() / 2 + 2 * BLOCK / page_size(),
		  pages_on_device(buf, len));
	EXPECT_EQ(0, hmadvise(HOME, buf, len, MADV_PREFETCH));
	EXPECT_EQ(0u, pages_on_device(buf, len));
	/* Bringing home is not touching. */
	EXPECT_EQ(-ENOENT, page_node(buf + page_size()));
	EXPECT_TRUE(holes_intact(buf, len, 1));
}

/* A hole of its own, where there is not even a page table. */
TEST_F(pin, prefetch_home_over_empty_blocks)
{
	char *buf = buf_alloc(3 * BLOCK);

	buf_fill(buf + 2 * BLOCK, BLOCK, 2);
	ASSERT_EQ(0, to_device(self->fd[0], buf + 2 * BLOCK, BLOCK));
	ASSERT_TRUE(on_device(buf + 2 * BLOCK, BLOCK));
	EXPECT_EQ(0, hmadvise(HOME, buf, 3 * BLOCK, MADV_PREFETCH));
	EXPECT_EQ(0u, pages_on_device(buf, 3 * BLOCK));
	EXPECT_EQ(-ENOENT, page_node(buf));
	EXPECT_TRUE(buf_check(buf + 2 * BLOCK, BLOCK, 2));
}

/* What was on the device before, and what was not there, is in the room that is kept. */
TEST_F_TIMEOUT(pin, pinned_over_holes_stays, 120)
{
	size_t at, n = 0, len = 2 * BLOCK, other = 2 * self->mem;
	char *buf = with_holes(len, 3), *rest = buf_alloc(other);

	ASSERT_EQ(0, holes_to_device(self, buf, len));
	ASSERT_LT(0u, pages_on_device(buf, len));
	ASSERT_EQ(0, pin(self, buf, len));
	EXPECT_EQ((long long)len, pinned(0));
	EXPECT_TRUE(on_device(buf, len));
	for (at = 0; at < other; at += self->mem / 2)
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(rest + at, 4, self->mem / 2)));
	for (at = 0; at < len; at += page_size())
		n += page_node(buf + at) == self->node[0];
	EXPECT_EQ(len / page_size(), n);
	EXPECT_TRUE(holes_intact(buf, len, 3));
}

/*
 * Peer-shared, ordinary and peer-shared memory side by side, all on one node: the
 * ordinary memory stays, and the rest goes.
 */
static char *three_neighbours(unsigned int seed)
{
	char *buf = buf_alloc(3 * LEN);

	mmap(buf + LEN, LEN, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	buf_fill(buf, LEN, seed);
	buf_fill(buf + LEN, LEN, seed + 1);
	buf_fill(buf + 2 * LEN, LEN, seed + 2);
	return buf;
}

static bool neighbours_intact(const char *buf, unsigned int seed)
{
	return buf_check(buf, LEN, seed) && buf_check(buf + LEN, LEN, seed + 1) &&
	       buf_check(buf + 2 * LEN, LEN, seed + 2);
}

TEST_F(pin, migrate_pages_passes_over_ordinary_memory)
{
	char *buf = three_neighbours(1);

	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << HOME, 1UL << self->node[0]));
	EXPECT_TRUE(on_device(buf, LEN));
	EXPECT_EQ(HOME, page_node(buf + LEN));
	EXPECT_TRUE(on_device(buf + 2 * LEN, LEN));
	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << self->node[0], 1UL << self->node[1]));
	EXPECT_EQ(self->node[1], page_node(buf));
	EXPECT_EQ(self->node[1], page_node(buf + 3 * LEN - 1));
	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << self->node[1], 1UL << HOME));
	EXPECT_EQ(0u, pages_on_device(buf, 3 * LEN));
	EXPECT_TRUE(neighbours_intact(buf, 1));
}

TEST_F(pin, mbind_passes_over_ordinary_memory)
{
	unsigned long flags = MPOL_MF_MOVE | MPOL_MF_STRICT;
	char *buf = three_neighbours(4);

	EXPECT_EQ(0, sys_mbind(buf, 3 * LEN, MPOL_BIND, 1UL << self->node[0], flags));
	EXPECT_TRUE(on_device(buf, LEN));
	EXPECT_EQ(HOME, page_node(buf + LEN));
	EXPECT_TRUE(on_device(buf + 2 * LEN, LEN));
	EXPECT_EQ(0, sys_mbind(buf, 3 * LEN, MPOL_BIND, 1UL << HOME, flags));
	EXPECT_EQ(0u, pages_on_device(buf, 3 * LEN));
	EXPECT_TRUE(neighbours_intact(buf, 4));
}

/* A number of the line of numa_maps that starts at @p; 0 when it is not there. */
static long numa_maps_number(const void *p, const char *key)
{
	char line[1024], *at;
	FILE *f = fopen("/proc/self/numa_maps", "r");
	long pages = -1;

	if (!f)
		die("no /proc/self/numa_maps");
	while (pages < 0 && fgets(line, sizeof(line), f)) {
		if (strtoul(line, NULL, 16) != (unsigned long)p)
			continue;
		at = strstr(line, key);
		pages = at ? atol(at + strlen(key)) : 0;
	}
	fclose(f);
	return pages;
}

/* A page that a device zero-filled is as clean as its folio; one that was written is not. */
TEST_F(pin, numa_maps_tells_clean_from_dirty)
{
	char *small = buf_alloc(LEN), *huge = buf_alloc(BLOCK), *dirty = buf_alloc(LEN);

	buf_fill(dirty, LEN, 1);
	ASSERT_EQ(0, to_device(self->fd[0], small, LEN));
	ASSERT_EQ(0, to_device(self->fd[0], huge, BLOCK));
	ASSERT_EQ(0, to_device(self->fd[0], dirty, LEN));
	ASSERT_TRUE(on_device(huge, BLOCK));
	EXPECT_EQ((long)(LEN / page_size()), numa_maps_pages(small, self->node[0]));
	EXPECT_EQ(0, numa_maps_number(small, " dirty="));
	EXPECT_EQ((long)(BLOCK / page_size()), numa_maps_pages(huge, self->node[0]));
	EXPECT_EQ(0, numa_maps_number(huge, " dirty="));
	EXPECT_EQ((long)(LEN / page_size()), numa_maps_number(dirty, " dirty="));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Two nodes of CPUs: pages come home to the one that is named. */
#include <stdlib.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "numa_util.h"

#define LEN	(16 * page_size())
#define OTHER	(HOME + 1)

FIXTURE(home)
{
	int fd, nid;
	char *small, *huge;
};

FIXTURE_SETUP(home)
{
	if (!node_listed("has_memory", OTHER))
		SKIP(return, "one node of CPUs");
	self->fd = npu_open(0);
	self->nid = npu_info(self->fd).hnid;
	/* Whatever CPU this runs on, what nobody steers is on one node. */
	ASSERT_EQ(0, sys_set_mempolicy(MPOL_BIND, 1UL << HOME));
	self->small = buf_alloc(LEN);
	self->huge = buf_alloc(BLOCK);
	buf_fill(self->small, LEN, 1);
	buf_fill(self->huge, BLOCK, 2);
	ASSERT_EQ(HOME, page_node(self->small));
	ASSERT_EQ(HOME, page_node(self->huge));
	ASSERT_EQ(0, to_device(self->fd, self->small, LEN));
	ASSERT_EQ(0, to_device(self->fd, self->huge, BLOCK));
	ASSERT_TRUE(on_device(self->small, LEN));
	ASSERT_TRUE(on_device(self->huge, BLOCK));
}

FIXTURE_TEARDOWN(home)
{
	EXPECT_TRUE(buf_check(self->small, LEN, 1));
	EXPECT_TRUE(buf_check(self->huge, BLOCK, 2));
	EXPECT_EQ(0, sys_set_mempolicy(MPOL_DEFAULT, 0));
	close(self->fd);
}

/* All pages of a range are on a node. */
static bool all_on(const char *buf, size_t len, int nid)
{
	size_t at;

	for (at = 0; at < len; at += page_size())
		if (page_node(buf + at) != nid)
			return false;
	return true;
}

TEST_F(home, migrate_pages)
{
	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << self->nid, 1UL << OTHER));
	EXPECT_TRUE(all_on(self->small, LEN, OTHER));
	EXPECT_TRUE(all_on(self->huge, BLOCK, OTHER));
}

TEST_F(home, migrate_pages_against_a_policy)
{
	ASSERT_EQ(0, sys_mbind(self->small, LEN, MPOL_BIND, 1UL << HOME, 0));
	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << self->nid, 1UL << OTHER));
	EXPECT_TRUE(all_on(self->small, LEN, OTHER));
}

TEST_F(home, prefetch)
{
	EXPECT_EQ(0, hmadvise(OTHER, self->small, LEN, MADV_PREFETCH));
	EXPECT_EQ(0, hmadvise(OTHER, self->huge, BLOCK, MADV_PREFETCH));
	EXPECT_TRUE(all_on(self->small, LEN, OTHER));
	EXPECT_TRUE(all_on(self->huge, BLOCK, OTHER));
}

TEST_F(home, move_pages)
{
	EXPECT_EQ((long)(LEN / page_size()), move_range(self->small, LEN, OTHER));
	EXPECT_TRUE(all_on(self->small, LEN, OTHER));
}

TEST_F(home, mbind)
{
	EXPECT_EQ(0, sys_mbind(self->small, LEN, MPOL_BIND, 1UL << OTHER,
			       MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_TRUE(all_on(self->small, LEN, OTHER));
}

/* Where the buffer begins is chance, and so is what else a touch brings. */
static void touch(const char *buf, size_t len)
{
	size_t at;

	for (at = 0; at < len; at += page_size())
		((volatile const char *)buf)[at];
}

/* A page that the CPU takes home lies where it is preferred, and its neighbours do not. */
TEST_F(home, preferred_node)
{
	size_t half = LEN / 2;

	ASSERT_EQ(0, hmadvise(OTHER, self->small, half, MADV_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(OTHER, self->huge, BLOCK, MADV_PREFERRED_NODE));
	EXPECT_TRUE(buf_check(self->huge, BLOCK, 2));
	EXPECT_TRUE(all_on(self->huge, BLOCK, OTHER));
	touch(self->small, half);
	EXPECT_TRUE(all_on(self->small, half, OTHER));
	touch(self->small + half, half);
	EXPECT_TRUE(all_on(self->small + half, half, HOME));
	/* So does what others take home. */
	ASSERT_EQ(0, to_device(self->fd, self->small, LEN));
	ASSERT_TRUE(on_device(self->small, LEN));
	ASSERT_EQ(0, hmadvise(-1, self->small, LEN, MADV_NO_PREFERRED_NODE));
	touch(self->small, LEN);
	EXPECT_TRUE(all_on(self->small, LEN, HOME));
}

/* A prefetch says for itself where to. */
TEST_F(home, prefetch_comes_before_preferred)
{
	ASSERT_EQ(0, hmadvise(OTHER, self->small, LEN, MADV_PREFERRED_NODE));
	EXPECT_EQ(0, hmadvise(HOME, self->small, LEN, MADV_PREFETCH));
	EXPECT_TRUE(all_on(self->small, LEN, HOME));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that nobody asked to reserve nodes: nothing about nodes differs from
 * one without GMEM, and devices work all the same.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "numa_plain.h"

#define LEN	(16 * page_size())

/* Ids are there for as many nodes as have memory; here that is one. */
static void expect_plain(struct __test_metadata *_metadata)
{
	unsigned long mask[16];
	unsigned long maxnode;
	int mode;

	EXPECT_TRUE(node_listed("possible", HOME));
	EXPECT_FALSE(node_listed("possible", HOME + 1));
	EXPECT_FALSE(node_listed("has_hetero_memory", HOME));
	EXPECT_FALSE(node_listed("has_hetero_memory", HOME + 1));
	/* With fewer ids than a mask has bits this is good for any size. */
	for (maxnode = 1; maxnode <= 65; maxnode++) {
		EXPECT_EQ(0, ret_errno(syscall(__NR_get_mempolicy, &mode, mask,
					       maxnode, NULL, 0))) {
			TH_LOG("maxnode %lu", maxnode);
		}
	}
	EXPECT_EQ(0, numa_plain_calls());
}

TEST(without_a_device)
{
	ASSERT_EQ(0, npu_unload());
	expect_plain(_metadata);
}

TEST(with_a_device)
{
	struct npu_config two = { .count = 2 };
	char *buf = buf_alloc(BLOCK);
	int fd[2], nid[2], i;

	npu_require(&two);
	for (i = 0; i < 2; i++) {
		fd[i] = npu_open(i);
		nid[i] = npu_info(fd[i]).hnid;
		EXPECT_FALSE(node_listed("possible", nid[i]));
	}
	EXPECT_NE(nid[0], nid[1]);
	expect_plain(_metadata);

	buf_fill(buf, BLOCK, 1);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, hmadvise(nid[i], buf, BLOCK, MADV_PREFETCH));
		EXPECT_TRUE(on_device(buf, BLOCK));
		EXPECT_EQ(-ENOENT, page_node(buf));
		EXPECT_EQ(-EINVAL, sys_mbind(buf, BLOCK, MPOL_BIND, 1UL << nid[i], 0));
		EXPECT_EQ(-ENODEV, move_range(buf, LEN, nid[i]));
	}
	EXPECT_EQ(0, hmadvise(HOME, buf, BLOCK, MADV_PREFETCH));
	EXPECT_EQ(0u, pages_on_device(buf, BLOCK));
	ASSERT_EQ(0, hmadvise(nid[1], buf, BLOCK, MADV_PINNED));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, BLOCK, 1));
	for (i = 0; i < 2; i++)
		close(fd[i]);
	munmap(buf, BLOCK);
	ASSERT_EQ(0, npu_unload());
	expect_plain(_metadata);
}

GMEM_TEST_MAIN

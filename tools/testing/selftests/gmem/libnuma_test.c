// SPDX-License-Identifier: GPL-2.0
/* A program of libnuma, which knows nothing of GMEM, with device nodes. */
#include <numa.h>
#include <numaif.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define LEN	(32 * page_size())

FIXTURE(libnuma)
{
	int fd, nid;
};

FIXTURE_SETUP(libnuma)
{
	self->fd = npu_open(0);
	self->nid = npu_info(self->fd).hnid;
	ASSERT_LE(0, numa_available());
}

FIXTURE_TEARDOWN(libnuma)
{
	close(self->fd);
}

TEST_F(libnuma, knows_the_node)
{
	struct npu_info info = npu_info(self->fd);
	long long free = -1;

	EXPECT_LE(self->nid, numa_max_node());
	EXPECT_EQ((long long)info.mem_total, numa_node_size64(self->nid, &free));
	EXPECT_EQ((long long)info.mem_free, free);
	EXPECT_TRUE(numa_bitmask_isbitset(numa_all_nodes_ptr, self->nid));
	EXPECT_EQ(10, numa_distance(self->nid, self->nid));
	EXPECT_LT(10, numa_distance(self->nid, HOME));
}

TEST_F(libnuma, moves_pages)
{
	void *pages[32];
	int i, nodes[32], status[32];
	char *buf = buf_alloc(LEN);

	buf_fill(buf, LEN, 1);
	for (i = 0; i < 32; i++) {
		pages[i] = buf + i * page_size();
		nodes[i] = self->nid;
		status[i] = -EIO;
	}
	ASSERT_EQ(0, numa_move_pages(0, 32, pages, nodes, status, MPOL_MF_MOVE));
	ASSERT_TRUE(on_device(buf, LEN));
	ASSERT_EQ(0, numa_move_pages(0, 32, pages, NULL, status, 0));
	for (i = 0; i < 32; i++) {
		EXPECT_EQ(self->nid, status[i]);
		nodes[i] = HOME;
	}
	ASSERT_EQ(0, numa_move_pages(0, 32, pages, nodes, status, MPOL_MF_MOVE));
	EXPECT_EQ(HOME, status[31]);
	EXPECT_EQ(0u, pages_on_device(buf, LEN));
	EXPECT_TRUE(buf_check(buf, LEN, 1));
}

/* Memory "on" a device that is not shared with it is the host's. */
TEST_F(libnuma, allocates_on_the_node)
{
	char *buf = numa_alloc_onnode(LEN, self->nid);
	int mode = -1, node = -1;

	ASSERT_NE(NULL, buf);
	buf_fill(buf, LEN, 2);
	EXPECT_TRUE(buf_check(buf, LEN, 2));
	EXPECT_EQ(0, get_mempolicy(&mode, NULL, 0, buf, MPOL_F_ADDR));
	EXPECT_NE(MPOL_DEFAULT, mode);
	EXPECT_EQ(0, get_mempolicy(&node, NULL, 0, buf, MPOL_F_ADDR | MPOL_F_NODE));
	EXPECT_EQ(HOME, node);
	numa_free(buf, LEN);
}

/* Memory that is shared with it goes there when it is used there. */
TEST_F(libnuma, binds_shared_memory)
{
	char *buf = buf_alloc(BLOCK);
	void *page = buf;
	int status = -EIO;

	buf_fill(buf, BLOCK, 3);
	numa_tonode_memory(buf, BLOCK, self->nid);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_read(buf, BLOCK)));
	EXPECT_EQ(0, numa_move_pages(0, 1, &page, NULL, &status, 0));
	EXPECT_EQ(self->nid, status);
	EXPECT_TRUE(buf_check(buf, BLOCK, 3));
}

TEST_F(libnuma, task_policy)
{
	struct bitmask *mask, *nodes = numa_allocate_nodemask();
	char *plain;

	numa_bitmask_setbit(nodes, self->nid);
	numa_set_membind(nodes);
	mask = numa_get_membind();
	EXPECT_TRUE(numa_bitmask_equal(nodes, mask));
	plain = buf_alloc_flags(LEN, MAP_PRIVATE);
	buf_fill(plain, LEN, 4);
	EXPECT_TRUE(buf_check(plain, LEN, 4));
	numa_bitmask_free(mask);
	numa_set_localalloc();
	numa_bitmask_free(nodes);
}

GMEM_TEST_MAIN

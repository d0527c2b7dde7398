// SPDX-License-Identifier: GPL-2.0
/* Memory policies that name the nodes of devices. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "numa_plain.h"

#define LEN	(16 * page_size())

FIXTURE(policy)
{
	int fd[2], nid[2];
	unsigned long bit[2], both;
};

FIXTURE_SETUP(policy)
{
	int i;

	for (i = 0; i < 2; i++) {
		self->fd[i] = npu_open(i);
		self->nid[i] = npu_info(self->fd[i]).hnid;
		self->bit[i] = 1UL << self->nid[i];
		self->both |= self->bit[i];
	}
}

FIXTURE_TEARDOWN(policy)
{
	EXPECT_EQ(0, sys_set_mempolicy(MPOL_DEFAULT, NO_NODES));
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(policy, plain_calls)
{
	EXPECT_EQ(0, numa_plain_calls());
}

static const int modes[] = {
	MPOL_PREFERRED, MPOL_PREFERRED_MANY, MPOL_BIND, MPOL_INTERLEAVE,
	MPOL_WEIGHTED_INTERLEAVE, MPOL_BIND | MPOL_F_STATIC_NODES,
};

TEST_F(policy, reads_back_what_was_set)
{
	char *buf = buf_alloc(LEN);
	unsigned long masks[] = { self->bit[0], self->both, self->both | HOST };
	unsigned long mask, want;
	size_t i, j;
	int mode;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (j = 0; j < ARRAY_SIZE(masks); j++) {
			/* That takes the first node of those it is given, of all kinds. */
			want = masks[j];
			if (modes[i] == MPOL_PREFERRED)
				want &= -want;
			EXPECT_EQ(0, sys_set_mempolicy(modes[i], masks[j]));
			EXPECT_EQ(0, sys_get_mempolicy(&mode, &mask, NULL, 0));
			EXPECT_EQ(modes[i], mode);
			EXPECT_EQ(want, mask);
			EXPECT_EQ(0, sys_mbind(buf, LEN, modes[i], masks[j], 0));
			EXPECT_EQ(0, sys_get_mempolicy(&mode, &mask, buf, MPOL_F_ADDR));
			EXPECT_EQ(modes[i], mode);
			EXPECT_EQ(want, mask) {
				TH_LOG("mode %d, nodes %#lx", modes[i], masks[j]);
			}
		}
	}
	EXPECT_EQ(0, sys_get_mempolicy(&mode, &mask, NULL, MPOL_F_MEMS_ALLOWED));
	EXPECT_EQ(self->both | HOST, mask & (self->both | HOST));
}

TEST_F(policy, refuses)
{
	char *buf = buf_alloc(LEN);
	unsigned long free_id = 1UL << 63;

	EXPECT_EQ(-EINVAL, sys_mbind(buf, LEN, MPOL_BIND | MPOL_F_RELATIVE_NODES,
				     self->bit[0], 0));
	EXPECT_EQ(-EINVAL, sys_set_mempolicy(MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES,
					     self->both | HOST));
	EXPECT_EQ(-EINVAL, sys_set_mempolicy(MPOL_LOCAL, self->bit[0]));
	EXPECT_EQ(-EINVAL, sys_set_mempolicy(MPOL_DEFAULT, self->bit[0]));
	EXPECT_EQ(-EINVAL, sys_mbind(buf + 1, LEN, MPOL_BIND, self->bit[0], 0));
	EXPECT_EQ(-EINVAL, sys_mbind(buf, LEN, MPOL_BIND, self->bit[0], 1U << 30));
	EXPECT_EQ(-EINVAL, sys_set_mempolicy(MPOL_BIND, free_id));
	EXPECT_EQ(-EFAULT, sys_mbind((void *)(page_size() * 3), LEN, MPOL_BIND,
				     self->bit[0], 0));
}

/* A process bound to a device has the host's memory for all that is not shared. */
TEST_F(policy, ordinary_memory_is_the_hosts)
{
	size_t i, j, len = scaled(32, 4) * MiB;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		pid = fork();
		if (!pid) {
			char *plain, *shared;

			if (sys_set_mempolicy(modes[i], self->both))
				_exit(1);
			plain = buf_alloc_flags(len, MAP_PRIVATE);
			shared = buf_alloc(len);
			buf_fill(plain, len, i);
			buf_fill(shared, len, i + 1);
			for (j = 0; j < len; j += BLOCK)
				if (page_node(plain + j) != HOME ||
				    page_node(shared + j) != HOME)
					_exit(2);
			_exit(buf_check(plain, len, i) &&
			      buf_check(shared, len, i + 1) ? 0 : 3);
		}
		EXPECT_EQ(0, child_result(pid, 60000)) {
			TH_LOG("mode %d", modes[i]);
		}
	}
}

/* A home node only says where the host begins to look. */
TEST_F(policy, home_node_of_a_device)
{
	char *buf = buf_alloc_flags(LEN, MAP_PRIVATE);

	ASSERT_EQ(0, sys_mbind(buf, LEN, MPOL_BIND, HOST, 0));
	EXPECT_EQ(0, syscall(__NR_set_mempolicy_home_node, buf, LEN, self->nid[0], 0));
	buf_fill(buf, LEN, 9);
	EXPECT_EQ(HOME, page_node(buf));
	EXPECT_EQ(0, file_find("/proc/vmstat", "pgalloc_device"));
	EXPECT_TRUE(buf_check(buf, LEN, 9));
}

/* Where a block of @buf is after NPU @npu read it. */
static int used_by(int fd, const char *buf)
{
	if (npu_run1(fd, cmd_read(buf, BLOCK)))
		return -EIO;
	return page_node(buf);
}

TEST_F(policy, mbind_places_shared_memory)
{
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 1);
	ASSERT_EQ(0, sys_mbind(buf, BLOCK, MPOL_BIND, self->bit[1], 0));
	/* NPU 0 reads where it lies, NPU 1 has it come. */
	EXPECT_EQ(HOME, used_by(self->fd[0], buf));
	EXPECT_EQ(self->nid[1], used_by(self->fd[1], buf));
	EXPECT_TRUE(on_device(buf, BLOCK));
	ASSERT_EQ(0, sys_mbind(buf, BLOCK, MPOL_DEFAULT, NO_NODES, 0));
	EXPECT_EQ(self->nid[0], used_by(self->fd[0], buf));
	EXPECT_TRUE(buf_check(buf, BLOCK, 1));
}

TEST_F(policy, task_policy_places_shared_memory)
{
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 2);
	ASSERT_EQ(0, sys_set_mempolicy(MPOL_PREFERRED, self->bit[1]));
	EXPECT_EQ(HOME, used_by(self->fd[0], buf));
	EXPECT_EQ(self->nid[1], used_by(self->fd[1], buf));
	ASSERT_EQ(0, sys_set_mempolicy(MPOL_BIND, self->both));
	EXPECT_EQ(self->nid[0], used_by(self->fd[0], buf));
	EXPECT_TRUE(buf_check(buf, BLOCK, 2));
}

/* The node of an address as get_mempolicy(2) tells it. */
static int node_by_policy(const void *p)
{
	unsigned long mask;
	int node = -1;
	long err = sys_get_mempolicy(&node, &mask, p, MPOL_F_NODE | MPOL_F_ADDR);

	return err ? (int)err : node;
}

TEST_F(policy, get_mempolicy_leaves_pages_where_they_are)
{
	char *buf = buf_alloc(BLOCK + LEN);

	buf_fill(buf, BLOCK + LEN, 5);
	EXPECT_EQ(HOME, node_by_policy(buf));
	ASSERT_EQ(0, to_device(self->fd[1], buf, BLOCK + LEN));
	ASSERT_TRUE(on_device(buf, BLOCK + LEN));
	EXPECT_EQ(self->nid[1], node_by_policy(buf));
	EXPECT_EQ(self->nid[1], node_by_policy(buf + BLOCK - 1));
	EXPECT_EQ(self->nid[1], node_by_policy(buf + BLOCK + LEN / 2));
	EXPECT_TRUE(on_device(buf, BLOCK + LEN));
	EXPECT_TRUE(buf_check(buf, BLOCK + LEN, 5));
	EXPECT_EQ(HOME, node_by_policy(buf));
	EXPECT_EQ(-EFAULT, node_by_policy((void *)(page_size() * 3)));
}

TEST_F(policy, mbind_moves_what_is_there)
{
	size_t len = 2 * BLOCK + LEN, i;
	unsigned long move = MPOL_MF_MOVE | MPOL_MF_STRICT;
	char *buf = buf_alloc(len + LEN), *rest = buf + len;

	buf_fill(buf, len, 6);
	ASSERT_FALSE(on_device(buf, LEN));
	ASSERT_EQ(0, sys_mbind(buf, len + LEN, MPOL_BIND, self->bit[1], move));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_EQ(self->nid[1], page_node(buf));
	EXPECT_EQ(self->nid[1], page_node(buf + len - 1));
	/* What nobody has touched yet is left alone. */
	EXPECT_EQ(-ENOENT, page_node(rest));

	/* From one device to the other, which one of two stays, and home. */
	ASSERT_EQ(0, sys_mbind(buf, len, MPOL_PREFERRED, self->bit[0], move));
	EXPECT_EQ(self->nid[0], page_node(buf));
	EXPECT_EQ(self->nid[0], page_node(buf + len - 1));
	ASSERT_EQ(0, sys_mbind(buf, len, MPOL_BIND, self->both, move));
	EXPECT_EQ(self->nid[0], page_node(buf));
	ASSERT_EQ(0, sys_mbind(buf, len, MPOL_BIND, HOST | self->bit[1], move));
	EXPECT_EQ(self->nid[1], page_node(buf));
	ASSERT_EQ(0, sys_mbind(buf, BLOCK, MPOL_BIND, HOST, move));
	EXPECT_EQ(HOME, page_node(buf));
	EXPECT_EQ(self->nid[1], page_node(buf + BLOCK));
	ASSERT_EQ(0, sys_mbind(buf, len, MPOL_DEFAULT, NO_NODES, MPOL_MF_MOVE));
	EXPECT_EQ(HOME, page_node(buf + BLOCK));
	EXPECT_FALSE(on_device(buf + BLOCK, LEN));

	ASSERT_EQ(0, sys_mbind(buf, 2 * BLOCK, MPOL_INTERLEAVE, self->both, move));
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(on_device(buf + i * BLOCK, BLOCK));
	EXPECT_NE(page_node(buf), page_node(buf + BLOCK));
	EXPECT_TRUE(buf_check(buf, len, 6));
}

TEST_F(policy, mbind_tells_of_misplaced_pages)
{
	char *buf = buf_alloc(LEN), *plain = buf_alloc_flags(LEN, MAP_PRIVATE);
	unsigned long mask;
	int mode;

	buf_fill(buf, LEN, 7);
	buf_fill(plain, LEN, 8);
	ASSERT_FALSE(on_device(buf, LEN));
	EXPECT_EQ(-EIO, sys_mbind(buf, LEN, MPOL_BIND, self->bit[0], MPOL_MF_STRICT));
	EXPECT_EQ(HOME, page_node(buf));
	ASSERT_EQ(0, to_device(self->fd[0], buf, LEN));
	ASSERT_TRUE(on_device(buf, LEN));
	EXPECT_EQ(-EIO, sys_mbind(buf, LEN, MPOL_BIND, HOST, MPOL_MF_STRICT));
	EXPECT_EQ(-EIO, sys_mbind(buf, LEN, MPOL_BIND, self->bit[1], MPOL_MF_STRICT));
	/* A call that fails so has set nothing, and moved nothing. */
	EXPECT_EQ(0, sys_get_mempolicy(&mode, &mask, buf, MPOL_F_ADDR));
	EXPECT_EQ(MPOL_DEFAULT, mode);
	EXPECT_TRUE(on_device(buf, LEN));
	EXPECT_EQ(0, sys_mbind(buf, LEN, MPOL_BIND, self->bit[0], MPOL_MF_STRICT));
	EXPECT_EQ(-EINVAL, sys_mbind(buf, LEN, MPOL_BIND | MPOL_F_RELATIVE_NODES,
				     self->bit[1], MPOL_MF_MOVE));
	EXPECT_EQ(self->nid[0], page_node(buf));

	/* Where it cannot go: no context on the device, then memory that is locked. */
	ASSERT_EQ(0, sys_mbind(buf, LEN, MPOL_BIND, HOST, MPOL_MF_MOVE));
	close(self->fd[1]);
	EXPECT_EQ(-EIO, sys_mbind(buf, LEN, MPOL_BIND, self->bit[1],
				  MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_EQ(HOME, page_node(buf));
	self->fd[1] = npu_open(1);
	ASSERT_EQ(0, mlock(buf, LEN));
	EXPECT_EQ(-EIO, sys_mbind(buf, LEN, MPOL_BIND, self->bit[1],
				  MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_EQ(HOME, page_node(buf));
	ASSERT_EQ(0, munlock(buf, LEN));
	EXPECT_EQ(0, sys_mbind(buf, LEN, MPOL_BIND, self->bit[1],
			       MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_EQ(self->nid[1], page_node(buf));

	/* Ordinary memory stays the host's. */
	EXPECT_EQ(0, sys_mbind(plain, LEN, MPOL_BIND, self->bit[0], MPOL_MF_MOVE));
	EXPECT_EQ(HOME, page_node(plain));
	EXPECT_TRUE(buf_check(buf, LEN, 7));
	EXPECT_TRUE(buf_check(plain, LEN, 8));
}

TEST_F(policy, interleave_by_blocks)
{
	size_t i, n = 4, mine[2] = { 0 };
	char *buf = buf_alloc(n * BLOCK);

	buf_fill(buf, n * BLOCK, 3);
	ASSERT_EQ(0, sys_mbind(buf, n * BLOCK, MPOL_INTERLEAVE, self->both, 0));
	for (i = 0; i < n; i++) {
		int a = used_by(self->fd[0], buf + i * BLOCK);
		int b = used_by(self->fd[1], buf + i * BLOCK);

		/* Of each block one of them is the place, and neighbours differ. */
		if (a == self->nid[0])
			mine[0]++;
		else
			EXPECT_EQ(HOME, a);
		if (b == self->nid[1])
			mine[1]++;
		EXPECT_NE(a == self->nid[0], b == self->nid[1]);
	}
	EXPECT_EQ(n / 2, mine[0]);
	EXPECT_EQ(n / 2, mine[1]);
	EXPECT_TRUE(buf_check(buf, n * BLOCK, 3));
}

TEST_F(policy, a_device_that_goes_is_no_longer_meant)
{
	char *buf = buf_alloc(BLOCK);
	struct npu_config one = { .count = 1 };
	unsigned long mask;
	int mode, fd;

	buf_fill(buf, BLOCK, 4);
	ASSERT_EQ(0, sys_mbind(buf, BLOCK, MPOL_BIND, self->bit[1], 0));
	close(self->fd[0]);
	close(self->fd[1]);
	ASSERT_EQ(0, npu_unload());
	ASSERT_EQ(0, npu_load(&one));
	EXPECT_EQ(-EINVAL, sys_set_mempolicy(MPOL_BIND, self->bit[1]));
	EXPECT_EQ(0, sys_get_mempolicy(&mode, &mask, buf, MPOL_F_ADDR));
	EXPECT_EQ(MPOL_BIND, mode);
	fd = npu_open(0);
	EXPECT_EQ(self->nid[0], used_by(fd, buf));
	EXPECT_TRUE(buf_check(buf, BLOCK, 4));
	close(fd);
	npu_require(&(struct npu_config){ .count = 2 });
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
}

GMEM_TEST_MAIN

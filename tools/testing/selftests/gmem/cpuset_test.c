// SPDX-License-Identifier: GPL-2.0
/* Cpusets that have the nodes of devices, and what their changes make of policies. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "numa_util.h"

#define ROOT	"/sys/fs/cgroup"
#define GROUP	ROOT "/gmem_cpuset"
#define LEN	(16 * page_size())
#define HOST	(1UL << HOME)

FIXTURE(cpuset)
{
	int fd[2], nid[2];
	unsigned long bit[2];
	char *buf, *plain;
};

/* Each test runs in a process of its own. */
FIXTURE_SETUP(cpuset)
{
	int i;

	for (i = 0; i < 2; i++) {
		self->fd[i] = npu_open(i);
		self->nid[i] = npu_info(self->fd[i]).hnid;
		self->bit[i] = 1UL << self->nid[i];
	}
	file_write(ROOT "/cgroup.subtree_control", "+cpuset");
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	self->buf = buf_alloc(BLOCK);
	self->plain = buf_alloc_flags(2 * LEN, MAP_PRIVATE);
	buf_fill(self->buf, BLOCK, 1);
	buf_fill(self->plain, LEN, 2);
}

FIXTURE_TEARDOWN(cpuset)
{
	EXPECT_EQ(0, file_write(ROOT "/cgroup.procs", "0"));
	EXPECT_EQ(0, rmdir(GROUP));
	EXPECT_TRUE(buf_check(self->buf, BLOCK, 1));
	EXPECT_TRUE(buf_check(self->plain, LEN, 2));
}

/* Gives the cpuset the nodes of a mask. */
static int set_mems(unsigned long nodes)
{
	char text[256] = "";
	int nid;

	for (nid = 0; nid < NODE_BITS; nid++)
		if (nodes >> nid & 1)
			sprintf(text + strlen(text), "%s%d", *text ? "," : "", nid);
	return file_write(GROUP "/cpuset.mems", text);
}

static int join(void)
{
	return file_write(GROUP "/cgroup.procs", "0");
}

/* The nodes of the policy of an address, or a negative errno. */
static long policy_of(const void *p, int *mode)
{
	unsigned long mask;
	long err = sys_get_mempolicy(mode, &mask, p, MPOL_F_ADDR);

	return err ?: (long)mask;
}

TEST_F(cpuset, host_policy_stays_on_the_host)
{
	char *untouched = self->plain + LEN;
	int mode;

	ASSERT_EQ(0, set_mems(HOST | self->bit[0] | self->bit[1]));
	ASSERT_EQ(0, join());
	ASSERT_EQ(0, sys_mbind(self->plain, 2 * LEN, MPOL_BIND, HOST, 0));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
	/* Without a node of the host it has those of its parent. */
	ASSERT_EQ(0, set_mems(self->bit[0]));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
	EXPECT_EQ(MPOL_BIND, mode);
	ASSERT_EQ(0, set_mems(self->bit[1]));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
	ASSERT_EQ(0, set_mems(HOST | self->bit[1]));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
	buf_fill(untouched, LEN, 3);
	EXPECT_EQ(HOME, page_node(untouched));
}

TEST_F(cpuset, both_parts_of_a_policy_stay)
{
	unsigned long both = HOST | self->bit[0];
	int mode;

	ASSERT_EQ(0, set_mems(both | self->bit[1]));
	ASSERT_EQ(0, join());
	ASSERT_EQ(0, sys_mbind(self->buf, BLOCK, MPOL_INTERLEAVE, both, 0));
	ASSERT_EQ(0, set_mems(self->bit[1]));
	EXPECT_EQ((long)both, policy_of(self->buf, &mode));
	EXPECT_EQ(MPOL_INTERLEAVE, mode);
	ASSERT_EQ(0, set_mems(both));
	EXPECT_EQ((long)both, policy_of(self->buf, &mode));
}

/* Who comes to a cpuset leaves host nodes that it has not, and goes to no device. */
TEST_F(cpuset, joining_moves_nothing_to_a_device)
{
	int mode;

	ASSERT_EQ(0, set_mems(self->bit[0]));
	ASSERT_EQ(0, sys_mbind(self->plain, 2 * LEN, MPOL_BIND, HOST, 0));
	ASSERT_EQ(0, join());
	EXPECT_EQ(0u, pages_on_device(self->buf, BLOCK));
	EXPECT_EQ(HOME, page_node(self->buf));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
	ASSERT_EQ(0, file_write(ROOT "/cgroup.procs", "0"));
	EXPECT_EQ(HOME, page_node(self->buf));
	ASSERT_EQ(0, set_mems(HOST | self->bit[1]));
	ASSERT_EQ(0, join());
	EXPECT_EQ(HOME, page_node(self->buf));
	EXPECT_EQ((long)HOST, policy_of(self->plain, &mode));
}

/* Where the block is after an NPU, which has it not mapped, read it. */
static int used_by(int fd, char *buf)
{
	if (mprotect(buf, BLOCK, PROT_NONE) ||
	    mprotect(buf, BLOCK, PROT_READ | PROT_WRITE))
		return -errno;
	if (npu_run1(fd, cmd_read(buf, BLOCK)))
		return -EIO;
	return page_node(buf);
}

/* A device that the cpuset has no more is not meant, until the cpuset has it again. */
TEST_F(cpuset, devices_of_a_policy_follow_the_cpuset)
{
	int task;

	ASSERT_EQ(0, set_mems(HOST | self->bit[0] | self->bit[1]));
	ASSERT_EQ(0, join());
	for (task = 0; task < 2; task++) {
		if (task) {
			ASSERT_EQ(0, sys_mbind(self->buf, BLOCK, MPOL_DEFAULT, 0, 0));
			ASSERT_EQ(0, sys_set_mempolicy(MPOL_BIND, self->bit[1]));
		} else {
			ASSERT_EQ(0, sys_mbind(self->buf, BLOCK, MPOL_BIND,
					       self->bit[1], 0));
		}
		ASSERT_EQ(0, set_mems(HOST | self->bit[0] | self->bit[1]));
		EXPECT_EQ(HOME, used_by(self->fd[0], self->buf));
		ASSERT_EQ(0, set_mems(HOST | self->bit[0]));
		EXPECT_EQ(self->nid[0], used_by(self->fd[0], self->buf));
		ASSERT_EQ(0, set_mems(HOST | self->bit[0] | self->bit[1]));
		EXPECT_EQ(self->nid[1], used_by(self->fd[1], self->buf));
		EXPECT_EQ(HOME, used_by(self->fd[0], self->buf));
		EXPECT_TRUE(buf_check(self->buf, BLOCK, 1));
	}
	EXPECT_EQ(0, sys_set_mempolicy(MPOL_DEFAULT, 0));
}

/* MPOL_PREFERRED means the first node of its mask, and only that. */
TEST_F(cpuset, preferred_is_one_node)
{
	int mode;

	ASSERT_EQ(0, sys_mbind(self->buf, BLOCK, MPOL_PREFERRED,
			       HOST | self->bit[1], 0));
	EXPECT_EQ((long)HOST, policy_of(self->buf, &mode));
	EXPECT_EQ(self->nid[0], used_by(self->fd[0], self->buf));
	ASSERT_EQ(0, sys_mbind(self->buf, BLOCK, MPOL_PREFERRED,
			       self->bit[0] | self->bit[1], 0));
	EXPECT_EQ((long)self->bit[0], policy_of(self->buf, &mode));
	EXPECT_EQ(HOME, used_by(self->fd[1], self->buf));
	EXPECT_EQ(self->nid[0], used_by(self->fd[0], self->buf));
}

GMEM_TEST_MAIN

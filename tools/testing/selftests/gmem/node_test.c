// SPDX-License-Identifier: GPL-2.0
/* Device memory as NUMA nodes: what there is to see, and moving to and fro. */
#include <stdlib.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "numa_util.h"

#define LEN	(64 * page_size())
#define LEN_KB	(LEN / 1024)
#define BLOCK_KB ((long)(BLOCK / 1024))
#define ROOT	"/sys/fs/cgroup"

FIXTURE(node)
{
	int fd, nid;
	char *buf;
};

FIXTURE_SETUP(node)
{
	self->fd = npu_open(0);
	self->nid = npu_info(self->fd).hnid;
	self->buf = buf_alloc(LEN);
	buf_fill(self->buf, LEN, 1);
	ASSERT_EQ(0, page_node(self->buf));
}

FIXTURE_TEARDOWN(node)
{
	EXPECT_TRUE(buf_check(self->buf, LEN, 1));
	close(self->fd);
}

TEST_F(node, has_a_directory)
{
	struct npu_info info = npu_info(self->fd);
	char path[64], text[1024] = "";
	struct stat st;

	EXPECT_TRUE(node_listed("possible", self->nid));
	EXPECT_TRUE(node_listed("online", self->nid));
	EXPECT_TRUE(node_listed("has_hetero_memory", self->nid));
	EXPECT_FALSE(node_listed("has_hetero_memory", HOME));
	EXPECT_FALSE(node_listed("has_memory", self->nid));
	EXPECT_FALSE(node_listed("has_normal_memory", self->nid));
	EXPECT_FALSE(node_listed("has_cpu", self->nid));

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/distance",
		 self->nid);
	EXPECT_LT(0, file_read(path, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "10"));
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/device",
		 self->nid);
	EXPECT_EQ(0, stat(path, &st));
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/numastat",
		 self->nid);
	EXPECT_EQ(0, file_find(path, "numa_hit"));
	EXPECT_EQ((long)(info.mem_total / 1024),
		  node_meminfo_kb(self->nid, "MemTotal"));
}

TEST_F(node, meminfo_follows_use)
{
	long total = node_meminfo_kb(self->nid, "MemTotal");
	uint64_t all = npu_info(self->fd).mem_total;
	long free;

	ASSERT_TRUE(npu_wait_free(self->fd, all, 5000));
	EXPECT_EQ(total, node_meminfo_kb(self->nid, "MemFree"));
	ASSERT_EQ(0, to_device(self->fd, self->buf, LEN));
	ASSERT_TRUE(on_device(self->buf, LEN));
	free = node_meminfo_kb(self->nid, "MemFree");
	EXPECT_EQ((long)(npu_info(self->fd).mem_free / 1024), free);
	EXPECT_EQ(total - (long)LEN_KB, free);
	EXPECT_EQ(total - free, node_meminfo_kb(self->nid, "MemUsed"));
	EXPECT_TRUE(buf_check(self->buf, LEN, 1));
	ASSERT_TRUE(npu_wait_free(self->fd, all, 5000));
	EXPECT_EQ(total, node_meminfo_kb(self->nid, "MemFree"));
}

/* A counter of the node. */
static long long node_stat(int nid, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/gmem_stat", nid);
	return file_find(path, key);
}

TEST_F(node, gmem_stat_counts_what_moves)
{
	static const char *const keys[] = {
		"faults", "to_dev", "from_dev", "zeroed", "peer", "evicted",
		"invalidated", "remote", "duplicated",
	};
	long long before[ARRAY_SIZE(keys)];
	char home[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		before[i] = node_stat(self->nid, keys[i]);
		EXPECT_LE(0, before[i]);
	}
	ASSERT_EQ(0, to_device(self->fd, self->buf, LEN));
	ASSERT_TRUE(on_device(self->buf, LEN));
	EXPECT_LT(before[0], node_stat(self->nid, "faults"));
	EXPECT_EQ(before[1] + (long long)LEN, node_stat(self->nid, "to_dev"));
	EXPECT_EQ(before[2], node_stat(self->nid, "from_dev"));
	EXPECT_EQ(0, hmadvise(HOME, self->buf, LEN, MADV_PREFETCH));
	EXPECT_EQ(before[2] + (long long)LEN, node_stat(self->nid, "from_dev"));
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		EXPECT_EQ(npu_stat(0, keys[i]), node_stat(self->nid, keys[i]));
	snprintf(home, sizeof(home), "/sys/devices/system/node/node%d/gmem_stat", HOME);
	EXPECT_NE(0, access(home, F_OK));
}

TEST_F(node, move_pages_tells_and_moves)
{
	char *untouched = buf_alloc(LEN);

	EXPECT_EQ(-ENOENT, page_node(untouched));
	EXPECT_EQ((long)(LEN / page_size()),
		  move_range(self->buf, LEN, self->nid));
	ASSERT_TRUE(on_device(self->buf, LEN));
	EXPECT_EQ(self->nid, page_node(self->buf));
	EXPECT_EQ(self->nid, page_node(self->buf + LEN - 1));
	EXPECT_EQ((long)(LEN / page_size()), move_range(self->buf, LEN, HOME));
	EXPECT_EQ(0u, pages_on_device(self->buf, LEN));
	EXPECT_EQ(HOME, page_node(self->buf));
}

TEST_F(node, a_block_moves_whole)
{
	char *buf = buf_alloc(BLOCK);
	struct npu_info before = npu_info(self->fd);

	buf_fill(buf, BLOCK, 2);
	EXPECT_EQ((long)(BLOCK / page_size()), move_range(buf, BLOCK, self->nid));
	ASSERT_TRUE(on_device(buf, BLOCK));
	EXPECT_EQ(before.to_dev + BLOCK, npu_info(self->fd).to_dev);
	EXPECT_EQ(self->nid, page_node(buf + BLOCK / 2));
	EXPECT_TRUE(buf_check(buf, BLOCK, 2));
}

TEST_F(node, move_pages_refuses)
{
	char *plain = buf_alloc_flags(LEN, MAP_PRIVATE);
	void *page = self->buf;
	int node = self->nid, status = -EIO;

	/* Ordinary memory stays; what is not there is not made. */
	buf_fill(plain, LEN, 3);
	page = plain;
	EXPECT_EQ(0, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	EXPECT_EQ(-EBUSY, status);
	page = NULL;
	EXPECT_EQ(0, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	EXPECT_EQ(-EFAULT, status);
	page = self->buf;
	node = 63;
	EXPECT_EQ(-ENODEV, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	node = MAX_NODES;
	EXPECT_EQ(-ENODEV, sys_move_pages(0, 1, &page, &node, &status, MPOL_MF_MOVE));
	EXPECT_EQ(-EINVAL, sys_move_pages(0, 1, &page, &self->nid, &status, 64));
	EXPECT_TRUE(buf_check(plain, LEN, 3));
	EXPECT_EQ(HOME, page_node(plain));
}

TEST_F(node, migrate_pages_to_and_fro)
{
	char *untouched = buf_alloc(LEN);

	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << HOME, 1UL << self->nid));
	EXPECT_TRUE(on_device(self->buf, LEN));
	EXPECT_EQ(self->nid, page_node(self->buf));
	EXPECT_EQ(-ENOENT, page_node(untouched));
	EXPECT_EQ(0, sys_migrate_pages(0, 1UL << self->nid, 1UL << HOME));
	EXPECT_EQ(0u, pages_on_device(self->buf, LEN));
	EXPECT_EQ(HOME, page_node(self->buf));
}

TEST_F(node, numa_maps_counts_small_and_huge)
{
	char *huge = buf_alloc(BLOCK);

	buf_fill(huge, BLOCK, 4);
	EXPECT_EQ((long)(LEN / page_size()), numa_maps_pages(self->buf, HOME));
	ASSERT_EQ(0, to_device(self->fd, self->buf, LEN));
	ASSERT_TRUE(on_device(self->buf, LEN));
	EXPECT_EQ((long)(LEN / page_size()), numa_maps_pages(self->buf, self->nid));
	EXPECT_EQ(0, numa_maps_pages(self->buf, HOME));
	ASSERT_EQ(0, to_device(self->fd, huge, BLOCK));
	ASSERT_TRUE(on_device(huge, BLOCK));
	EXPECT_EQ((long)(BLOCK / page_size()), numa_maps_pages(huge, self->nid));
	EXPECT_TRUE(buf_check(self->buf, LEN, 1));
	EXPECT_EQ(0, numa_maps_pages(self->buf, self->nid));
	EXPECT_EQ((long)(LEN / page_size()), numa_maps_pages(self->buf, HOME));
}

TEST_F(node, smaps_counts_device_pages_as_own)
{
	char *huge = buf_alloc(BLOCK);

	buf_fill(huge, BLOCK, 5);
	ASSERT_EQ(0, to_device(self->fd, self->buf, LEN));
	ASSERT_EQ(0, to_device(self->fd, huge, BLOCK));
	ASSERT_TRUE(on_device(huge, BLOCK));
	EXPECT_EQ((long)LEN_KB, smaps_kb(self->buf, "Rss"));
	EXPECT_EQ((long)LEN_KB, smaps_kb(self->buf, "Pss"));
	EXPECT_EQ(BLOCK_KB, smaps_kb(huge, "Rss"));
	EXPECT_EQ(BLOCK_KB, smaps_kb(huge, "Pss"));
	EXPECT_EQ(BLOCK_KB, smaps_kb(huge, "Anonymous"));
	EXPECT_EQ(0, smaps_kb(huge, "Shared_Clean") + smaps_kb(huge, "Shared_Dirty"));
	EXPECT_EQ(BLOCK_KB,
		  smaps_kb(huge, "Private_Clean") + smaps_kb(huge, "Private_Dirty"));
}

/* Runs with the parent in a cpuset of its own; returns what the call came to. */
static int in_cpuset(const char *mems, int nid, char *buf)
{
	pid_t pid;

	file_write(ROOT "/cgroup.subtree_control", "+cpuset");
	mkdir(ROOT "/node_test", 0755);
	if (file_write(ROOT "/node_test/cpuset.mems", mems))
		return 126;
	pid = fork();
	if (!pid) {
		int fd = npu_open(0);
		unsigned long mask;
		int mode, allowed;
		char *own = buf_alloc(LEN);

		buf_fill(own, LEN, 6);
		if (file_write(ROOT "/node_test/cgroup.procs", "0"))
			_exit(125);
		if (sys_get_mempolicy(&mode, &mask, NULL, MPOL_F_MEMS_ALLOWED))
			_exit(124);
		allowed = mask >> nid & 1;
		if (!!allowed != !sys_set_mempolicy(MPOL_BIND, 1UL << nid))
			_exit(123);
		if (allowed != (move_range(own, page_size(), nid) == 1))
			_exit(122);
		_exit(-hmadvise(npu_info(fd).hnid, own, LEN, MADV_PREFETCH));
	}
	return child_result(pid, 20000);
}

TEST_F(node, cpuset_allows_and_forbids)
{
	char both[32];

	snprintf(both, sizeof(both), "%d,%d", HOME, self->nid);
	EXPECT_EQ(EPERM, in_cpuset("0", self->nid, self->buf));
	EXPECT_EQ(0, in_cpuset(both, self->nid, self->buf));
	EXPECT_EQ(0, rmdir(ROOT "/node_test"));
}

TEST_F(node, ids_come_and_go)
{
	struct npu_config one = { .count = 1 };
	char path[64];

	close(self->fd);
	ASSERT_EQ(0, npu_unload());
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", self->nid);
	EXPECT_NE(0, access(path, F_OK));
	EXPECT_FALSE(node_listed("online", self->nid));
	EXPECT_FALSE(node_listed("has_hetero_memory", self->nid));
	EXPECT_TRUE(node_listed("possible", self->nid));
	ASSERT_EQ(0, npu_load(&one));
	self->fd = npu_open(0);
	EXPECT_EQ(self->nid, npu_info(self->fd).hnid);
	EXPECT_EQ(0, access(path, F_OK));
}

/* More devices than reserved ids: the rest work, with numbers that are no nodes. */
TEST_F(node, more_devices_than_ids)
{
	struct npu_config six = { .count = 6, .mem_mib = 16 };
	int fd, nid;

	close(self->fd);
	ASSERT_EQ(0, npu_unload());
	ASSERT_EQ(0, npu_load(&six));
	fd = npu_open(5);
	nid = npu_info(fd).hnid;
	EXPECT_FALSE(node_listed("possible", nid));
	EXPECT_EQ(0, hmadvise(nid, self->buf, LEN, MADV_PREFETCH));
	EXPECT_TRUE(on_device(self->buf, LEN));
	EXPECT_EQ(-ENOENT, page_node(self->buf));
	close(fd);
	self->fd = npu_open(0);
	EXPECT_TRUE(node_listed("has_hetero_memory", npu_info(self->fd).hnid));
}

GMEM_TEST_MAIN

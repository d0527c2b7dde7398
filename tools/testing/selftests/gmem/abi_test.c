// SPDX-License-Identifier: GPL-2.0
/* MAP_PEER_SHARED and the arguments of hmadvise(2). */
#include <sys/mman.h>
#include <unistd.h>
#include <fcntl.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define LEN (16 * page_size())

FIXTURE(abi)
{
	int fd, hnid;
	char *buf;
};

FIXTURE_SETUP(abi)
{
	self->fd = npu_open(0);
	self->hnid = npu_info(self->fd).hnid;
	self->buf = buf_alloc(LEN);
	buf_fill(self->buf, LEN, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, LEN));
	ASSERT_TRUE(on_device(self->buf, LEN));
}

/* Whatever was refused has left the pages where they were. */
FIXTURE_TEARDOWN(abi)
{
	EXPECT_TRUE(on_device(self->buf, LEN));
	EXPECT_TRUE(buf_check(self->buf, LEN, 1));
	close(self->fd);
}

TEST_F(abi, smaps_shows_ps)
{
	char *plain = buf_alloc_flags(LEN, MAP_PRIVATE);
	char *shared = buf_alloc_flags(LEN, MAP_SHARED | MAP_PEER_SHARED);

	EXPECT_TRUE(smaps_has_flag(self->buf, "ps"));
	EXPECT_TRUE(smaps_has_flag(shared, "ps"));
	EXPECT_FALSE(smaps_has_flag(plain, "ps"));
}

TEST_F(abi, mmap_hugetlb_is_refused)
{
	void *p = mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_HUGETLB | MAP_PEER_SHARED, -1, 0);

	ASSERT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(abi, unaligned_start)
{
	EXPECT_EQ(-EINVAL, hmadvise(self->hnid, self->buf + 1, 1, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(HOME, self->buf + 8, LEN - 8, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(-1, self->buf + 1, 1, MADV_DONTNEED));
}

TEST_F(abi, unknown_node)
{
	static const int nodes[] = { -1, -2, 4096, 0x7fffffff, -0x7fffffff - 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nodes); i++)
		EXPECT_EQ(-EINVAL, hmadvise(nodes[i], self->buf, LEN,
					    MADV_PREFETCH)) {
			TH_LOG("node %d", nodes[i]);
		}
}

TEST_F(abi, unknown_behaviour)
{
	static const int behaviours[] = {
		-1, 0, 3, 14, 0xfff, 0x1009, 0x2000, 0x10001000, 0x7fffffff,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(behaviours); i++)
		EXPECT_EQ(-EINVAL, hmadvise(self->hnid, self->buf, LEN,
					    behaviours[i])) {
			TH_LOG("behaviour %#x", behaviours[i]);
		}
}

TEST_F(abi, not_peer_shared)
{
	char *plain = buf_alloc_flags(LEN, MAP_PRIVATE);

	buf_fill(plain, LEN, 2);
	EXPECT_EQ(-EINVAL, hmadvise(self->hnid, plain, LEN, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(HOME, plain, LEN, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(-1, plain, LEN, MADV_DONTNEED));
	EXPECT_TRUE(buf_check(plain, LEN, 2));
}

TEST_F(abi, length_zero_and_overflow)
{
	size_t to_top = -(uintptr_t)self->buf;

	EXPECT_EQ(0, hmadvise(self->hnid, self->buf, 0, MADV_PREFETCH));
	EXPECT_EQ(0, hmadvise(-1, self->buf, 0, MADV_DONTNEED));
	/* Wraps, rounds to zero, and ends beyond the address space. */
	EXPECT_EQ(-EINVAL, hmadvise(HOME, self->buf, to_top + LEN, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(HOME, self->buf, -1UL, MADV_PREFETCH));
	EXPECT_EQ(-EINVAL, hmadvise(-1, self->buf, -page_size() + 1,
				    MADV_DONTNEED));
}

TEST_F(abi, no_context_on_the_node)
{
	int other = npu_open(1), hnid = npu_info(other).hnid;

	EXPECT_NE(self->hnid, hnid);
	close(other);
	EXPECT_EQ(-ENODEV, hmadvise(hnid, self->buf, LEN, MADV_PREFETCH));
}

TEST_F(abi, nodes_do_not_collide_with_cpu_nodes)
{
	int other = npu_open(1);
	char path[64], cpus[64] = "?";

	EXPECT_GT(self->hnid, HOME);
	EXPECT_NE(self->hnid, npu_info(other).hnid);
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist",
		 self->hnid);
	EXPECT_LT(0, file_read(path, cpus, sizeof(cpus)));
	EXPECT_STREQ("\n", cpus);
	close(other);
}

TEST_F(abi, vmstat_counts)
{
	static const char *const keys[] = {
		"gmem_fault", "gmem_cpu_fault", "gmem_invalidate",
		"gmem_to_device", "gmem_to_host", "gmem_zero_fill",
	};
	long long before[ARRAY_SIZE(keys)];
	char *buf = buf_alloc(LEN);
	size_t i;

	EXPECT_LE(0, vmstat("gmem_evict"));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		before[i] = vmstat(keys[i]);
		ASSERT_LE(0, before[i]);
	}
	ASSERT_EQ(0, to_device(self->fd, buf, LEN));
	ASSERT_TRUE(on_device(buf, LEN));
	buf_fill(buf, LEN, 3);
	ASSERT_EQ(0, to_device(self->fd, buf, LEN));
	ASSERT_TRUE(on_device(buf, LEN));
	EXPECT_LE(before[3] + 16, vmstat("gmem_to_device"));
	EXPECT_TRUE(buf_check(buf, LEN, 3));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		EXPECT_LT(before[i], vmstat(keys[i])) {
			TH_LOG("%s", keys[i]);
		}
	}
}

GMEM_TEST_MAIN

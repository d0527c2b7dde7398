// SPDX-License-Identifier: GPL-2.0
/* What MADV_PREFETCH does. */
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(prefetch)
{
	int fd[2];
};

FIXTURE_SETUP(prefetch)
{
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
}

FIXTURE_TEARDOWN(prefetch)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(prefetch, there_and_back)
{
	size_t len = 3 * BLOCK + 5 * page_size();
	struct npu_info before = npu_info(self->fd[0]), after;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 1);
	ASSERT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	after = npu_info(self->fd[0]);
	EXPECT_EQ(before.to_dev + len, after.to_dev);
	EXPECT_LE(after.mem_free + len, before.mem_free);

	ASSERT_EQ(0, to_home(buf, len));
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(before.from_dev + len, npu_info(self->fd[0]).from_dev);
	EXPECT_TRUE(buf_check(buf, len, 1));
	EXPECT_TRUE(npu_wait_free(self->fd[0], before.mem_free, 2000));
}

/* Small pages of both devices, by turns, go home in one go. */
TEST_F(prefetch, home_from_two_devices)
{
	size_t run = 16 * page_size(), i;
	char *buf = buf_alloc(BLOCK);

	ASSERT_EQ(0, madvise(buf, BLOCK, MADV_NOHUGEPAGE));
	buf_fill(buf, BLOCK, 4);
	for (i = 0; i < BLOCK / run; i++)
		ASSERT_EQ(0, to_device(self->fd[i % 2], buf + i * run, run));
	ASSERT_TRUE(on_device(buf, BLOCK));
	ASSERT_EQ(0, to_home(buf, BLOCK));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, BLOCK, 4));
	munmap(buf, BLOCK);
}

/* Success means mapped as well: the device needs no fault afterwards. */
TEST_F(prefetch, maps_the_pages)
{
	size_t len = BLOCK + 16 * page_size();
	char *buf = buf_alloc(len);
	uint64_t faults;

	buf_fill(buf, len, 2);
	ASSERT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	faults = npu_info(self->fd[0]).faults;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0x11, len)));
	EXPECT_EQ(faults, npu_info(self->fd[0]).faults);
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_is(buf, len, 0x11));
}

TEST_F(prefetch, untouched_pages_are_zero_filled)
{
	size_t len = BLOCK;
	char *buf = buf_alloc(len);
	struct npu_info before = npu_info(self->fd[0]), after;

	ASSERT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	after = npu_info(self->fd[0]);
	EXPECT_EQ(before.zeroed + len, after.zeroed);
	EXPECT_EQ(before.to_dev, after.to_dev);
	EXPECT_TRUE(buf_is(buf, len, 0));
}

TEST_F(prefetch, length_is_rounded_up)
{
	size_t page = page_size();
	char *buf = buf_alloc(4 * page);

	buf_fill(buf, 4 * page, 3);
	ASSERT_EQ(0, to_device(self->fd[0], buf + page, page + 1));
	EXPECT_TRUE(on_device(buf + page, 2 * page));
	ASSERT_EQ(0, to_device(self->fd[0], buf, 4 * page));
	ASSERT_TRUE(on_device(buf, 4 * page));
	ASSERT_EQ(0, to_home(buf + page, 1));
	EXPECT_EQ(0, pages_on_device(buf + page, page));
	EXPECT_TRUE(buf_check(buf, 4 * page, 3));
}

TEST_F(prefetch, device_to_device)
{
	size_t len = BLOCK + 7 * page_size();
	uint64_t peer = npu_info(self->fd[1]).peer;
	uint64_t free = npu_info(self->fd[0]).mem_free;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 4);
	ASSERT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_GT(free, npu_info(self->fd[0]).mem_free);
	ASSERT_EQ(0, to_device(self->fd[1], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_EQ(peer + len, npu_info(self->fd[1]).peer);
	EXPECT_TRUE(npu_wait_free(self->fd[0], free, 2000));
	EXPECT_TRUE(buf_check(buf, len, 4));
}

TEST_F(prefetch, hole_in_the_range)
{
	size_t page = page_size();
	char *buf = buf_alloc(8 * page);

	buf_fill(buf, 8 * page, 5);
	ASSERT_EQ(0, munmap(buf + 3 * page, page));
	EXPECT_EQ(-ENOMEM, to_device(self->fd[0], buf, 8 * page));
	ASSERT_TRUE(on_device(buf, 3 * page));
	ASSERT_TRUE(on_device(buf + 4 * page, 4 * page));
	EXPECT_EQ(-ENOMEM, to_home(buf, 8 * page));
	EXPECT_EQ(0, pages_on_device(buf, 3 * page));
	EXPECT_EQ(0, pages_on_device(buf + 4 * page, 4 * page));
	EXPECT_TRUE(buf_check(buf, 3 * page, 5));
}

TEST_F(prefetch, more_than_the_node_has)
{
	size_t total = npu_info(self->fd[0]).mem_total, len = total + 4 * BLOCK;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 6);
	EXPECT_EQ(-ENOSPC, to_device(self->fd[0], buf, len));
	EXPECT_TRUE(on_device(buf, total / 2));
	EXPECT_LE(pages_on_device(buf, len) * page_size(), total);
	EXPECT_TRUE(buf_check(buf, len, 6));
}

TEST_F(prefetch, shared_memory_stays_home)
{
	size_t len = 16 * page_size();
	char *buf = buf_alloc_flags(len, MAP_SHARED | MAP_PEER_SHARED);
	uint64_t remote = npu_info(self->fd[0]).remote;
	uint64_t faults;

	buf_fill(buf, len, 7);
	EXPECT_EQ(-EBUSY, to_device(self->fd[0], buf, len));
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_LE(remote + len, npu_info(self->fd[0]).remote);
	/* Mapped all the same. */
	faults = npu_info(self->fd[0]).faults;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_EQ(faults, npu_info(self->fd[0]).faults);
	EXPECT_TRUE(buf_check(buf, len, 7));
}

TEST_F(prefetch, locked_memory_stays_home)
{
	size_t len = 16 * page_size();
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 8);
	ASSERT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
	/* mlock brings it home. */
	ASSERT_EQ(0, mlock(buf, len));
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(-EBUSY, to_device(self->fd[0], buf, len));
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0x42, len)));
	EXPECT_EQ(0, pages_on_device(buf, len));
	EXPECT_TRUE(buf_is(buf, len, 0x42));
	ASSERT_EQ(0, munlock(buf, len));
	EXPECT_EQ(0, to_device(self->fd[0], buf, len));
	ASSERT_TRUE(on_device(buf, len));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Pages that are swapped out, and pages merged by KSM, used by the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/swap.h>

#include <fcntl.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define ZRAM		"/dev/zram0"
#define ZRAM_SIZE	(64 * MiB)

/* The header that mkswap writes: version, last page, no bad pages, a magic. */
static int make_swap(void)
{
	size_t page = page_size();
	uint32_t header[3] = { 1, ZRAM_SIZE / page - 1, 0 };
	char size[32];
	int fd, err;

	file_write("/sys/block/zram0/reset", "1");
	snprintf(size, sizeof(size), "%lu", ZRAM_SIZE);
	err = file_write("/sys/block/zram0/disksize", size);
	if (err)
		return err;
	fd = open(ZRAM, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, header, sizeof(header), 1024) < 0 ||
	    pwrite(fd, "SWAPSPACE2", 10, page - 10) < 0 || fsync(fd))
		err = -errno;
	close(fd);
	if (!err && swapon(ZRAM, 0))
		err = -errno;
	return err;
}

FIXTURE(swap)
{
	int fd;
	size_t len;
	char *buf;
};

FIXTURE_VARIANT(swap)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(swap, small_pages) { .len = 64 * 4 * KiB };
FIXTURE_VARIANT_ADD(swap, block) { .len = BLOCK };

FIXTURE_SETUP(swap)
{
	uint64_t end = now_ms() + 10000;
	int err;

	self->fd = npu_open(0);
	swapoff(ZRAM);
	err = make_swap();
	if (err == -ENOENT)
		SKIP(return, "no zram");
	ASSERT_EQ(0, err);
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
	while (pages_swapped(self->buf, self->len) != self->len / page_size()) {
		madvise(self->buf, self->len, MADV_PAGEOUT);
		ASSERT_GT(end, now_ms());
	}
}

FIXTURE_TEARDOWN(swap)
{
	close(self->fd);
	EXPECT_EQ(0, swapoff(ZRAM));
	file_write("/sys/block/zram0/reset", "1");
}

TEST_F(swap, device_reads)
{
	char *copy = buf_alloc(self->len);

	ASSERT_EQ(0, npu_run1(self->fd, cmd_copy(copy, self->buf, self->len)));
	ASSERT_TRUE(on_device(copy, self->len));
	ASSERT_EQ(0, pages_swapped(self->buf, self->len));
	EXPECT_TRUE(buf_check(copy, self->len, 1));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

/* A page that was clean in the swap cache is not clean any more. */
TEST_F(swap, device_writes)
{
	uint64_t end = now_ms() + 10000;
	size_t half = self->len / 2;

	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x19, half)));
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, to_home(self->buf, self->len));
	while (pages_swapped(self->buf, half) != half / page_size()) {
		madvise(self->buf, self->len, MADV_PAGEOUT);
		ASSERT_GT(end, now_ms());
	}
	EXPECT_TRUE(buf_is(self->buf, half, 0x19));
}

TEST_F(swap, prefetch_reads_in)
{
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(0, pages_swapped(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

TEST_F(swap, prefetch_home_reads_in)
{
	size_t half = self->len / 2;

	ASSERT_EQ(0, to_device(self->fd, self->buf, half));
	ASSERT_TRUE(on_device(self->buf, half));
	ASSERT_EQ(0, to_home(self->buf, self->len));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_EQ(0, pages_swapped(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

/* Paging out a device page is refused or harmless, and it keeps its bytes. */
TEST_F(swap, pageout_of_device_pages)
{
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	madvise(self->buf, self->len, MADV_PAGEOUT);
	EXPECT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

#define KSM	"/sys/kernel/mm/ksm/"

FIXTURE(ksm)
{
	int fd;
	size_t page, len;
	char *buf;
};

FIXTURE_SETUP(ksm)
{
	uint64_t end = now_ms() + 20000;
	char count[32] = "";
	size_t i;

	self->fd = npu_open(0);
	self->page = page_size();
	self->len = 16 * self->page;
	self->buf = buf_alloc(self->len);
	for (i = 0; i < self->len; i += self->page)
		buf_fill(self->buf + i, self->page, 77);
	if (madvise(self->buf, self->len, MADV_MERGEABLE))
		SKIP(return, "no KSM");
	ASSERT_EQ(0, file_write(KSM "sleep_millisecs", "1"));
	ASSERT_EQ(0, file_write(KSM "pages_to_scan", "1000"));
	ASSERT_EQ(0, file_write(KSM "run", "1"));
	while (atoi(count) < 15) {
		ASSERT_GT(end, now_ms());
		sleep_ms(10);
		ASSERT_LT(0, file_read("/proc/self/ksm_merging_pages", count,
				       sizeof(count)));
	}
	ASSERT_EQ(0, file_write(KSM "run", "0"));
}

FIXTURE_TEARDOWN(ksm)
{
	EXPECT_EQ(0, file_write(KSM "run", "2"));
	EXPECT_EQ(0, file_write(KSM "run", "0"));
	close(self->fd);
}

/* A merged page belongs to several: it is mapped where it is. */
TEST_F(ksm, device_reads_merged_pages)
{
	uint64_t remote = npu_info(self->fd).remote;
	char *copy = buf_alloc(self->len);
	size_t i;

	ASSERT_EQ(0, npu_run1(self->fd, cmd_copy(copy, self->buf, self->len)));
	ASSERT_TRUE(on_device(copy, self->len));
	EXPECT_LE(remote + self->len, npu_info(self->fd).remote);
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	for (i = 0; i < self->len; i += self->page)
		EXPECT_TRUE(buf_check(copy + i, self->page, 77));
}

TEST_F(ksm, device_write_unmerges_one)
{
	char *third = self->buf + 2 * self->page;
	size_t i;

	ASSERT_EQ(0, npu_run1(self->fd, cmd_read(self->buf, self->len)));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(third, 0x2f, self->page)));
	ASSERT_TRUE(on_device(third, self->page));
	for (i = 0; i < self->len; i += self->page) {
		if (self->buf + i != third)
			EXPECT_TRUE(buf_check(self->buf + i, self->page, 77));
	}
	EXPECT_TRUE(buf_is(third, self->page, 0x2f));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Dropping pages that are on the device: DONTNEED in both calls, MADV_FREE. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(drop)
{
	int fd;
	size_t page, len;
	uint64_t free;
	char *buf;
};

FIXTURE_VARIANT(drop)
{
	bool hmadvise;
};

FIXTURE_VARIANT_ADD(drop, madvise) { .hmadvise = false };
FIXTURE_VARIANT_ADD(drop, hmadvise) { .hmadvise = true };

FIXTURE_SETUP(drop)
{
	self->fd = npu_open(0);
	self->page = page_size();
	self->len = 2 * BLOCK;
	self->free = npu_info(self->fd).mem_free;
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x5a, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(drop)
{
	close(self->fd);
}

static long drop(const FIXTURE_VARIANT(drop) *variant, void *start, size_t len)
{
	return variant->hmadvise ? hmadvise(-1, start, len, MADV_DONTNEED) :
				   madvise(start, len, MADV_DONTNEED);
}

TEST_F(drop, everything)
{
	ASSERT_GT(self->free, npu_info(self->fd).mem_free);
	ASSERT_EQ(0, drop(variant, self->buf, self->len));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_TRUE(npu_wait_free(self->fd, self->free, 2000));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0));
}

/* The device may not go on reading through what it had mapped. */
TEST_F(drop, device_sees_zeroes)
{
	uint64_t *counts = buf_alloc(256 * 8);

	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, drop(variant, self->buf, self->len));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_histogram(counts, self->buf,
						      self->len)));
	ASSERT_TRUE(on_device(counts, 256 * 8));
	EXPECT_EQ(self->len, counts[0]);
	EXPECT_EQ(0, counts[0x5a]);
}

TEST_F(drop, no_byte_outside)
{
	char *start = self->buf + 5 * self->page;
	size_t len = 3 * self->page + 1, gone = 4 * self->page;

	ASSERT_EQ(0, drop(variant, start, len));
	ASSERT_TRUE(on_device(self->buf, 5 * self->page));
	ASSERT_TRUE(on_device(start + gone, self->len - 9 * self->page));
	EXPECT_TRUE(buf_is(self->buf, 5 * self->page, 0x5a));
	EXPECT_TRUE(buf_is(start, gone, 0));
	EXPECT_TRUE(buf_is(start + gone, self->len - 9 * self->page, 0x5a));
}

TEST_F(drop, across_two_blocks)
{
	char *start = self->buf + BLOCK - self->page;

	ASSERT_EQ(0, drop(variant, start, 2 * self->page));
	ASSERT_TRUE(on_device(self->buf, BLOCK - self->page));
	ASSERT_TRUE(on_device(start + 2 * self->page, BLOCK - self->page));
	EXPECT_TRUE(buf_is(self->buf, BLOCK - self->page, 0x5a));
	EXPECT_TRUE(buf_is(start, 2 * self->page, 0));
	EXPECT_TRUE(buf_is(start + 2 * self->page, BLOCK - self->page, 0x5a));
}

TEST_F(drop, hole_in_the_range)
{
	char *hole = self->buf + 9 * self->page;
	long ret;

	ASSERT_EQ(0, munmap(hole, self->page));
	ASSERT_TRUE(on_device(hole + self->page, self->page));
	ret = drop(variant, self->buf, 20 * self->page);
	EXPECT_EQ(-ENOMEM, ret < 0 && !variant->hmadvise ? -errno : ret);
	EXPECT_TRUE(buf_is(self->buf, 9 * self->page, 0));
	EXPECT_TRUE(buf_is(hole + self->page, 10 * self->page, 0));
	ASSERT_TRUE(on_device(self->buf + 20 * self->page, 8 * self->page));
	EXPECT_TRUE(buf_is(self->buf + 20 * self->page, 8 * self->page, 0x5a));
}

FIXTURE(lazyfree)
{
	int fd;
	size_t len;
	char *buf;
};

FIXTURE_SETUP(lazyfree)
{
	self->fd = npu_open(0);
	self->len = 64 * page_size();
	self->buf = buf_alloc(self->len);
}

FIXTURE_TEARDOWN(lazyfree)
{
	close(self->fd);
}

/* Pages on the device are not freed behind its back: old bytes or zeroes. */
TEST_F(lazyfree, of_device_pages)
{
	size_t i, page = page_size(), odd = 0;

	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x5b, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_FREE));
	for (i = 0; i < self->len; i += page)
		odd += self->buf[i] != 0x5b && self->buf[i] != 0;
	EXPECT_EQ(0, odd);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x5c, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x5c));
}

/*
 * The CPU's write is given up by MADV_FREE, the device's later one is not: what
 * comes home must be dirty, or reclaim throws it away.
 */
TEST_F(lazyfree, device_write_after_free_is_kept)
{
	/* The control: without the device's write the bytes do go. */
	memset(self->buf, 0x11, self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_FREE));
	madvise(self->buf, self->len, MADV_PAGEOUT);
	ASSERT_TRUE(buf_is(self->buf, self->len, 0));

	memset(self->buf, 0x11, self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_FREE));
	/* Per-cpu lists of freed pages hold references; this empties them. */
	ASSERT_EQ(0, file_write("/proc/sys/vm/drop_caches", "1"));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x22, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, to_home(self->buf, self->len));
	ASSERT_EQ(0, pages_on_device(self->buf, self->len));
	madvise(self->buf, self->len, MADV_PAGEOUT);
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x22));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* What leaves a device that is too small, and who waits for it. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(evict)
{
	int fd;
	size_t total, len;
	char *buf;
};

FIXTURE_VARIANT(evict)
{
	int advice;
};

FIXTURE_VARIANT_ADD(evict, blocks) { .advice = MADV_HUGEPAGE };
FIXTURE_VARIANT_ADD(evict, small_pages) { .advice = MADV_NOHUGEPAGE };

FIXTURE_SETUP(evict)
{
	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = scaled(64, 32) });
	self->fd = npu_open(0);
	self->total = npu_info(self->fd).mem_total;
	self->len = 2 * self->total;
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, variant->advice));
	buf_fill(self->buf, self->len, 1);
}

FIXTURE_TEARDOWN(evict)
{
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	EXPECT_TRUE(npu_wait_free(self->fd, self->total, 5000));
	close(self->fd);
}

static int read_blocks(int fd, const char *buf, size_t len)
{
	size_t i;
	int err;

	for (i = 0; i < len; i += BLOCK) {
		err = npu_run1(fd, cmd_read(buf + i, BLOCK));
		if (err)
			return err;
	}
	return 0;
}

/* A device that was never full keeps what it has. */
TEST_F_TIMEOUT(evict, what_fits_stays, 60)
{
	size_t len = self->total - BLOCK;

	ASSERT_EQ(0, read_blocks(self->fd, self->buf, len));
	ASSERT_TRUE(on_device(self->buf, len));
	sleep_ms(200);
	ASSERT_EQ(0, read_blocks(self->fd, self->buf, len));
	EXPECT_TRUE(on_device(self->buf, len));
	EXPECT_EQ(0, npu_stat(0, "evicted"));
	EXPECT_EQ(0, npu_stat(0, "evict_wait"));
}

/* Once it was full, a part is kept free, by the worker and not by faults. */
TEST_F_TIMEOUT(evict, worker_keeps_some_free, 60)
{
	/* The low mark: 1/512 of the memory, which is the least it may be. */
	uint64_t end, zeroed, low = scaled(self->total / 512, 128 * KiB);
	long long faults, waits;
	char *more;

	ASSERT_EQ(0, read_blocks(self->fd, self->buf, self->len));
	ASSERT_LT(self->total / 2, pages_on_device(self->buf, self->len) * page_size());
	ASSERT_LE(self->total / 2, npu_stat(0, "evicted"));
	/* It may rest for half a second. */
	for (end = now_ms() + 5000; npu_info(self->fd).mem_free < low;) {
		ASSERT_GT(end, now_ms());
		sleep_ms(1);
	}
	/* Two chunks, one of a fault, and the holes in others. */
	EXPECT_GT(4 * BLOCK, npu_info(self->fd).mem_free);

	faults = npu_stat(0, "demand_faults");
	waits = npu_stat(0, "evict_wait");
	ASSERT_LT(0, waits);
	EXPECT_GE(faults, waits);
	EXPECT_GT(npu_stat(0, "evicted") / 2, npu_stat(0, "evict_direct"));

	/* There is room for the next fault, so it does not wait. */
	more = buf_alloc(BLOCK);
	waits = npu_stat(0, "evict_wait");
	zeroed = npu_info(self->fd).zeroed;
	ASSERT_EQ(0, madvise(more, BLOCK, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(more, 7, 64 * KiB)));
	EXPECT_EQ(zeroed + 64 * KiB, npu_info(self->fd).zeroed);
	EXPECT_EQ(waits, npu_stat(0, "evict_wait"));
	munmap(more, BLOCK);
}

/* What the device uses again and again stays, whatever streams past it. */
TEST_F_TIMEOUT(evict, what_is_used_stays, 120)
{
	size_t hot = self->total / 4, i, pass;
	uint64_t moved;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, read_blocks(self->fd, self->buf, hot));
	ASSERT_TRUE(on_device(self->buf, hot));
	moved = npu_info(self->fd).to_dev;
	for (pass = 0; pass < 2; pass++) {
		for (i = hot; i < self->len; i += BLOCK) {
			ASSERT_EQ(0, npu_run1(self->fd, cmd_read(self->buf + i,
								 BLOCK)));
			ASSERT_EQ(0, read_blocks(self->fd, self->buf, hot));
		}
	}
	ASSERT_LT(self->total, npu_stat(0, "evicted"));
	EXPECT_TRUE(on_device(self->buf, hot));
	moved = npu_info(self->fd).to_dev - moved;
	/* What streams past, and the hot part once more at most. */
	EXPECT_GE(2 * (self->len - hot) + hot, moved);
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Two contexts of one process on one device: what either uses is used, and stays. */
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(used)
{
	int fd[2];
	size_t total, len;
	char *buf;
};

FIXTURE_VARIANT(used)
{
	int hot;		/* which of them uses the hot part */
};

FIXTURE_VARIANT_ADD(used, by_the_first) { .hot = 0 };
FIXTURE_VARIANT_ADD(used, by_the_second) { .hot = 1 };

FIXTURE_SETUP(used)
{
	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 32 });
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(0);
	self->total = npu_info(self->fd[0]).mem_total;
	self->len = 2 * self->total;
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_HUGEPAGE));
	buf_fill(self->buf, self->len, 1);
}

FIXTURE_TEARDOWN(used)
{
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	munmap(self->buf, self->len);
	close(self->fd[0]);
	close(self->fd[1]);
}

static int read_blocks(int fd, const char *buf, size_t len)
{
	size_t at;
	int err = 0;

	for (at = 0; at < len && !err; at += BLOCK)
		err = npu_run1(fd, cmd_read(buf + at, BLOCK));
	return err;
}

TEST_F_TIMEOUT(used, what_one_context_uses_stays, 120)
{
	int hot_fd = self->fd[variant->hot], other = self->fd[!variant->hot];
	size_t hot = self->total / 4, at, pass;
	uint64_t moved;

	/* Both map it; the hot one goes on using it. */
	ASSERT_EQ(0, read_blocks(hot_fd, self->buf, hot));
	ASSERT_EQ(0, read_blocks(other, self->buf, hot));
	for (at = 0; at < 4; at++)
		ASSERT_EQ(0, read_blocks(hot_fd, self->buf, hot));
	ASSERT_TRUE(on_device(self->buf, hot));
	moved = npu_info(hot_fd).to_dev;
	for (pass = 0; pass < 2; pass++) {
		for (at = hot; at < self->len; at += BLOCK) {
			ASSERT_EQ(0, npu_run1(other, cmd_read(self->buf + at, BLOCK)));
			ASSERT_EQ(0, read_blocks(hot_fd, self->buf, hot));
		}
	}
	ASSERT_LT(self->total, npu_stat(0, "evicted"));
	EXPECT_TRUE(on_device(self->buf, hot));
	moved = npu_info(hot_fd).to_dev - moved;
	/* What streams past, and the hot part once more at most. */
	EXPECT_GE(2 * (self->len - hot) + hot, moved);
}

GMEM_TEST_MAIN

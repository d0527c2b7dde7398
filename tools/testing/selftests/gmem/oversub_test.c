// SPDX-License-Identifier: GPL-2.0
/* A working set of twice the device's memory. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(oversub)
{
	int fd;
	size_t total, len;
	struct npu_info before;
	char *buf;
};

FIXTURE_VARIANT(oversub)
{
	int advice;
};

FIXTURE_VARIANT_ADD(oversub, blocks) { .advice = MADV_HUGEPAGE };
FIXTURE_VARIANT_ADD(oversub, small_pages) { .advice = MADV_NOHUGEPAGE };

FIXTURE_SETUP(oversub)
{
	int mib = scaled(64, 16);

	npu_require(&(struct npu_config){ .mem_mib = mib });
	self->fd = npu_open(0);
	self->total = mib * MiB;
	self->len = 2 * self->total;
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, variant->advice));
	self->before = npu_info(self->fd);
	ASSERT_EQ(self->total, self->before.mem_total);
}

FIXTURE_TEARDOWN(oversub)
{
	close(self->fd);
}

/* The device is full, and not fuller than full. */
static void check_full(struct __test_metadata *_metadata,
		       FIXTURE_DATA(oversub) *self)
{
	size_t resident = pages_on_device(self->buf, self->len) * page_size();
	struct npu_info info = npu_info(self->fd);

	ASSERT_GE(resident, self->total / 2);
	ASSERT_LE(resident, self->total);
	EXPECT_LE(info.mem_free, self->total / 2);
	EXPECT_LE(self->before.evicted + self->total / 2, info.evicted);
	EXPECT_LE(info.evicted - self->before.evicted,
		  info.from_dev - self->before.from_dev);
}

TEST_F_TIMEOUT(oversub, written_by_the_device, 120)
{
	size_t i;

	for (i = 0; i < self->len; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf + i,
							 i / BLOCK + 1, BLOCK)));
	check_full(_metadata, self);
	for (i = 0; i < self->len; i += BLOCK)
		ASSERT_TRUE(buf_is(self->buf + i, BLOCK, i / BLOCK + 1));
	EXPECT_TRUE(npu_wait_free(self->fd, self->before.mem_free, 5000));
}

TEST_F_TIMEOUT(oversub, written_by_the_cpu_read_twice_by_the_device, 120)
{
	uint64_t *counts = buf_alloc(256 * 8), expect[256] = { 0 };
	size_t i, pass;

	buf_fill(self->buf, self->len, 1);
	for (i = 0; i < self->len; i++)
		expect[(uint8_t)self->buf[i]] += 2;
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < self->len; i += 4 * BLOCK)
			ASSERT_EQ(0, npu_run1(self->fd,
					      cmd_histogram(counts, self->buf + i,
							    4 * BLOCK)));
		check_full(_metadata, self);
	}
	EXPECT_EQ(0, memcmp(counts, expect, sizeof(expect)));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

/*
 * No 2 MiB folio to be had on the host: blocks leave the device in small pages.
 */
TEST_F_TIMEOUT(oversub, eviction_without_large_host_folios, 120)
{
	const char *dir = "/sys/kernel/debug/fail_page_alloc/";
	char path[128];
	int hits;
	size_t i;

	if (access(dir, F_OK))
		SKIP(return, "no fail_page_alloc");
	for (i = 0; i < self->total; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf + i,
							 i / BLOCK + 1, BLOCK)));
	ASSERT_GE(pages_on_device(self->buf, self->total) * page_size(),
		  self->total / 2);

	snprintf(path, sizeof(path), "%smin-order", dir);
	ASSERT_EQ(0, file_write(path, "9"));
	snprintf(path, sizeof(path), "%signore-gfp-wait", dir);
	ASSERT_EQ(0, file_write(path, "N"));
	snprintf(path, sizeof(path), "%signore-gfp-highmem", dir);
	ASSERT_EQ(0, file_write(path, "N"));
	ASSERT_EQ(0, fail_start("fail_page_alloc", 100, -1));
	for (; i < self->len; i += BLOCK)
		EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf + i,
							 i / BLOCK + 1, BLOCK)));
	hits = fail_stop("fail_page_alloc");
	if (variant->advice == MADV_HUGEPAGE)
		EXPECT_LT(0, hits);
	check_full(_metadata, self);
	for (i = 0; i < self->len; i += BLOCK)
		ASSERT_TRUE(buf_is(self->buf + i, BLOCK, i / BLOCK + 1));
}

/* Two processes that fill the device take it from one another. */
TEST_F_TIMEOUT(oversub, two_processes, 120)
{
	size_t len = self->total / 4 * 3, i;
	struct baton to_child, to_parent;
	pid_t child;

	baton_make(&to_child);
	baton_make(&to_parent);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(0), round;

		for (round = 0; round < 3; round++) {
			for (i = 0; i < len; i += BLOCK)
				if (npu_run1(fd, cmd_fill(self->buf + i, 0xc1,
							  BLOCK)))
					_exit(1);
			baton_pass(&to_parent);
			baton_take(&to_child);
		}
		_exit(buf_is(self->buf, len, 0xc1) ? 0 : 2);
	}
	for (int round = 0; round < 3; round++) {
		baton_take(&to_parent);
		for (i = 0; i < len; i += BLOCK)
			EXPECT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf + i,
								 0xd2, BLOCK)));
		ASSERT_LT(0, pages_on_device(self->buf, len));
		baton_pass(&to_child);
	}
	EXPECT_EQ(0, child_result(child, 60000));
	ASSERT_LT(self->before.evicted, npu_info(self->fd).evicted);
	EXPECT_TRUE(buf_is(self->buf, len, 0xd2));
}

GMEM_TEST_MAIN

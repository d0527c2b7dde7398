// SPDX-License-Identifier: GPL-2.0
/* What leaves a device goes to another one with room, if it may, else home. */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(shelter)
{
	int fd[2];
	size_t total, len, more;
	char *buf;
};

FIXTURE_VARIANT(shelter)
{
	int advice;
};

FIXTURE_VARIANT_ADD(shelter, blocks) { .advice = MADV_HUGEPAGE };
FIXTURE_VARIANT_ADD(shelter, small_pages) { .advice = MADV_NOHUGEPAGE };

/* Two NPUs that were never full: a buffer that NPU 0 has, and more than fits. */
FIXTURE_SETUP(shelter)
{
	size_t i;

	npu_unload();
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 16 });
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
	self->total = npu_info(self->fd[0]).mem_total;
	self->len = self->total - BLOCK;
	self->more = self->total / 2;
	self->buf = buf_alloc(self->len + self->more);
	ASSERT_EQ(0, madvise(self->buf, self->len + self->more, variant->advice));
	for (i = 0; i < self->len; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(self->buf + i,
							    i / BLOCK + 1, BLOCK)));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(self->total, npu_info(self->fd[1]).mem_free);
	ASSERT_EQ(0, npu_info(self->fd[0]).evicted);
	ASSERT_EQ(0, npu_info(self->fd[1]).peer);
}

FIXTURE_TEARDOWN(shelter)
{
	size_t i;

	for (i = 0; i < self->len + self->more; i += BLOCK)
		EXPECT_TRUE(buf_is(self->buf + i, BLOCK, i / BLOCK + 1));
	munmap(self->buf, self->len + self->more);
	for (i = 0; i < 2; i++) {
		EXPECT_TRUE(npu_wait_free(self->fd[i], self->total, 5000));
		close(self->fd[i]);
	}
}

/* Wait until the worker of NPU 0 has evicted what it wants to; it may rest for half a second. */
static void settle(FIXTURE_DATA(shelter) *self)
{
	uint64_t evicted, end = now_ms() + 5000;

	do {
		evicted = npu_info(self->fd[0]).evicted;
		sleep_ms(1000);
	} while (evicted != npu_info(self->fd[0]).evicted && now_ms() < end);
}

/* NPU 0 wants the rest of the buffer, too. */
static void overflow(struct __test_metadata *_metadata,
		     FIXTURE_DATA(shelter) *self)
{
	size_t i;

	for (i = self->len; i < self->len + self->more; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(self->buf + i,
							    i / BLOCK + 1, BLOCK)));
	settle(self);
	ASSERT_LE(self->more - BLOCK, npu_info(self->fd[0]).evicted);
}

/* All that left came home. */
static void check_home(struct __test_metadata *_metadata,
		       FIXTURE_DATA(shelter) *self)
{
	struct npu_info info = npu_info(self->fd[0]);
	size_t all = self->len + self->more;

	EXPECT_EQ(0, npu_info(self->fd[1]).peer);
	EXPECT_LE(info.evicted, info.from_dev);
	EXPECT_GE(self->total, pages_on_device(self->buf, all) * page_size());
}

TEST_F_TIMEOUT(shelter, room_there, 60)
{
	struct npu_info from, to;

	overflow(_metadata, self);
	from = npu_info(self->fd[0]);
	to = npu_info(self->fd[1]);
	/* Every page that left is there, and none was on the host. */
	EXPECT_LE(from.evicted, to.peer);
	EXPECT_EQ(from.from_dev, to.peer);
	EXPECT_LT(to.mem_free, self->total);
	EXPECT_TRUE(on_device(self->buf, self->len + self->more));
}

/* Also while the NPU that wants room is disturbed so often that it keeps everybody else away. */
TEST_F_TIMEOUT(shelter, disturbed, 60)
{
	struct npu_info to;
	size_t i;

	if (access("/sys/kernel/debug/fail_gmem_retry", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	for (i = self->len; i < self->len + self->more; i += BLOCK) {
		ASSERT_EQ(0, fail_start("fail_gmem_retry", 100, 60));
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(self->buf + i,
							    i / BLOCK + 1, BLOCK)));
		fail_stop("fail_gmem_retry");
	}
	settle(self);
	to = npu_info(self->fd[1]);
	EXPECT_EQ(npu_info(self->fd[0]).from_dev, to.peer);
	EXPECT_TRUE(on_device(self->buf, self->len + self->more));
}

/* What is there is used from there, by either NPU. */
TEST_F_TIMEOUT(shelter, used_from_there, 60)
{
	size_t all = self->len + self->more;
	uint64_t *counts = buf_alloc(256 * 8), expect[256] = { 0 }, peer;
	size_t i;

	overflow(_metadata, self);
	peer = npu_info(self->fd[0]).peer;
	ASSERT_TRUE(on_device(self->buf, all));
	for (i = 0; i < all; i += BLOCK) {
		expect[i / BLOCK + 1] += BLOCK;
		ASSERT_EQ(0, npu_run1(self->fd[0],
				      cmd_histogram(counts, self->buf + i, BLOCK)));
	}
	EXPECT_EQ(0, memcmp(counts, expect, sizeof(expect)));
	EXPECT_LT(peer, npu_info(self->fd[0]).peer);
	munmap(counts, 256 * 8);
}

/* It is not filled up: a quarter stays for those who work there. */
TEST_F_TIMEOUT(shelter, not_all_of_it, 60)
{
	size_t len = 2 * self->total, i;
	char *buf = buf_alloc(len);
	struct npu_info to;

	ASSERT_EQ(0, madvise(buf, len, variant->advice));
	overflow(_metadata, self);
	for (i = 0; i < len; i += BLOCK)
		ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf + i, 0x77, BLOCK)));
	settle(self);
	to = npu_info(self->fd[1]);
	EXPECT_LE(self->total / 2, to.peer);
	EXPECT_LE(self->total / 4, to.mem_free + BLOCK);
	EXPECT_EQ(0, to.evicted);
	EXPECT_GT((len + self->len + self->more) / page_size(),
		  pages_on_device(buf, len) +
		  pages_on_device(self->buf, self->len + self->more));
	EXPECT_TRUE(buf_is(buf, len, 0x77));
	munmap(buf, len);
}

TEST_F_TIMEOUT(shelter, the_other_is_full, 60)
{
	size_t len = self->total - BLOCK;
	char *buf = buf_alloc(len);

	ASSERT_EQ(0, npu_run1(self->fd[1], cmd_fill(buf, 0x55, len)));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_GE(self->total / 4, npu_info(self->fd[1]).mem_free + 1);
	overflow(_metadata, self);
	check_home(_metadata, self);
	EXPECT_EQ(0, npu_info(self->fd[1]).evicted);
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_is(buf, len, 0x55));
	munmap(buf, len);
}

TEST_F_TIMEOUT(shelter, the_copy_fails, 60)
{
	if (access("/sys/kernel/debug/fail_gmem_copy_peer", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	ASSERT_EQ(0, fail_start("fail_gmem_copy_peer", 100, -1));
	overflow(_metadata, self);
	EXPECT_LT(0, fail_stop("fail_gmem_copy_peer"));
	check_home(_metadata, self);
	EXPECT_EQ(self->total, npu_info(self->fd[1]).mem_free);
}

/* Some copies fail: what left is at one place or the other. */
TEST_F_TIMEOUT(shelter, some_copies_fail, 60)
{
	struct npu_info from, to;

	if (access("/sys/kernel/debug/fail_gmem_copy_peer", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	ASSERT_EQ(0, fail_start("fail_gmem_copy_peer", 100, 1));
	overflow(_metadata, self);
	EXPECT_EQ(1, fail_stop("fail_gmem_copy_peer"));
	from = npu_info(self->fd[0]);
	to = npu_info(self->fd[1]);
	EXPECT_LT(0, to.peer);
	EXPECT_LT(to.peer, from.from_dev);
}

/* Neither there nor anywhere but where it is preferred, and at home. */
TEST_F_TIMEOUT(shelter, preferred_elsewhere, 60)
{
	int node = npu_info(self->fd[0]).hnid;

	ASSERT_EQ(0, hmadvise(node, self->buf, self->len + self->more,
			      MADV_PREFERRED_NODE));
	overflow(_metadata, self);
	check_home(_metadata, self);
}

/* A device that the process does not use is not its shelter. */
TEST_F_TIMEOUT(shelter, not_a_stranger, 60)
{
	close(self->fd[1]);
	overflow(_metadata, self);
	self->fd[1] = npu_open(1);
	check_home(_metadata, self);
}

GMEM_TEST_MAIN

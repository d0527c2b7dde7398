// SPDX-License-Identifier: GPL-2.0
/*
 * Each step of eviction fails once, in turn: the first call of a site, the
 * second one, until a job passes without that. Whatever becomes of the job, the
 * bytes are those that were written last.
 */
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(evict_fail)
{
	int fd[2];
	size_t total, len;
	char *buf;
	bool good[64];
};

FIXTURE_VARIANT(evict_fail)
{
	int advice, npus;
	const char *site;
};

FIXTURE_VARIANT_ADD(evict_fail, alloc_blocks) {
	.site = "fail_gmem_alloc", .advice = MADV_HUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, alloc_small_pages) {
	.site = "fail_gmem_alloc", .advice = MADV_NOHUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, home_blocks) {
	.site = "fail_gmem_home", .advice = MADV_HUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, home_small_pages) {
	.site = "fail_gmem_home", .advice = MADV_NOHUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, copy_to_blocks) {
	.site = "fail_gmem_copy_to", .advice = MADV_HUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, copy_to_small_pages) {
	.site = "fail_gmem_copy_to", .advice = MADV_NOHUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, copy_from_blocks) {
	.site = "fail_gmem_copy_from", .advice = MADV_HUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, copy_from_small_pages) {
	.site = "fail_gmem_copy_from", .advice = MADV_NOHUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, copy_peer_blocks) {
	.site = "fail_gmem_copy_peer", .advice = MADV_HUGEPAGE, .npus = 2
};
FIXTURE_VARIANT_ADD(evict_fail, copy_peer_small_pages) {
	.site = "fail_gmem_copy_peer", .advice = MADV_NOHUGEPAGE, .npus = 2
};
FIXTURE_VARIANT_ADD(evict_fail, retry_blocks) {
	.site = "fail_gmem_retry", .advice = MADV_HUGEPAGE, .npus = 1
};
FIXTURE_VARIANT_ADD(evict_fail, retry_small_pages) {
	.site = "fail_gmem_retry", .advice = MADV_NOHUGEPAGE, .npus = 1
};

FIXTURE_SETUP(evict_fail)
{
	int i;

	if (access("/sys/kernel/debug/fail_gmem_alloc", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	npu_unload();
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 8 });
	for (i = 0; i < variant->npus; i++)
		self->fd[i] = npu_open(i);
	self->total = npu_info(self->fd[0]).mem_total;
	self->len = 2 * self->total;
	self->buf = buf_alloc(self->len);
	ASSERT_LE(self->len / BLOCK, ARRAY_SIZE(self->good));
	ASSERT_EQ(0, madvise(self->buf, self->len, variant->advice));
	buf_fill(self->buf, self->len, 1);
}

FIXTURE_TEARDOWN(evict_fail)
{
	int i;

	munmap(self->buf, self->len);
	for (i = 0; i < variant->npus; i++) {
		EXPECT_TRUE(npu_wait_free(self->fd[i], self->total, 5000));
		close(self->fd[i]);
	}
}

static uint8_t byte_of(size_t at, unsigned int nth)
{
	return at / BLOCK * 7 + nth;
}

/*
 * The device writes those of all blocks, in turn, that have not the right bytes:
 * more than it has memory. Returns the first error.
 */
static int write_blocks(FIXTURE_DATA(evict_fail) *self, unsigned int nth)
{
	int err = 0, one;
	size_t at;

	for (at = 0; at < self->len; at += BLOCK) {
		if (self->good[at / BLOCK])
			continue;
		one = npu_run1(self->fd[0], cmd_fill(self->buf + at,
						     byte_of(at, nth), BLOCK));
		self->good[at / BLOCK] = !one;
		err = err ?: one;
	}
	return err;
}

TEST_F_TIMEOUT(evict_fail, each_call_in_turn, 280)
{
	/* Many calls are alike: after the first ones some are passed over. */
	unsigned int nth = 1, most = scaled(16, 3), failed = 0, tries = 0;
	uint64_t evicted;
	int hits, err;
	size_t at;

	do {
		ASSERT_EQ(0, to_home(self->buf, self->len));
		ASSERT_EQ(0, pages_on_device(self->buf, self->len));
		memset(self->good, 0, sizeof(self->good));
		evicted = npu_info(self->fd[0]).evicted;
		ASSERT_EQ(0, fail_nth(variant->site, nth));
		err = write_blocks(self, nth);
		hits = fail_stop(variant->site);
		ASSERT_TRUE(hits == 0 || hits == 1);
		EXPECT_TRUE(!err || (hits && (err == -EIO || err == -ENOMEM))) {
			TH_LOG("call %u: %d", nth, err);
		}
		ASSERT_LT(evicted, npu_info(self->fd[0]).evicted);
		ASSERT_LT(0, pages_on_device(self->buf, self->len));
		failed += !!err;
		tries++;
		/* What failed works now, and what worked is still there. */
		ASSERT_EQ(0, write_blocks(self, nth));
		for (at = 0; at < self->len; at += BLOCK)
			ASSERT_TRUE(buf_is(self->buf + at, BLOCK, byte_of(at, nth))) {
				TH_LOG("call %u, at %zu", nth, at);
			}
		nth += 1 + nth / most;
	} while (hits);
	/* It did fail. */
	ASSERT_LT(1, tries);
	TH_LOG("%s: up to call %u, %u of %u jobs failed", variant->site, nth,
	       failed, tries);
}

GMEM_TEST_MAIN

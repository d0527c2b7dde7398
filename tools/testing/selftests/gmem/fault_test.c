// SPDX-License-Identifier: GPL-2.0
/*
 * Every operation of the NPU on memory that its own accesses bring to it,
 * against the CPU's result; once with replayable faults and once without.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(job)
{
	int fd[2];
	size_t len;
};

FIXTURE_VARIANT(job)
{
	bool no_faults;
};

FIXTURE_VARIANT_ADD(job, replayable) { .no_faults = false };
FIXTURE_VARIANT_ADD(job, prepared) { .no_faults = true };

FIXTURE_SETUP(job)
{
	npu_require(&(struct npu_config){ .no_faults = variant->no_faults });
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
	self->len = BLOCK + 37 * page_size();
}

FIXTURE_TEARDOWN(job)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(job, fill)
{
	struct npu_info before = npu_info(self->fd[0]), after;
	uint8_t *buf = buf_alloc(self->len);

	buf_fill(buf, self->len, 1);
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf + 100, 0xa5,
						    self->len - 200)));
	ASSERT_TRUE(on_device(buf, self->len));
	after = npu_info(self->fd[0]);
	EXPECT_LT(before.faults, after.faults);
	EXPECT_EQ(before.to_dev + self->len, after.to_dev);
	EXPECT_TRUE(buf_is(buf + 100, self->len - 200, 0xa5));
	EXPECT_EQ(0, pages_on_device(buf, self->len));
	EXPECT_TRUE(buf_check(buf, 100, 1));
}

TEST_F(job, zero_fill)
{
	struct npu_info before = npu_info(self->fd[0]), after;
	uint8_t *buf = buf_alloc(self->len);

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf + 8, 0x77, 8)));
	ASSERT_TRUE(on_device(buf, page_size()));
	after = npu_info(self->fd[0]);
	EXPECT_LT(before.zeroed, after.zeroed);
	EXPECT_EQ(before.to_dev, after.to_dev);
	EXPECT_TRUE(buf_is(buf, 8, 0));
	EXPECT_TRUE(buf_is(buf + 8, 8, 0x77));
	EXPECT_TRUE(buf_is(buf + 16, self->len - 16, 0));
}

TEST_F(job, copy)
{
	uint8_t *src = buf_alloc(self->len), *dst = buf_alloc(self->len);

	buf_fill(src, self->len, 2);
	/* Neither end is aligned. */
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_copy(dst + 3, src + 5,
						    self->len - 11)));
	ASSERT_TRUE(on_device(src, self->len));
	ASSERT_TRUE(on_device(dst, self->len));
	EXPECT_EQ(0, memcmp(dst + 3, src + 5, self->len - 11));
	EXPECT_TRUE(buf_check(src, self->len, 2));
	EXPECT_TRUE(buf_is(dst, 3, 0));
	EXPECT_TRUE(buf_is(dst + self->len - 8, 8, 0));
}

TEST_F(job, vadd)
{
	size_t n = self->len / 4, i, bad = 0;
	uint32_t *a = buf_alloc(self->len), *b = buf_alloc(self->len);
	uint32_t *sum = buf_alloc(self->len);

	buf_fill(a, self->len, 3);
	buf_fill(b, self->len, 4);
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_vadd(sum, a, b, self->len)));
	ASSERT_TRUE(on_device(sum, self->len));
	for (i = 0; i < n; i++)
		bad += sum[i] != a[i] + b[i];
	EXPECT_EQ(0, bad);
}

TEST_F(job, histogram)
{
	uint64_t *counts = buf_alloc(256 * 8), expect[256] = { 0 };
	uint8_t *src = buf_alloc(self->len);
	size_t i;

	buf_fill(src, self->len, 5);
	for (i = 0; i < 256; i++)
		counts[i] = expect[i] = i * 1000;
	for (i = 1; i < self->len - 1; i++)
		expect[src[i]]++;
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_histogram(counts, src + 1,
							 self->len - 2)));
	ASSERT_TRUE(on_device(counts, 256 * 8));
	ASSERT_TRUE(on_device(src, self->len));
	EXPECT_EQ(0, memcmp(counts, expect, sizeof(expect)));
}

TEST_F(job, gather)
{
	size_t n = self->len / 4, taken = n / 3, i, bad = 0;
	uint32_t *src = buf_alloc(self->len), *index = buf_alloc(self->len);
	uint32_t *dst = buf_alloc(self->len);

	buf_fill(src, self->len, 6);
	buf_fill(index, self->len, 7);
	for (i = 0; i < n; i++)
		index[i] %= n;
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_gather(dst, src, index,
						      taken * 4, n)));
	ASSERT_TRUE(on_device(dst, taken * 4));
	for (i = 0; i < taken; i++)
		bad += dst[i] != src[index[i]];
	EXPECT_EQ(0, bad);
	EXPECT_TRUE(buf_is(dst + taken, (n - taken) * 4, 0));
}

TEST_F(job, gather_index_out_of_range)
{
	uint32_t *src = buf_alloc(page_size()), *index = buf_alloc(page_size());
	uint32_t *dst = buf_alloc(page_size());

	buf_fill(src, page_size(), 8);
	index[1] = 16;
	ASSERT_EQ(0, to_device(self->fd[0], index, page_size()));
	ASSERT_TRUE(on_device(index, page_size()));
	EXPECT_EQ(-EFAULT, npu_run1(self->fd[0], cmd_gather(dst, src, index, 8,
							    16)));
}

static int8_t requantize(int32_t sum, int shift)
{
	int64_t v = sum;

	if (shift)
		v = (v + (1LL << (shift - 1))) >> shift;
	return v > 127 ? 127 : v < -128 ? -128 : v;
}

TEST_F(job, gemm)
{
	/* Odd sizes; a page holds no whole number of rows. */
	enum { M = 61, N = 83, K = 1031, SHIFT = 9 };
	int8_t *a = buf_alloc(M * K), *b = buf_alloc(K * N);
	int8_t *c = buf_alloc(M * N);
	size_t bad = 0;
	int i, j, k;

	buf_fill(a, M * K, 9);
	buf_fill(b, K * N, 10);
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_gemm(c, a, b, M, N, K, SHIFT)));
	ASSERT_TRUE(on_device(c, M * N));
	for (i = 0; i < M; i++) {
		for (j = 0; j < N; j++) {
			int32_t sum = 0;

			for (k = 0; k < K; k++)
				sum += a[i * K + k] * b[k * N + j];
			bad += c[i * N + j] != requantize(sum, SHIFT);
		}
	}
	EXPECT_EQ(0, bad);
}

TEST_F(job, atomic_add)
{
	uint64_t *words = buf_alloc(page_size());

	words[5] = 7;
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_add(&words[5], 3, 1000)));
	ASSERT_TRUE(on_device(words, page_size()));
	EXPECT_EQ(3007, words[5]);
	EXPECT_EQ(0, words[4]);
	EXPECT_EQ(0, words[6]);
}

TEST_F(job, device_to_device)
{
	uint64_t peer = npu_info(self->fd[1]).peer;
	uint8_t *buf = buf_alloc(self->len), *copy = buf_alloc(self->len);

	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0x3c, self->len)));
	ASSERT_TRUE(on_device(buf, self->len));
	ASSERT_EQ(0, npu_run1(self->fd[1], cmd_copy(copy, buf, self->len)));
	ASSERT_TRUE(on_device(buf, self->len));
	EXPECT_EQ(peer + self->len, npu_info(self->fd[1]).peer);
	EXPECT_TRUE(buf_is(copy, self->len, 0x3c));
	/* And back, by a write. */
	ASSERT_TRUE(on_device(buf, self->len));
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0xc3, self->len / 2)));
	ASSERT_TRUE(on_device(buf, self->len));
	EXPECT_TRUE(buf_is(buf, self->len / 2, 0xc3));
	EXPECT_TRUE(buf_is(buf + self->len / 2, self->len - self->len / 2, 0x3c));
}

/* The commands of a job run in order, on what the former ones left. */
TEST_F(job, batch_runs_in_order)
{
	uint32_t *a = buf_alloc(self->len), *b = buf_alloc(self->len);
	struct npu_cmd cmds[] = {
		cmd_fill(a, 1, self->len),
		cmd_copy(b, a, self->len),
		cmd_vadd(a, a, b, self->len),
		cmd_vadd(b, a, b, self->len),
	};

	ASSERT_EQ(0, npu_run(self->fd[0], cmds, ARRAY_SIZE(cmds)));
	ASSERT_TRUE(on_device(a, self->len));
	ASSERT_TRUE(on_device(b, self->len));
	EXPECT_TRUE(buf_is(a, self->len, 2));
	EXPECT_TRUE(buf_is(b, self->len, 3));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Every place where GMEM can be made to fail: right error, nothing lost. */
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(inject)
{
	int fd[2];
	size_t len;
	uint64_t free[2];
	char *buf;
};

FIXTURE_VARIANT(inject)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(inject, small_pages) { .len = 32 * 4 * KiB };
FIXTURE_VARIANT_ADD(inject, blocks) { .len = 2 * BLOCK };

FIXTURE_SETUP(inject)
{
	if (access("/sys/kernel/debug/fail_gmem_alloc", F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
	self->free[0] = npu_info(self->fd[0]).mem_free;
	self->free[1] = npu_info(self->fd[1]).mem_free;
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
}

/* Once the failures end everything works, and nothing was leaked. */
FIXTURE_TEARDOWN(inject)
{
	int i;

	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, to_device(self->fd[i], self->buf, self->len));
		EXPECT_TRUE(on_device(self->buf, self->len));
	}
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	munmap(self->buf, self->len);
	for (i = 0; i < 2; i++) {
		EXPECT_TRUE(npu_wait_free(self->fd[i], self->free[i], 2000));
		close(self->fd[i]);
	}
}

TEST_F(inject, alloc)
{
	struct npu_info before = npu_info(self->fd[0]);
	char *copy = buf_alloc(self->len);

	ASSERT_EQ(0, fail_start("fail_gmem_alloc", 100, -1));
	EXPECT_EQ(-ENOSPC, to_device(self->fd[0], self->buf, self->len));
	EXPECT_LT(0, fail_stop("fail_gmem_alloc"));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_EQ(before.to_dev, npu_info(self->fd[0]).to_dev);

	/* Some allocations fail: what cannot be there is used from here. */
	ASSERT_EQ(0, fail_start("fail_gmem_alloc", 50, -1));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_copy(copy, self->buf, self->len)));
	fail_stop("fail_gmem_alloc");
	EXPECT_TRUE(buf_check(copy, self->len, 1));
	munmap(copy, self->len);
}

TEST_F(inject, copy_to)
{
	ASSERT_EQ(0, fail_start("fail_gmem_copy_to", 100, -1));
	EXPECT_EQ(-EFAULT, to_device(self->fd[0], self->buf, self->len));
	EXPECT_EQ(-EIO, npu_run1(self->fd[0], cmd_fill(self->buf, 0, self->len)));
	EXPECT_LT(1, fail_stop("fail_gmem_copy_to"));
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
}

TEST_F(inject, zero_fill)
{
	char *fresh = buf_alloc(self->len);

	ASSERT_EQ(0, fail_start("fail_gmem_copy_to", 100, -1));
	EXPECT_EQ(-EFAULT, to_device(self->fd[0], fresh, self->len));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_to"));
	EXPECT_EQ(0, pages_on_device(fresh, self->len));
	EXPECT_TRUE(buf_is(fresh, self->len, 0));
	munmap(fresh, self->len);
}

TEST_F(inject, copy_from_by_prefetch)
{
	ASSERT_EQ(0, to_device(self->fd[0], self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, fail_start("fail_gmem_copy_from", 100, -1));
	EXPECT_EQ(-EFAULT, to_home(self->buf, self->len));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_from"));
	/* The page and the data are still there, and usable there. */
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(self->buf, self->len)));
}

/* A copy that fails now and then costs time, nothing else. */
TEST_F(inject, copy_from_by_cpu_fault)
{
	ASSERT_EQ(0, to_device(self->fd[0], self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, fail_start("fail_gmem_copy_from", 100, 3));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
	EXPECT_EQ(3, fail_stop("fail_gmem_copy_from"));
}

/*
 * One that always fails: the task waits and can be killed, or gets SIGBUS, but
 * it never sees a wrong byte, and the device keeps the right ones.
 */
TEST_F(inject, copy_from_always_fails)
{
	int hits, result;
	pid_t child;

	ASSERT_EQ(0, to_device(self->fd[0], self->buf, self->len));
	ASSERT_EQ(0, fail_start("fail_gmem_copy_from", 100, -1));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (!on_device(self->buf, self->len))
			_exit(2);
		_exit(*(volatile char *)self->buf ? 0 : 1);
	}
	result = child_result(child, 500);
	if (result == -ETIME)
		result = child_result(child, 5000);
	hits = fail_stop("fail_gmem_copy_from");
	EXPECT_TRUE(result == -SIGKILL || result == -SIGBUS) {
		TH_LOG("the child ended with %d", result);
	}
	EXPECT_LT(0, hits);
	ASSERT_TRUE(on_device(self->buf, self->len));
}

TEST_F(inject, copy_peer)
{
	uint64_t peer = npu_info(self->fd[1]).peer;

	ASSERT_EQ(0, to_device(self->fd[0], self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, fail_start("fail_gmem_copy_peer", 100, -1));
	EXPECT_EQ(-EFAULT, to_device(self->fd[1], self->buf, self->len));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_peer"));
	EXPECT_EQ(peer, npu_info(self->fd[1]).peer);
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(self->buf, self->len)));
}

/* A lost race is tried again, not reported. */
TEST_F(inject, retry)
{
	char *copy = buf_alloc(self->len);

	ASSERT_EQ(0, fail_start("fail_gmem_retry", 100, 5));
	EXPECT_EQ(0, to_device(self->fd[0], self->buf, self->len));
	EXPECT_LT(0, fail_stop("fail_gmem_retry"));
	ASSERT_TRUE(on_device(self->buf, self->len));

	ASSERT_EQ(0, fail_start("fail_gmem_retry", 100, 20));
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_copy(copy, self->buf, self->len)));
	EXPECT_LT(0, fail_stop("fail_gmem_retry"));
	ASSERT_TRUE(on_device(copy, self->len));
	EXPECT_TRUE(buf_check(copy, self->len, 1));
	munmap(copy, self->len);
}

/* All sites now and then: every job's result is right or an error. */
TEST_F_TIMEOUT(inject, everything_now_and_then, 120)
{
	static const char *const sites[] = {
		"fail_gmem_alloc", "fail_gmem_copy_to", "fail_gmem_copy_from",
		"fail_gmem_copy_peer", "fail_gmem_retry",
	};
	char *copy = buf_alloc(self->len);
	int good = 0, i, hits = 0, resident = 0;
	bool remote[2] = {};
	size_t s;

	for (i = 0; i < scaled(200, 40); i++) {
		const bool alloc = !strcmp(sites[i % 5], "fail_gmem_alloc");
		int err;

		/* Slower than what counts as bouncing, and stays on the host. */
		sleep_ms(25);
		ASSERT_EQ(0, fail_start(sites[i % 5], 30, -1));
		err = npu_run1(self->fd[i & 1], cmd_copy(copy, self->buf,
							 self->len));
		hits += fail_stop(sites[i % 5]);
		EXPECT_TRUE(err == 0 || err == -EIO || err == -ENOMEM) {
			TH_LOG("%s: %d", sites[i % 5], err);
		}
		/*
		 * Only a device that could not have memory may use host memory,
		 * and goes on so until the pages move.
		 */
		if (pages_on_device(copy, self->len)) {
			remote[0] = false;
			remote[1] = false;
			resident += !err;
		} else if (!err) {
			ASSERT_TRUE(alloc || remote[i & 1]) {
				TH_LOG("%d: %s", i, sites[i % 5]);
			}
			remote[i & 1] = true;
		}
		if (err)
			continue;
		good++;
		if (i % 4 == 0)
			ASSERT_TRUE(buf_check(copy, self->len, 1));
	}
	for (s = 0; s < ARRAY_SIZE(sites); s++)
		fail_stop(sites[s]);
	EXPECT_LT(0, good);
	EXPECT_LT(good / 2, resident);
	EXPECT_LT(0, hits);
	munmap(copy, self->len);
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* What the NPU's file accepts, how much of it, and how one waits. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(limits)
{
	int fd;
	size_t len;
	char *buf;
};

FIXTURE_SETUP(limits)
{
	npu_require(&(struct npu_config){ .max_jobs = 8, .max_cmds = 16 });
	self->fd = npu_open(0);
	self->len = 4 * page_size();
	self->buf = buf_alloc(self->len);
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->buf, 0x51, self->len)));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

/* Nothing that was refused ran. */
FIXTURE_TEARDOWN(limits)
{
	EXPECT_FALSE(npu_busy(self->fd));
	EXPECT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_is(self->buf, self->len, 0x51));
	close(self->fd);
}

TEST_F(limits, queued_jobs)
{
	struct npu_cmd nop = cmd_nop(100000);
	uint64_t jobs[8], extra;
	struct npu_wait result;
	int i;

	for (i = 0; i < 8; i++) {
		jobs[i] = npu_start(self->fd, &nop, 1);
		ASSERT_NE(0, jobs[i]);
	}
	ASSERT_EQ(8, npu_info(self->fd).jobs_running);
	EXPECT_EQ(-EAGAIN, npu_submit(self->fd, &nop, 1, -1, &extra));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, npu_wait(self->fd, jobs[i], 10000, &result));
		EXPECT_EQ(0, result.status);
	}
	EXPECT_EQ(0, npu_run1(self->fd, cmd_nop(1)));
}

/* Results nobody takes do not pile up: the oldest are forgotten. */
TEST_F(limits, results_not_taken)
{
	uint64_t end = now_ms() + 20000, done = npu_info(self->fd).jobs_done;
	struct npu_cmd nop = cmd_nop(0);
	uint64_t first = 0, job = 0;
	struct npu_wait result;
	int taken = 0, err;

	while (taken < 200) {
		ASSERT_GT(end, now_ms());
		err = npu_submit(self->fd, &nop, 1, -1, &job);
		ASSERT_TRUE(err == 0 || err == -EAGAIN);
		taken += !err;
		first = first ?: job;
	}
	while (npu_busy(self->fd))
		ASSERT_GT(end, now_ms());
	ASSERT_EQ(done + 200, npu_info(self->fd).jobs_done);
	EXPECT_EQ(-ENOENT, npu_wait(self->fd, first, 0, &result));
	EXPECT_EQ(0, npu_wait(self->fd, job, 0, &result));
}

TEST_F(limits, commands)
{
	struct npu_cmd cmds[17];
	uint64_t job;
	int i;

	for (i = 0; i < 17; i++)
		cmds[i] = cmd_read(self->buf, self->len);
	EXPECT_EQ(0, npu_run(self->fd, cmds, 16));
	EXPECT_EQ(-EINVAL, npu_submit(self->fd, cmds, 17, -1, &job));
	EXPECT_EQ(-EINVAL, npu_submit(self->fd, cmds, 0, -1, &job));
	EXPECT_EQ(-EINVAL, npu_submit(self->fd, cmds, -1U, -1, &job));
	EXPECT_EQ(-EFAULT, npu_submit(self->fd, NULL, 1, -1, &job));
	EXPECT_EQ(-EFAULT, npu_submit(self->fd, (void *)-4096UL, 1, -1, &job));
}

#define WITH(base, field, value) ({ struct npu_cmd c_ = base; c_.field = value; c_; })

TEST_F(limits, malformed_commands)
{
	char *b = self->buf;
	uint32_t *w = (uint32_t *)b, *odd32 = (uint32_t *)(b + 2);
	uint64_t *odd64 = (uint64_t *)(b + 4);
	int8_t *s = (int8_t *)b;
	struct npu_cmd bad[] = {
		WITH(cmd_nop(1), op, 0), WITH(cmd_nop(1), op, 10),
		WITH(cmd_nop(1), op, -1U), WITH(cmd_nop(1), flags, 1),
		WITH(cmd_nop(1), dst, 8), WITH(cmd_nop(1), src0, 8),
		WITH(cmd_nop(1), src1, 8), WITH(cmd_nop(1), len, 8),
		WITH(cmd_nop(1), arg[1], 1), cmd_nop(10000001),
		WITH(cmd_fill(b, 0, 8), src0, 8), WITH(cmd_fill(b, 0, 8), src1, 8),
		WITH(cmd_fill(b, 0, 8), arg[1], 1),
		WITH(cmd_fill(b, 0, 8), dst, -4UL), cmd_fill(b, 0, -1UL),
		cmd_fill(b, 0, 1UL << 41), cmd_fill((void *)(1UL << 48), 0, 8),
		WITH(cmd_copy(b, b + 8, 8), arg[0], 1),
		WITH(cmd_copy(b, b + 8, 8), src1, 1),
		cmd_copy(b, b + 4, 8), cmd_copy(b + 4, b, 8),
		WITH(cmd_copy(b, b + 8, 8), src0, -4UL),
		cmd_vadd(odd32, w, w, 8), cmd_vadd(w, odd32, w, 8),
		cmd_vadd(w, w, odd32, 8), cmd_vadd(w, w, w, 6),
		cmd_gemm(s, s, s, 0, 1, 1, 0), cmd_gemm(s, s, s, 1, 0, 1, 0),
		cmd_gemm(s, s, s, 1, 1, 0, 0), cmd_gemm(s, s, s, 1, 1, 1, 32),
		WITH(cmd_gemm(s, s, s, 1, 1, 1, 1), len, 1),
		cmd_gather(w, w, odd32, 8, 8), cmd_gather(odd32, w, w, 8, 8),
		cmd_gather(w, w, w, 5, 8), cmd_gather(w, w, w, 8, 1UL << 62),
		cmd_histogram(odd64, b, 8),
		WITH(cmd_histogram((uint64_t *)b, b + 2048, 8), arg[0], 1),
		cmd_add(odd64, 1, 1), WITH(cmd_add((uint64_t *)b, 1, 1), len, 8),
		WITH(cmd_read(b, 8), dst, 8), WITH(cmd_read(b, 8), arg[0], 1),
		cmd_read((void *)-8UL, 16),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Also behind a good one: a job is refused as a whole. */
		struct npu_cmd cmds[2] = { cmd_fill(b, 0x99, 8), bad[i] };
		uint64_t job;

		EXPECT_EQ(-EINVAL, npu_submit(self->fd, cmds, 2, -1, &job)) {
			TH_LOG("command %zu, op %u", i, bad[i].op);
		}
	}
	ASSERT_TRUE(on_device(self->buf, self->len));
}

TEST_F(limits, eventfd)
{
	struct npu_cmd nop = cmd_nop(200000);
	int event = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = { .fd = event, .events = POLLIN };
	struct npu_wait result;
	uint64_t job, count;

	ASSERT_LE(0, event);
	ASSERT_EQ(0, npu_submit(self->fd, &nop, 1, event, &job));
	EXPECT_EQ(0, poll(&p, 1, 0));
	ASSERT_TRUE(npu_busy(self->fd));
	ASSERT_EQ(1, poll(&p, 1, 5000));
	ASSERT_EQ(8, read(event, &count, 8));
	EXPECT_EQ(1, count);
	ASSERT_EQ(0, npu_wait(self->fd, job, 0, &result));
	EXPECT_EQ(0, result.status);
	close(event);
}

TEST_F(limits, eventfd_of_a_job_that_fails)
{
	struct npu_cmd bad = cmd_read((void *)page_size(), 8);
	int event = eventfd(0, EFD_CLOEXEC);
	struct pollfd p = { .fd = event, .events = POLLIN };
	struct npu_wait result;
	uint64_t job;

	ASSERT_EQ(0, npu_submit(self->fd, &bad, 1, event, &job));
	ASSERT_EQ(1, poll(&p, 1, 5000));
	ASSERT_EQ(0, npu_wait(self->fd, job, 0, &result));
	EXPECT_EQ(-EFAULT, result.status);
	close(event);
}

TEST_F(limits, eventfd_bad)
{
	struct npu_cmd nop = cmd_nop(1);
	uint64_t job;
	int p[2];

	EXPECT_EQ(-EBADF, npu_submit(self->fd, &nop, 1, 9999, &job));
	ASSERT_EQ(0, pipe(p));
	EXPECT_EQ(-EINVAL, npu_submit(self->fd, &nop, 1, p[0], &job));
	EXPECT_EQ(-EBADF, npu_submit(self->fd, &nop, 1, -2, &job));
	close(p[0]);
	close(p[1]);
}

static void on_alarm(int sig) {}

TEST_F(limits, wait)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	struct npu_cmd nop = cmd_nop(500000);
	uint64_t job, start = now_ms();
	struct npu_wait result;

	EXPECT_EQ(-ENOENT, npu_wait(self->fd, 0, 0, &result));
	EXPECT_EQ(-ENOENT, npu_wait(self->fd, 123456789, -1, &result));
	job = npu_start(self->fd, &nop, 1);
	ASSERT_NE(0, job);
	ASSERT_TRUE(npu_busy(self->fd));
	EXPECT_EQ(-ETIME, npu_wait(self->fd, job, 0, &result));
	EXPECT_EQ(-ETIME, npu_wait(self->fd, job, 50, &result));
	EXPECT_LE(start + 50, now_ms());
	ASSERT_TRUE(npu_busy(self->fd));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
	EXPECT_EQ(-EINTR, npu_wait(self->fd, job, -1, &result));
	ASSERT_TRUE(npu_busy(self->fd));
	EXPECT_EQ(0, npu_wait(self->fd, job, -1, &result));
	EXPECT_EQ(0, result.status);
	EXPECT_LE(start + 490, now_ms());
	EXPECT_EQ(-ENOENT, npu_wait(self->fd, job, 0, &result));
}

TEST_F(limits, jobs_of_another_file)
{
	struct npu_cmd nop = cmd_nop(100000);
	int other = npu_open(0);
	uint64_t job = npu_start(other, &nop, 1);
	struct npu_wait result;

	ASSERT_NE(0, job);
	ASSERT_TRUE(npu_busy(other));
	EXPECT_FALSE(npu_busy(self->fd));
	EXPECT_EQ(0, npu_wait(other, job, 5000, &result));
	EXPECT_EQ(-ENOENT, npu_wait(self->fd, job + 1000, 0, &result));
	close(other);
}

GMEM_TEST_MAIN

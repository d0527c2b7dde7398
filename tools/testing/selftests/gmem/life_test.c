// SPDX-License-Identifier: GPL-2.0
/* Memory, files and processes that go away under a running job. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(life)
{
	int fd;
	size_t len;
	uint64_t free;
	char *buf;
};

FIXTURE_VARIANT(life)
{
	bool no_faults;
};

FIXTURE_VARIANT_ADD(life, replayable) { .no_faults = false };
FIXTURE_VARIANT_ADD(life, prepared) { .no_faults = true };

FIXTURE_SETUP(life)
{
	npu_require(&(struct npu_config){ .no_faults = variant->no_faults });
	self->fd = npu_open(0);
	self->len = 2 * BLOCK;
	self->free = npu_info(self->fd).mem_free;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
	ASSERT_EQ(0, to_device(self->fd, self->buf, self->len));
	ASSERT_TRUE(on_device(self->buf, self->len));
}

/* Nothing leaked and the NPU works for the next one. */
FIXTURE_TEARDOWN(life)
{
	int fd = npu_open(0);
	char *good = buf_alloc(page_size());

	munmap(self->buf, self->len);
	EXPECT_TRUE(npu_wait_free(fd, self->free, 5000));
	EXPECT_EQ(0, npu_run1(fd, cmd_fill(good, 0x66, page_size())));
	EXPECT_TRUE(on_device(good, page_size()));
	EXPECT_TRUE(buf_is(good, page_size(), 0x66));
	close(fd);
	close(self->fd);
}

TEST_F(life, munmap_before_the_job_gets_there)
{
	struct npu_cmd cmds[] = {
		cmd_nop(300000), cmd_fill(self->buf, 0x10, self->len),
	};
	uint64_t job = npu_start(self->fd, cmds, 2);
	struct npu_wait result;

	ASSERT_NE(0, job);
	ASSERT_TRUE(npu_busy(self->fd));
	ASSERT_TRUE(on_device(self->buf, self->len));
	ASSERT_EQ(0, munmap(self->buf, self->len));
	ASSERT_EQ(0, npu_wait(self->fd, job, 10000, &result));
	EXPECT_EQ(-EFAULT, result.status);
	EXPECT_EQ(1, result.cmd);
	EXPECT_EQ((uintptr_t)self->buf, result.fault_addr & -page_size());
}

TEST_F(life, munmap_in_the_middle)
{
	struct npu_cmd cmds[200];
	struct npu_wait result;
	uint64_t job;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		cmds[i] = cmd_fill(self->buf, i, self->len);
	job = npu_start(self->fd, cmds, ARRAY_SIZE(cmds));
	ASSERT_NE(0, job);
	sleep_ms(5);
	ASSERT_TRUE(npu_busy(self->fd));
	ASSERT_EQ(0, munmap(self->buf, self->len));
	ASSERT_EQ(0, npu_wait(self->fd, job, 20000, &result));
	EXPECT_EQ(-EFAULT, result.status);
	EXPECT_LE((uintptr_t)self->buf, result.fault_addr);
	EXPECT_GT((uintptr_t)self->buf + self->len, result.fault_addr);
}

TEST_F(life, mprotect_in_the_middle)
{
	struct npu_cmd cmds[200];
	struct npu_wait result;
	uint64_t job;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		cmds[i] = cmd_fill(self->buf, 0x20, self->len);
	job = npu_start(self->fd, cmds, ARRAY_SIZE(cmds));
	ASSERT_NE(0, job);
	sleep_ms(5);
	ASSERT_TRUE(npu_busy(self->fd));
	ASSERT_EQ(0, mprotect(self->buf, self->len, PROT_READ));
	ASSERT_EQ(0, npu_wait(self->fd, job, 20000, &result));
	EXPECT_EQ(-EFAULT, result.status);
}

TEST_F(life, exit_under_a_running_job)
{
	size_t len = 16 * page_size();
	struct baton dying;
	pid_t child;

	baton_make(&dying);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *own = buf_alloc(len);
		int fd = npu_open(0);
		struct npu_cmd cmds[] = {
			cmd_fill(own, 0x30, len), cmd_nop(10000000),
			cmd_fill(own, 0x31, len),
		};
		uint64_t end = now_ms() + 5000;

		if (!npu_start(fd, cmds, 3))
			_exit(1);
		while (pages_on_device(own, len) < 16 && now_ms() < end)
			sleep_ms(5);
		baton_pass(&dying);
		_exit(npu_busy(fd) && on_device(own, len) ? 42 : 2);
	}
	/* Far less than the job would take. */
	baton_take(&dying);
	EXPECT_EQ(42, child_result(child, 3000));
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

TEST_F(life, close_with_running_jobs)
{
	struct npu_cmd cmds[] = {
		cmd_fill(self->buf, 0x40, self->len), cmd_nop(10000000),
	};
	int fd = npu_open(0), i;
	uint64_t start;

	for (i = 0; i < 8; i++)
		ASSERT_NE(0, npu_start(fd, cmds, 2));
	ASSERT_TRUE(npu_busy(fd));
	start = now_ms();
	ASSERT_EQ(0, close(fd));
	EXPECT_GT(start + 2000, now_ms());
}

/* How many pages of the only process with devices these map. */
static int pages_mapped(void)
{
	char text[256] = "", *mapped;

	file_read("/sys/kernel/debug/gmem/spaces", text, sizeof(text));
	mapped = strstr(text, "mapped=");
	return mapped ? atoi(mapped + strlen("mapped=")) : -1;
}

/* Closing the file leaves the data where it is, and reachable; nothing maps it any more. */
TEST_F(life, close_with_data_on_the_device)
{
	int other = npu_open(1);	/* keeps the address space */

	ASSERT_EQ(self->len / page_size(), pages_mapped());
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, pages_mapped());
	close(other);
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

static void storm_child(char *buf, size_t len, int i, int ready)
{
	struct npu_cmd cmds[] = {
		cmd_fill(buf, i, len), cmd_copy(buf, buf + len / 2, len / 2),
		cmd_add((uint64_t *)buf, 1, 100), cmd_nop(20000),
		cmd_histogram((uint64_t *)buf, buf + 4096, len - 4096),
		cmd_nop(2000000),
	};
	int fd[2] = { npu_open(0), npu_open(1) };

	npu_start(fd[i & 1], cmds, ARRAY_SIZE(cmds));
	npu_start(fd[~i & 1], cmds, ARRAY_SIZE(cmds));
	npu_start(fd[i & 1], cmds, ARRAY_SIZE(cmds));
	if (!npu_busy(fd[0]) || !npu_busy(fd[1]) || write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		buf[(size_t)rand() % len]++;
}

TEST_F_TIMEOUT(life, kill_storm, 300)
{
	int total = scaled(200, 20), batch = 10, done, i, ready[2];
	size_t len = 256 * KiB;
	char *buf = buf_alloc(len);
	pid_t pids[10];

	for (done = 0; done < total; done += batch) {
		ASSERT_EQ(0, pipe(ready));
		for (i = 0; i < batch; i++) {
			pids[i] = fork();
			ASSERT_LE(0, pids[i]);
			if (!pids[i])
				storm_child(buf, len, done + i, ready[1]);
		}
		close(ready[1]);
		for (i = 0; i < batch; i++) {
			char c;

			ASSERT_EQ(1, read(ready[0], &c, 1));
		}
		close(ready[0]);
		for (i = 0; i < batch; i++)
			ASSERT_EQ(0, kill(pids[i], SIGKILL));
		for (i = 0; i < batch; i++)
			ASSERT_EQ(-SIGKILL, child_result(pids[i], 10000));
	}
	/* What another process did on the NPU left ours alone. */
	ASSERT_TRUE(on_device(self->buf, self->len));
	EXPECT_TRUE(buf_check(self->buf, self->len, 1));
}

GMEM_TEST_MAIN

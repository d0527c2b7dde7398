// SPDX-License-Identifier: GPL-2.0
/*
 * What is done under locks that others wait for, on a device of 1 GiB: a search
 * for what counts against a limit, the end of large pins; and which locks a
 * fault of the CPU does without.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define HOLDS	"/sys/kernel/debug/gmem/holds"
#define ROOT	"/sys/fs/cgroup"
#define GROUP	ROOT "/gmem-holds"
#define REGION	"gmem/npu0"
#define ENOUGH	20000	/* ms */
#define MOST	64	/* looks under one hold of a lock */

static long long dmem_current(void)
{
	char text[1024], *line;

	if (file_read(ROOT "/dmem.current", text, sizeof(text)) < 0)
		die("cannot read dmem.current\n");
	line = strstr(text, REGION " ");
	if (!line)
		die("no %s in dmem.current\n", REGION);
	return atoll(line + strlen(REGION) + 1);
}

FIXTURE(holds)
{
	int fd;
	size_t total, page;
};

FIXTURE_SETUP(holds)
{
	if (access(HOLDS, F_OK))
		SKIP(return, "no debugfs");
	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 1024 });
	self->fd = npu_open(0);
	self->total = npu_info(self->fd).mem_total;
	self->page = page_size();
}

FIXTURE_TEARDOWN(holds)
{
	EXPECT_TRUE(npu_wait_free(self->fd, self->total, 10000));
	close(self->fd);
	npu_unload();
}

/* Uses three times what its group may have; returns an exit code. */
static int over_the_limit(void)
{
	size_t len = 6 * BLOCK, i;
	char *buf;
	int fd;

	if (file_write(GROUP "/cgroup.procs", "0"))
		return 1;
	fd = npu_open(0);
	buf = buf_alloc(len);
	for (i = 0; i < len; i += BLOCK) {
		if (npu_run1(fd, cmd_fill(buf + i, 5, BLOCK)))
			return 2;
	}
	if (pages_on_device(buf, len) > 2 * BLOCK / page_size())
		return 3;
	return buf_is(buf, len, 5) ? 0 : 4;
}

/* The chunks that count against a limit are among hundreds that do not. */
TEST_F_TIMEOUT(holds, search_for_a_limit, 120)
{
	size_t others = self->total - 64 * MiB;
	char *buf = buf_alloc(others);
	struct stat st;
	pid_t pid;

	if (stat(ROOT "/cgroup.procs", &st) && mount("cgroup", ROOT, "cgroup2", 0, NULL))
		SKIP(return, "no cgroup2");
	if (stat(ROOT "/dmem.capacity", &st))
		SKIP(return, "no dmem controller");
	ASSERT_EQ(0, file_write(ROOT "/cgroup.subtree_control", "+dmem"));
	rmdir(GROUP);
	ASSERT_EQ(0, mkdir(GROUP, 0755));
	ASSERT_EQ(0, file_write(GROUP "/dmem.max", REGION " 4194304"));
	ASSERT_EQ(0, to_device(self->fd, buf, others));
	ASSERT_LT(4 * MOST, others / BLOCK);
	pid = fork();
	if (!pid)
		_exit(over_the_limit());
	EXPECT_EQ(0, child_result(pid, 100000));
	EXPECT_LT(0, file_find(HOLDS, "candidates"));
	EXPECT_GE(MOST, file_find(HOLDS, "candidates"));
	EXPECT_GE(MOST, file_find(HOLDS, "chunks"));
	/* It was its own pages that left. */
	EXPECT_EQ(others / self->page, pages_on_device(buf, others));
	munmap(buf, others);
	EXPECT_TRUE(npu_wait_free(self->fd, self->total, ENOUGH));
	while (rmdir(GROUP) && errno == EBUSY)
		sleep_ms(10);
}

/* Another process pins so much. */
static int pin_and_leave(size_t len)
{
	int fd = npu_open(0);

	return hmadvise(npu_info(fd).hnid, buf_alloc(len), len, MADV_PINNED) ? 1 : 0;
}

/* What is kept for pins goes in pieces, and all of it goes. */
TEST_F_TIMEOUT(holds, end_of_a_large_pin, 120)
{
	size_t len = self->total / 2, used = len;
	uint64_t end = now_ms() + ENOUGH;
	int hnid = npu_info(self->fd).hnid, round;
	struct stat st;
	char *buf;
	pid_t pid;

	for (round = 0; round < 2; round++) {
		buf = buf_alloc(len);
		ASSERT_EQ(0, hmadvise(hnid, buf, used, MADV_PREFETCH));
		ASSERT_EQ(0, hmadvise(hnid, buf, len, MADV_PINNED));
		ASSERT_EQ(len, npu_stat(0, "pinned"));
		if (round) {
			ASSERT_EQ(0, munmap(buf, len));
			EXPECT_EQ(0, npu_stat(0, "pinned"));
			break;
		}
		ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_UNPINNED));
		EXPECT_EQ(0, npu_stat(0, "pinned"));
		/* Its pages are like all others now: they give way. */
		EXPECT_EQ(used / self->page, pages_on_device(buf, used));
		pid = fork();
		if (!pid)
			_exit(pin_and_leave(3 * self->total / 4));
		EXPECT_EQ(0, child_result(pid, 60000));
		EXPECT_GT(used / self->page, pages_on_device(buf, used));
		ASSERT_EQ(0, munmap(buf, len));
	}
	EXPECT_LT(0, file_find(HOLDS, "chunks"));
	EXPECT_GE(MOST, file_find(HOLDS, "chunks"));
	/* Nobody pays for anything. */
	if (!stat(ROOT "/dmem.current", &st)) {
		while (dmem_current() && now_ms() < end)
			sleep_ms(10);
		EXPECT_EQ(0, dmem_current());
	}
	/* As much can be pinned as ever. */
	buf = buf_alloc(3 * self->total / 4);
	EXPECT_EQ(0, hmadvise(hnid, buf, 3 * self->total / 4, MADV_PINNED));
	munmap(buf, 3 * self->total / 4);
}

/* The lists of all devices, spaces and advice. */
TEST_F_TIMEOUT(holds, cpu_faults_lock_no_list, 60)
{
	size_t run = 16 * self->page, nr = 1500, len = 2 * nr * run, i;
	volatile char *buf = buf_alloc(len);
	long long lists, faults;

	/* Each fault brings its own pages only. */
	ASSERT_EQ(0, madvise((void *)buf, len, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill((void *)buf, 9, len)));
	ASSERT_TRUE(on_device((void *)buf, len));
	faults = vmstat("gmem_cpu_fault");
	lists = file_find(HOLDS, "lists");
	ASSERT_LT(0, lists);
	/* No chunk becomes empty: giving it back is work of its own. */
	for (i = 0; i < nr; i++)
		buf[2 * i * run] = 1;
	/* A worker may look through a list meanwhile; a fault that did would do so each time. */
	EXPECT_GT(lists + (long long)nr / 3, file_find(HOLDS, "lists"));
	EXPECT_LE(faults + 1000, vmstat("gmem_cpu_fault"));
	munmap((void *)buf, len);
}

GMEM_TEST_MAIN

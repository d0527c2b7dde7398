// SPDX-License-Identifier: GPL-2.0
/* Kernel memory that a process makes GMEM allocate: it pays, and there is a limit. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define CGROUPS		"/sys/fs/cgroup"
#define GROUP		CGROUPS "/gmem_charge"
#define MAX_RANGES	65536UL

static void move_to(const char *procs)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (file_write(procs, pid))
		die("cannot write %s", procs);
}

/* Bytes of kernel memory charged to GROUP. */
static long long charged(void)
{
	return file_find(GROUP "/memory.stat", "kernel");
}

/* The same, once nothing that ended before is still being given back. */
static long long settled(void)
{
	long long last, now = charged();
	int tries = 50;

	do {
		last = now;
		sleep_ms(100);
		now = charged();
	} while (now != last && --tries);
	return now;
}

FIXTURE(charge)
{
	int fd;
	size_t page;
};

FIXTURE_SETUP(charge)
{
	struct stat st;

	npu_require(&(struct npu_config){});
	if (stat(CGROUPS "/cgroup.procs", &st))
		ASSERT_EQ(0, mount("cgroup", CGROUPS, "cgroup2", 0, NULL));
	file_write(CGROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		die("cannot make a cgroup: %s", strerror(errno));
	move_to(GROUP "/cgroup.procs");
	ASSERT_LE(0, charged());
	self->page = page_size();
	self->fd = npu_open(0);
}

FIXTURE_TEARDOWN(charge)
{
	close(self->fd);
	move_to(CGROUPS "/cgroup.procs");
	rmdir(GROUP);
}

static char *reserve(size_t len)
{
	void *buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_PEER_SHARED | MAP_NORESERVE, -1, 0);

	return buf == MAP_FAILED ? NULL : buf;
}

/* Every second page; returns how many were advised before err. */
static size_t advise(char *buf, size_t nr, int behaviour, int *err)
{
	size_t i, page = page_size();

	for (i = 0; i < nr; i++) {
		*err = hmadvise(-1, buf + 2 * i * page, page, behaviour);
		if (*err)
			break;
	}
	return i;
}

TEST_F_TIMEOUT(charge, ranges_with_advice, 120)
{
	size_t nr = MAX_RANGES + 8, done, page = self->page;
	char *buf = reserve(2 * nr * page);
	long long before = charged();
	int err, status;
	pid_t pid;

	ASSERT_NE(NULL, buf);
	done = advise(buf, nr, MADV_READ_MOSTLY, &err);
	EXPECT_EQ(-ENOSPC, err);
	/* A change is refused when it might not fit. */
	EXPECT_GE(MAX_RANGES, done);
	EXPECT_LE(MAX_RANGES - 4, done);
	/* The least that a node of a tree can be. */
	EXPECT_LE((long long)(64 * done), charged() - before);

	/* What needs no new range goes on, and so does the memory itself. */
	EXPECT_EQ(0, hmadvise(-1, buf, page, MADV_NO_READ_MOSTLY));
	EXPECT_EQ(0, hmadvise(-1, buf, page, MADV_READ_MOSTLY));
	EXPECT_EQ(0, munmap(buf + 4 * page, page));
	before = charged();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(charged() - before < (long long)(64 * (done - 4)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	munmap(buf, 2 * nr * page);
}

/* The device's faults are served by kernel threads; the process pays. */
TEST_F_TIMEOUT(charge, tables_for_what_devices_use, 60)
{
	size_t nr = 64, i;
	char *buf = buf_alloc(nr * BLOCK);
	long long before;

	ASSERT_EQ(0, madvise(buf, nr * BLOCK, MADV_NOHUGEPAGE));
	/* All that the CPU needs is there. */
	for (i = 0; i < nr; i++)
		buf[i * BLOCK] = 1;
	ASSERT_EQ(0, npu_run1(self->fd, cmd_read(buf, 8)));
	before = settled();
	for (i = 1; i < nr; i++)
		ASSERT_EQ(0, npu_run1(self->fd, cmd_read(buf + i * BLOCK, 8)));
	/* 4 KiB of the device's page table, and an entry of the directory. */
	EXPECT_LE((long long)((nr - 1) * 4096), charged() - before);
	munmap(buf, nr * BLOCK);
	EXPECT_GT((long long)(nr * 2048), charged() - before);
}

/* 4 KiB for each block that a device ever touched would be 8 MB. */
TEST_F_TIMEOUT(charge, tables_go_with_the_memory, 60)
{
	char *next = (char *)0x100000000000, *buf;
	size_t nr = scaled(2000, 200), i;
	long long before = 0;

	for (i = 0; i < nr; i++) {
		if (i == 16)
			before = charged();
		buf = mmap(next + i * BLOCK, BLOCK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_PEER_SHARED | MAP_NORESERVE |
			   MAP_FIXED_NOREPLACE, -1, 0);
		ASSERT_NE(MAP_FAILED, buf);
		ASSERT_EQ(0, npu_run1(self->fd, cmd_read(buf, 8)));
		munmap(buf, BLOCK);
	}
	EXPECT_GT((long long)(nr * 1024), charged() - before);
}

/* A watch for each 512 MiB that a job names would be a gift to nobody. */
TEST_F(charge, jobs_over_nothing_leave_nothing)
{
	char text[4096];
	char *line;
	size_t i, nr = 200;

	for (i = 1; i <= nr; i++) {
		struct npu_wait result;
		struct npu_cmd cmd = cmd_read((void *)(0x200000000000 + i * 512 * MiB), 8);

		ASSERT_EQ(-EFAULT, npu_run_result(self->fd, &cmd, 1, &result));
	}
	ASSERT_LE(0, file_read("/sys/kernel/debug/gmem/spaces", text, sizeof(text)));
	for (line = text; (line = strstr(line, "watches=")); line++)
		EXPECT_GT(nr / 2, strtoul(line + 8, NULL, 10));
}

GMEM_TEST_MAIN

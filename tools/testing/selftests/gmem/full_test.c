// SPDX-License-Identifier: GPL-2.0
/* No memory left: a job may fail, nobody is killed, nothing is lost. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define GROUP	"/sys/fs/cgroup/gmem_full"

FIXTURE(full)
{
	long long kills;
};

FIXTURE_SETUP(full)
{
	self->kills = vmstat("oom_kill");
	ASSERT_LE(0, self->kills);
}

FIXTURE_TEARDOWN(full)
{
	EXPECT_EQ(self->kills, vmstat("oom_kill"));
}

/* In a cgroup: fills blocks by the device until that fails. */
static int fill_the_group(size_t limit)
{
	size_t len = 2 * limit, done = 0, i;
	char *buf;
	int fd, err = 0;

	if (file_write(GROUP "/cgroup.procs", "0"))
		return 10;
	fd = npu_open(0);
	buf = buf_alloc(len);
	while (!err && done < len) {
		err = npu_run1(fd, cmd_fill(buf + done, done / BLOCK + 1, BLOCK));
		done += err ? 0 : BLOCK;
	}
	if (err != -ENOMEM)
		return 11;
	if (done < limit / 2 || done > limit)
		return 12;
	if (!on_device(buf, done))
		return 13;
	/* Coming home needs no room in the group, and neither does going back. */
	for (i = 0; i < done; i += BLOCK)
		if (!buf_is(buf + i, BLOCK, i / BLOCK + 1))
			return 14;
	if (pages_on_device(buf, done))
		return 15;
	if (to_device(fd, buf, done) || !on_device(buf, done))
		return 16;
	if (to_home(buf, done) || pages_on_device(buf, done))
		return 17;
	for (i = 0; i < done; i += BLOCK)
		if (!buf_is(buf + i, BLOCK, i / BLOCK + 1))
			return 18;
	/* What was given back can be used anew. */
	munmap(buf, done);
	if (npu_run1(fd, cmd_fill(buf + done, 7, BLOCK)))
		return 19;
	return on_device(buf + done, BLOCK) ? 0 : 20;
}

TEST_F_TIMEOUT(full, cgroup_at_its_limit, 60)
{
	size_t limit = 12 * MiB;
	char text[32];
	pid_t child;

	ASSERT_EQ(0, file_write("/sys/fs/cgroup/cgroup.subtree_control",
				"+memory"));
	ASSERT_TRUE(mkdir(GROUP, 0755) == 0 || errno == EEXIST);
	snprintf(text, sizeof(text), "%lu", limit);
	ASSERT_EQ(0, file_write(GROUP "/memory.max", text));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(fill_the_group(limit));
	EXPECT_EQ(0, child_result(child, 50000));
	EXPECT_EQ(0, file_find(GROUP "/memory.events", "oom_kill"));
	while (rmdir(GROUP) && errno == EBUSY)
		sleep_ms(10);
}

/* In a cgroup without huge pages: one that was made on the device is split. */
static int split_a_huge_page(void)
{
	char *buf;
	int fd;

	if (file_write(GROUP "/cgroup.procs", "0"))
		return 10;
	fd = npu_open(0);
	buf = buf_alloc(BLOCK);
	if (madvise(buf, BLOCK, MADV_HUGEPAGE) ||
	    npu_run1(fd, cmd_fill(buf, 7, BLOCK)) || !on_device(buf, BLOCK))
		return 11;
	if (to_home(buf, BLOCK / 2) || pages_on_device(buf, BLOCK / 2))
		return 12;
	if (!on_device(buf + BLOCK / 2, BLOCK / 2))
		return 13;
	return buf_is(buf, BLOCK, 7) ? 0 : 14;
}

/* A debug kernel warns if the cgroup was not prepared for that. */
TEST_F(full, first_huge_page_of_a_cgroup)
{
	pid_t child;

	ASSERT_EQ(0, file_write("/sys/fs/cgroup/cgroup.subtree_control",
				"+memory"));
	ASSERT_TRUE(mkdir(GROUP, 0755) == 0 || errno == EEXIST);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(split_a_huge_page());
	EXPECT_EQ(0, child_result(child, 20000));
	while (rmdir(GROUP) && errno == EBUSY)
		sleep_ms(10);
}

/* So much the hog leaves. */
#define HOG_LEAVES	(scaled(96, 64) * MiB)

/* Takes almost all memory of the host, and keeps it until it is killed. */
static void hog(struct baton *full)
{
	const size_t step = 4 * MiB;
	long long left = HOG_LEAVES / 1024;

	/* If somebody has to die, then not the job; and it does not survive it. */
	if (file_write("/proc/self/oom_score_adj", "1000") ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    file_write("/proc/sys/vm/drop_caches", "3"))
		_exit(1);
	while (file_find("/proc/meminfo", "MemAvailable") > left) {
		char *p = mmap(NULL, step, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (p == MAP_FAILED || mlock(p, step))
			_exit(2);
	}
	baton_pass(full);
	for (;;)
		pause();
}

/* Eviction has nowhere to go: the job fails, and nothing is lost or killed. */
TEST_F_TIMEOUT(full, host_memory_at_its_end, 120)
{
	size_t total, len, done = 0, kept = 0, i;
	struct baton full;
	int fd, err = 0;
	pid_t child;
	char *buf;

	npu_unload();
	npu_require(&(struct npu_config){ .count = 1, .mem_mib = scaled(64, 16) });
	fd = npu_open(0);
	total = npu_info(fd).mem_total;
	/* More than there can be, also if somebody else gives memory back. */
	len = total + 4 * HOG_LEAVES;
	buf = buf_alloc(len);
	baton_make(&full);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		hog(&full);
	baton_take(&full);
	ASSERT_EQ(0, waitpid(child, NULL, WNOHANG));

	while (!err && done < len) {
		err = npu_run1(fd, cmd_fill(buf + done, done / BLOCK + 1, BLOCK));
		done += err ? 0 : BLOCK;
	}
	/* The device is full, the host has what could be had, and that was it. */
	EXPECT_EQ(-ENOMEM, err);
	ASSERT_LE(total, done);
	EXPECT_GT(len, done);
	ASSERT_LE(total / 2, pages_on_device(buf, done) * page_size());
	/* What is on the device works on. */
	for (i = 0; i < done; i += BLOCK) {
		if (!on_device(buf + i, BLOCK))
			continue;
		EXPECT_EQ(0, npu_run1(fd, cmd_read(buf + i, BLOCK)));
		kept++;
	}
	EXPECT_LT(0, kept);
	EXPECT_EQ(self->kills, vmstat("oom_kill"));
	/* The hog was let live, too. */
	ASSERT_EQ(0, waitpid(child, NULL, WNOHANG));
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(-SIGKILL, child_result(child, 10000));

	/* Not a byte is missing, and the job can go on. */
	EXPECT_EQ(0, npu_run1(fd, cmd_fill(buf + done, 0x99, BLOCK)));
	EXPECT_TRUE(buf_is(buf + done, BLOCK, 0x99));
	for (i = 0; i < done; i += BLOCK)
		EXPECT_TRUE(buf_is(buf + i, BLOCK, i / BLOCK + 1));
	munmap(buf, len);
	EXPECT_TRUE(npu_wait_free(fd, total, 5000));
	close(fd);
}

GMEM_TEST_MAIN

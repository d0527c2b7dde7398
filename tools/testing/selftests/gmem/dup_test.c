// SPDX-License-Identifier: GPL-2.0
/*
 * Read-only copies of anonymous memory on devices: they are there when it is
 * read mostly, and gone before anybody can read old bytes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define LEN	(4 * MiB)
#define ENOUGH	20000	/* ms */

FIXTURE(anon)
{
	struct readers npus;
	size_t page;
	char *buf;
	char *at;		/* a page in the middle, */
	char *was;		/* and what is in it */
};

FIXTURE_VARIANT(anon)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(anon, small_pages) { .huge = false };
FIXTURE_VARIANT_ADD(anon, huge_pages) { .huge = true };

FIXTURE_SETUP(anon)
{
	readers_open(&self->npus, LEN);
	self->page = page_size();
	self->buf = buf_alloc(LEN);
	ASSERT_EQ(0, madvise(self->buf, LEN, variant->huge ? MADV_HUGEPAGE :
			     MADV_NOHUGEPAGE));
	buf_fill(self->buf, LEN, 7);
	self->at = self->buf + LEN / 2;
	self->was = malloc(self->page);
	memcpy(self->was, self->at, self->page);
	ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_READ_MOSTLY));
	/* Both NPUs have all of it, and the host too. */
	ASSERT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_EQ(LEN, copied(1));
	ASSERT_EQ(0, pages_on_device(self->buf, LEN));
}

FIXTURE_TEARDOWN(anon)
{
	free(self->was);
	munmap(self->buf, LEN);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	readers_close(&self->npus);
}

/* A page was changed: its copies are gone, most others are there. */
#define EXPECT_DROPPED() do {						\
	EXPECT_GT(LEN, copied(0));					\
	EXPECT_GT(LEN, copied(1));					\
	EXPECT_EQ('!', *(volatile char *)self->at);			\
	EXPECT_EQ('!', reader_byte(&self->npus, 0, self->at));		\
	EXPECT_EQ('!', reader_byte(&self->npus, 1, self->at));		\
	memcpy(self->at, self->was, self->page);				\
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));	\
} while (0)

TEST_F(anon, read_where_they_are)
{
	long long remote[2] = { counter(0, "remote"), counter(1, "remote") };
	long long bounced = counter(0, "bounced") + counter(1, "bounced");

	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	EXPECT_TRUE(buf_check(self->buf, LEN, 7));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_EQ(LEN, copied(1));
	/* The buffer that the CPU reads the results from may bounce. */
	if (bounced == counter(0, "bounced") + counter(1, "bounced")) {
		EXPECT_EQ(remote[0], counter(0, "remote"));
		EXPECT_EQ(remote[1], counter(1, "remote"));
	}
}

TEST_F(anon, written_by_the_cpu)
{
	*self->at = '!';
	EXPECT_DROPPED();
}

/* What is left of a run of 64 KiB on both sides is read in one go. */
TEST_F(anon, advice_parts_a_run)
{
	ASSERT_EQ(0, hmadvise(-1, self->at + 7 * self->page, 2 * self->page,
			      MADV_NO_READ_MOSTLY));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	EXPECT_TRUE(buf_check(self->buf, LEN, 7));
	EXPECT_LT(LEN / 2, copied(0));
	EXPECT_LT(LEN / 2, copied(1));
}

/* Every page, and every copy again. */
TEST_F(anon, written_again_and_again)
{
	uint32_t seed;

	for (seed = 8; seed < 8 + scaled(6, 2); seed++) {
		buf_fill(self->buf, LEN, seed);
		ASSERT_EQ(0, copied(0));
		ASSERT_EQ(0, copied(1));
		ASSERT_TRUE(readers_see(&self->npus, self->buf, LEN, seed));
		ASSERT_LT(LEN / 2, copied(0));
		ASSERT_LT(LEN / 2, copied(1));
	}
}

TEST_F(anon, written_by_a_device)
{
	ASSERT_EQ(0, npu_run1(self->npus.fd[0], cmd_fill(self->at, '!', self->page)));
	EXPECT_DROPPED();
}

TEST_F(anon, written_by_a_child)
{
	pid_t pid = fork();

	if (!pid) {
		*self->at = '?';
		memset(self->at + self->page, '?', self->page);
		_exit(*self->at == '?' ? 0 : 1);
	}
	EXPECT_EQ(0, child_result(pid, ENOUGH));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	EXPECT_TRUE(buf_check(self->buf, LEN, 7));
	/* What was shared with the child can have copies again. */
	EXPECT_LT(LEN / 2, copied(0));
	*self->at = '!';
	EXPECT_DROPPED();
}

/* Copies of pages that a living child shares, written by the parent. */
TEST_F(anon, written_by_the_parent_of_a_child)
{
	struct baton go;
	pid_t pid;

	baton_make(&go);
	pid = fork();
	if (!pid) {
		baton_take(&go);
		_exit(buf_check(self->buf, LEN, 7) ? 0 : 1);
	}
	ASSERT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	ASSERT_EQ(LEN, copied(0));
	*self->at = '!';
	EXPECT_DROPPED();
	baton_pass(&go);
	EXPECT_EQ(0, child_result(pid, ENOUGH));
}

TEST_F(anon, written_by_ptrace)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		pid_t tracee = getppid();
		long word;

		if (ptrace(PTRACE_ATTACH, tracee, 0, 0) ||
		    waitpid(tracee, &status, 0) != tracee)
			_exit(1);
		word = ptrace(PTRACE_PEEKDATA, tracee, self->at, 0);
		word = (word & ~0xffL) | '!';
		if (ptrace(PTRACE_POKEDATA, tracee, self->at, word))
			_exit(2);
		ptrace(PTRACE_DETACH, tracee, 0, 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid, ENOUGH));
	EXPECT_DROPPED();
}

TEST_F(anon, written_through_proc_mem)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, "!", 1, (uintptr_t)self->at));
	close(fd);
	EXPECT_DROPPED();
}

TEST_F(anon, written_by_process_vm_writev)
{
	struct iovec from = { "!", 1 }, to = { self->at, 1 };
	pid_t pid = fork();

	if (!pid)
		_exit(process_vm_writev(getppid(), &from, 1, &to, 1, 0) == 1 ? 0 : 1);
	ASSERT_EQ(0, child_result(pid, ENOUGH));
	EXPECT_DROPPED();
}

/* A disk writes into pages that it got from get_user_pages(). */
TEST_F(anon, written_by_direct_io)
{
	int fd = open("/dev/ram1", O_RDWR | O_DIRECT | O_CLOEXEC);
	char *page = aligned_alloc(4096, self->page);

	if (fd < 0)
		SKIP(return, "no /dev/ram1");
	memcpy(page, self->at, self->page);
	page[0] = '!';
	ASSERT_EQ(self->page, pwrite(fd, page, self->page, 0));
	ASSERT_EQ(self->page, pread(fd, self->at, self->page, 0));
	close(fd);
	EXPECT_DROPPED();
}

/* Pages that somebody refers to are used where they are. */
TEST_F(anon, referred_to)
{
	struct iovec iov = { self->at, 4 * self->page };
	int fds[2];

	*self->at = '!';
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(4 * self->page, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ('!', reader_byte(&self->npus, 0, self->at));
	EXPECT_GT(LEN, copied(0));
	*self->at = '?';
	EXPECT_EQ('?', reader_byte(&self->npus, 0, self->at));
	close(fds[0]);
	close(fds[1]);
	*self->at = '!';
	EXPECT_DROPPED();
}

TEST_F(anon, dropped)
{
	ASSERT_EQ(0, madvise(self->at, self->page, MADV_DONTNEED));
	EXPECT_GT(LEN, copied(0));
	EXPECT_EQ(0, reader_byte(&self->npus, 0, self->at));
	EXPECT_EQ(0, *self->at);
	buf_fill(self->buf, LEN, 7);
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
}

TEST_F(anon, moved_and_protected)
{
	char *to = buf_alloc(LEN);

	ASSERT_EQ(0, mprotect(self->buf, LEN, PROT_READ));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	ASSERT_EQ(0, mprotect(self->buf, LEN, PROT_READ | PROT_WRITE));
	ASSERT_EQ(to, mremap(self->buf, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(0, copied(0));
	EXPECT_TRUE(readers_see(&self->npus, to, LEN, 7));
	munmap(to, LEN);
}

/* A prefetch makes them, and has all of them when it returns. */
TEST_F(anon, prefetched)
{
	buf_fill(self->buf, LEN, 9);
	ASSERT_EQ(0, copied(0));
	ASSERT_EQ(0, to_device(self->npus.fd[0], self->buf, LEN));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_EQ(0, copied(1));
	ASSERT_EQ(0, to_device(self->npus.fd[1], self->buf, LEN));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_EQ(LEN, copied(1));
	EXPECT_EQ(0, pages_on_device(self->buf, LEN));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 9));
}

/* Without the hint the copies go, by windows of 64 KiB, and none are made. */
TEST_F(anon, not_read_mostly_any_more)
{
	ASSERT_EQ(0, hmadvise(-1, self->at, self->page, MADV_NO_READ_MOSTLY));
	EXPECT_EQ(LEN - 64 * KiB, copied(0));
	EXPECT_EQ(LEN - 64 * KiB, copied(1));
	ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_NO_READ_MOSTLY));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
}

/* The hint goes while the NPU reads: no fault that began with it leaves a copy. */
TEST_F_TIMEOUT(anon, not_read_mostly_while_read, 60)
{
	struct npu_wait done;
	int i, err, raced = 0;
	uint64_t job;

	for (i = 0; i < scaled(100, 20); i++) {
		struct npu_cmd read = cmd_read(self->buf, LEN);

		ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_NO_READ_MOSTLY));
		ASSERT_EQ(0, to_home(self->buf, LEN));
		ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_READ_MOSTLY));
		ASSERT_EQ(0, npu_submit(self->npus.fd[0], &read, 1, -1, &job));
		do {
			err = npu_wait(self->npus.fd[0], job, 0, &done);
		} while (err && !copied(0));
		ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_NO_READ_MOSTLY));
		EXPECT_EQ(0, copied(0));
		if (err) {
			raced++;
			err = npu_wait(self->npus.fd[0], job, ENOUGH, &done);
		}
		ASSERT_EQ(0, err);
		EXPECT_EQ(0, copied(0));
	}
	TH_LOG("%d of %d times the NPU was still reading", raced, i);
	EXPECT_LT(0, raced);
}

/* More copies than the NPU has room for: they make room, nothing is written back. */
TEST_F_TIMEOUT(anon, under_pressure, 240)
{
	size_t mem = 32 * MiB, len = mem + 8 * MiB;
	long long from = counter(0, "from_dev"), evicted = counter(0, "evicted");
	char *other = buf_alloc(len);
	int i;

	buf_fill(other, len, 3);
	ASSERT_EQ(0, hmadvise(-1, other, len, MADV_READ_MOSTLY));
	for (i = 0; i < scaled(2, 1); i++)
		ASSERT_EQ(0, npu_run1(self->npus.fd[0], cmd_read(other, len)));
	EXPECT_LT(mem / 2, copied(0));
	EXPECT_GE(mem, copied(0));
	EXPECT_EQ(LEN, copied(1));
	EXPECT_EQ(from, counter(0, "from_dev"));
	EXPECT_EQ(evicted, counter(0, "evicted"));
	EXPECT_TRUE(buf_check(other, len, 3));
	munmap(other, len);
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 7));
}

TEST_F(anon, detached)
{
	close(self->npus.fd[0]);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(LEN, copied(1));
	*self->at = '!';
	EXPECT_GT(LEN, copied(1));
	EXPECT_EQ('!', reader_byte(&self->npus, 1, self->at));
	self->npus.fd[0] = npu_open(0);
	EXPECT_EQ('!', reader_byte(&self->npus, 0, self->at));
}

TEST_F(anon, failing)
{
	buf_fill(self->buf, LEN, 9);
	ASSERT_EQ(0, fail_start("fail_gmem_alloc", 100, 2));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 9));
	EXPECT_LT(0, fail_stop("fail_gmem_alloc"));
	buf_fill(self->buf, LEN, 10);
	ASSERT_EQ(0, fail_start("fail_gmem_copy_to", 100, 2));
	EXPECT_EQ(0, npu_run1(self->npus.fd[0], cmd_read(self->buf, LEN)));
	EXPECT_EQ(0, npu_run1(self->npus.fd[1], cmd_read(self->buf, LEN)));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_to"));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 10));
	buf_fill(self->buf, LEN, 11);
	ASSERT_EQ(0, fail_start("fail_gmem_retry", 100, 3));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 11));
	EXPECT_LT(0, fail_stop("fail_gmem_retry"));
	buf_fill(self->buf, LEN, 12);
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 12));
	ASSERT_EQ(0, to_device(self->npus.fd[0], self->buf, LEN));
	EXPECT_EQ(LEN, copied(0));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Pages of the host that devices map, and that go bad. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define PAGES	16
#define BAD	5

static sigjmp_buf touched;
static volatile int bus_code;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	bus_code = info->si_code;
	if (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_ADRERR)
		siglongjmp(touched, 1);
}

/* The code of the SIGBUS, or 0. */
static int touch(const char *at)
{
	bus_code = 0;
	if (!sigsetjmp(touched, 1))
		(void)*(volatile const char *)at;
	return bus_code;
}

static int poison(char *at, size_t page)
{
	volatile int err = 0;

	/* The kernel kills us as if we had touched it. */
	if (!sigsetjmp(touched, 1))
		err = madvise(at, page, MADV_HWPOISON) ? -errno : 0;
	return err;
}

enum where { REMOTE, COPIED, ON_DEVICE };

FIXTURE(bad)
{
	struct readers npus;
	size_t page, len;
	char *buf;
};

FIXTURE_VARIANT(bad)
{
	enum where where;
};

FIXTURE_VARIANT_ADD(bad, mapped) { .where = REMOTE };
FIXTURE_VARIANT_ADD(bad, copied) { .where = COPIED };
FIXTURE_VARIANT_ADD(bad, on_device) { .where = ON_DEVICE };

FIXTURE_SETUP(bad)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	ASSERT_EQ(0, sigaction(SIGBUS, &action, NULL));
	self->page = page_size();
	self->len = PAGES * self->page;
	readers_open(&self->npus, self->len);
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 5);
	if (variant->where == REMOTE)
		ASSERT_EQ(0, mlock(self->buf, self->len));
	if (variant->where == COPIED)
		ASSERT_EQ(0, hmadvise(-1, self->buf, self->len, MADV_READ_MOSTLY));
	ASSERT_EQ(0, npu_run1(self->npus.fd[0], cmd_read(self->buf, self->len)));
	ASSERT_EQ(variant->where == ON_DEVICE ? PAGES : 0,
		  pages_on_device(self->buf, self->len));
	ASSERT_EQ(variant->where == COPIED ? self->len : 0, copied(0));
}

FIXTURE_TEARDOWN(bad)
{
	munmap(self->buf, self->len);
	EXPECT_EQ(0, copied(0));
	readers_close(&self->npus);
}

/* The data moves to another page, and the device sees it there. */
TEST_F(bad, soft_offline)
{
	int i;

	for (i = 0; i < PAGES; i += 3)
		ASSERT_EQ(0, madvise(self->buf + i * self->page, self->page,
				     MADV_SOFT_OFFLINE));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, self->len, 5));
	ASSERT_EQ(0, npu_run1(self->npus.fd[0], cmd_fill(self->buf, 7, self->len)));
	EXPECT_TRUE(buf_is(self->buf, self->len, 7));
}

/* The page is lost, to all. */
TEST_F(bad, poisoned)
{
	char *bad = self->buf + BAD * self->page, *after = bad + self->page;
	struct npu_cmd cmd = cmd_read(self->buf, self->len);
	struct npu_wait result;
	int i;

	ASSERT_EQ(0, poison(bad, self->page));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-EFAULT, npu_run_result(self->npus.fd[i], &cmd, 1, &result));
		EXPECT_EQ((uintptr_t)bad, result.fault_addr & -self->page);
		EXPECT_EQ(0, npu_run1(self->npus.fd[i], cmd_read(after, 2 * self->page)));
		EXPECT_EQ(0, npu_run1(self->npus.fd[i], cmd_read(self->buf,
								 BAD * self->page)));
	}
	EXPECT_EQ(BUS_MCEERR_AR, touch(bad));
	EXPECT_EQ(0, touch(after));
	EXPECT_EQ(0, touch(bad - self->page));
	EXPECT_TRUE(buf_check(self->buf, BAD * self->page, 5));
	/* What comes in its place is good. */
	ASSERT_EQ(0, munlock(self->buf, self->len));
	ASSERT_EQ(0, madvise(bad, self->page, MADV_DONTNEED));
	EXPECT_EQ(0, npu_run1(self->npus.fd[0], cmd_fill(bad, 9, self->page)));
	EXPECT_TRUE(buf_is(bad, self->page, 9));
}

/* A file with copies: the pages of tmpfs move, and stay bad when they are. */
TEST(file)
{
	/* So long that it shares no block with other memory. */
	size_t page = page_size(), len = BLOCK;
	struct readers npus;
	char *buf, *bytes;
	int fd;

	ASSERT_EQ(0, dup_mount("tmpfs"));
	readers_open(&npus, len);
	fd = open(DUP_DIR "/weights", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	bytes = malloc(len);
	buf_fill(bytes, len, 5);
	ASSERT_EQ(len, write(fd, bytes, len));
	close(fd);
	fd = open(DUP_DIR "/weights", O_RDONLY | O_CLOEXEC);
	buf = mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_PEER_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, buf);
	close(fd);
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_READ_MOSTLY));
	ASSERT_TRUE(readers_see(&npus, buf, len, 5));
	ASSERT_EQ(len, copied(0));
	ASSERT_EQ(0, madvise(buf + page, page, MADV_SOFT_OFFLINE));
	EXPECT_TRUE(readers_see(&npus, buf, len, 5));
	EXPECT_EQ(len, copied(0));
	munmap(buf, len);
	free(bytes);
	readers_close(&npus);
	EXPECT_EQ(0, dup_umount(20000));
}

GMEM_TEST_MAIN

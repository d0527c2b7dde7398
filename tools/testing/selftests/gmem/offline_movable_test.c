// SPDX-License-Identifier: GPL-2.0
/*
 * A block of the host's memory goes offline under the devices that map pages of
 * it. Booted with movablecore=, so that what programs use can always move.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define LEN	(8 * MiB)
#define LIMIT_S	60

enum where { REMOTE, COPIED, ON_DEVICE };

static unsigned long long frame_of(const char *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (pread(fd, &entry, 8, (uintptr_t)at / page_size() * 8) != 8)
		die("cannot read pagemap");
	close(fd);
	return entry & ((1ULL << 55) - 1);
}

static void on_alarm(int sig)
{
}

/* The kernel goes on trying until a signal comes. */
static int set_state(unsigned long long block, const char *state)
{
	char path[96];
	int err;

	snprintf(path, sizeof(path), "/sys/devices/system/memory/memory%llu/state", block);
	alarm(scaled(LIMIT_S, 2 * LIMIT_S));
	err = file_write(path, state);
	alarm(0);
	return err;
}

FIXTURE(offline)
{
	struct readers npus;
	size_t block_size;
	char *buf;
};

FIXTURE_VARIANT(offline)
{
	enum where where;
};

FIXTURE_VARIANT_ADD(offline, mapped) { .where = REMOTE };
FIXTURE_VARIANT_ADD(offline, copied) { .where = COPIED };
FIXTURE_VARIANT_ADD(offline, on_device) { .where = ON_DEVICE };

FIXTURE_SETUP(offline)
{
	struct sigaction action = { .sa_handler = on_alarm };
	char text[32] = "";

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	if (file_read("/sys/devices/system/memory/block_size_bytes", text, sizeof(text)) < 0)
		SKIP(return, "no memory blocks here");
	self->block_size = strtoull(text, NULL, 16);
	ASSERT_LT(0, self->block_size);
	readers_open(&self->npus, LEN);
	self->buf = buf_alloc(LEN);
	buf_fill(self->buf, LEN, 5);
	if (variant->where == REMOTE)
		ASSERT_EQ(0, mlock(self->buf, LEN));
	if (variant->where == COPIED)
		ASSERT_EQ(0, hmadvise(-1, self->buf, LEN, MADV_READ_MOSTLY));
}

FIXTURE_TEARDOWN(offline)
{
	if (!self->buf)
		return;
	munmap(self->buf, LEN);
	EXPECT_EQ(0, copied(0));
	readers_close(&self->npus);
}

TEST_F_TIMEOUT(offline, and_online_again, 280)
{
	unsigned long long block;
	char *at = self->buf + LEN / 2;

	ASSERT_TRUE(buf_check(self->buf, LEN, 5));
	block = frame_of(at) * page_size() / self->block_size;
	ASSERT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	ASSERT_EQ(variant->where == COPIED ? LEN : 0, copied(0));
	ASSERT_EQ(0, set_state(block, "offline"));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	EXPECT_TRUE(buf_check(self->buf, LEN, 5));
	EXPECT_NE(block, frame_of(at) * page_size() / self->block_size);
	ASSERT_EQ(0, npu_run1(self->npus.fd[1], cmd_fill(self->buf, 7, LEN)));
	EXPECT_TRUE(buf_is(self->buf, LEN, 7));
	EXPECT_EQ(0, set_state(block, "online"));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * A device fault has read that a page is on another device, and that device goes
 * before the fault looks at the page: what describes the page is gone with it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define HOLD	"/sys/kernel/debug/gmem_hold_read"
/*
 * One for which no node number is left (gmem.nodes=4): taking a node away waits for
 * the mmap_lock of every process, and so for the fault.
 */
#define OTHER	5
#define UNPLUG	"/sys/kernel/debug/npu_stub/npu5/unplug"
#define ENOUGH	20000	/* ms */

FIXTURE(gone)
{
	int fd;
	size_t len;
	char *buf, *out;
};

FIXTURE_VARIANT(gone)
{
	int advice;
};

FIXTURE_VARIANT_ADD(gone, small) { .advice = MADV_NOHUGEPAGE };
FIXTURE_VARIANT_ADD(gone, huge) { .advice = MADV_HUGEPAGE };

FIXTURE_SETUP(gone)
{
	int other;

	if (access(HOLD, F_OK))
		SKIP(return, "no GMEM_FAULT_INJECTION");
	npu_unload();
	npu_require(&(struct npu_config){ .count = OTHER + 1, .mem_mib = 32 });
	self->len = BLOCK;
	self->buf = buf_alloc(self->len);
	self->out = buf_alloc(self->len);
	ASSERT_EQ(0, madvise(self->buf, self->len, variant->advice));
	buf_fill(self->buf, self->len, 7);
	self->fd = npu_open(0);
	/* The device uses it where it is, so that the page is looked at. */
	ASSERT_EQ(0, hmadvise(npu_info(self->fd).hnid, self->buf, self->len,
			      MADV_ACCESSED_BY));
	other = npu_open(OTHER);
	ASSERT_EQ(0, to_device(other, self->buf, self->len));
	close(other);
	ASSERT_TRUE(on_device(self->buf, self->len));
}

FIXTURE_TEARDOWN(gone)
{
	file_write(HOLD, "0");
	close(self->fd);
	npu_unload();
}

static bool is_held(void)
{
	uint64_t end = now_ms() + ENOUGH;
	char text[16];

	while (now_ms() < end) {
		if (file_read(HOLD, text, sizeof(text)) > 0 && text[0] == '2')
			return true;
		sleep_ms(10);
	}
	return false;
}

/* Another process takes the device away, for whom no lock of this one is held. */
static pid_t unplugger(struct baton *go)
{
	pid_t pid = fork();

	if (!pid) {
		baton_take(go);
		_exit(-file_write(UNPLUG, "1"));
	}
	return pid;
}

static void show_stack(pid_t pid)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	if (file_read(path, text, sizeof(text)) > 0)
		fprintf(stderr, "%s", text);
}

TEST_F_TIMEOUT(gone, before_the_fault_looks, 120)
{
	struct npu_cmd cmd = cmd_read(self->buf, self->len);
	struct npu_wait result;
	struct baton go;
	uint64_t job;
	pid_t pid;
	int err;

	/* All pages are those of this process only. */
	ASSERT_EQ(0, madvise(self->buf, self->len, MADV_DONTFORK));
	baton_make(&go);
	pid = unplugger(&go);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, file_write(HOLD, "1"));
	job = npu_start(self->fd, &cmd, 1);
	ASSERT_NE(0, job);
	ASSERT_TRUE(is_held());
	/* All of it comes home, and the memory goes. */
	baton_pass(&go);
	err = child_result(pid, ENOUGH);
	if (err == -ETIME)
		show_stack(pid);
	EXPECT_EQ(0, err);
	EXPECT_TRUE(is_held());
	ASSERT_EQ(0, file_write(HOLD, "0"));
	ASSERT_EQ(0, npu_wait(self->fd, job, ENOUGH, &result)) {
		TH_LOG("the fault did not end");
	}
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(0, pages_on_device(self->buf, self->len));
	EXPECT_EQ(0, npu_run1(self->fd, cmd_copy(self->out, self->buf, self->len)));
	EXPECT_TRUE(buf_check(self->out, self->len, 7));
}

GMEM_TEST_MAIN

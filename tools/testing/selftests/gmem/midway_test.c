// SPDX-License-Identifier: GPL-2.0
/*
 * What happens while a fault builds the page tables of the device, which takes
 * a second here.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define SLOW	"/sys/kernel/debug/npu_stub/npu0/prepare_ms"
#define PATH	DUP_DIR "/words"
#define ENOUGH	20000	/* ms */

FIXTURE(midway)
{
	int fd, other;		/* two contexts of one device */
	char *buf;
	uint32_t *out;		/* where the device stores what it sees */
};

FIXTURE_SETUP(midway)
{
	npu_require(&(struct npu_config){});
	self->fd = npu_open(0);
	self->other = npu_open(0);
	self->buf = buf_alloc(BLOCK);
	self->out = buf_alloc(page_size());
	ASSERT_EQ(0, npu_run1(self->fd, cmd_fill(self->out, 0, page_size())));
}

FIXTURE_TEARDOWN(midway)
{
	file_write(SLOW, "0");
	munmap(self->buf, BLOCK);
	munmap(self->out, page_size());
	close(self->other);
}

struct prefetch {
	int hnid;
	char *buf;
	long result;
};

static void *prefetch(void *arg)
{
	struct prefetch *p = arg;

	p->result = hmadvise(p->hnid, p->buf, BLOCK, MADV_PREFETCH);
	return NULL;
}

/* Who closes a device waits for the faults of its context. */
TEST_F_TIMEOUT(midway, context_goes, 60)
{
	struct prefetch p = { npu_info(self->fd).hnid, self->buf, 1 };
	uint64_t start, zeroed = npu_info(self->fd).zeroed;
	pthread_t thread;

	ASSERT_EQ(0, file_write(SLOW, "1000"));
	ASSERT_EQ(0, pthread_create(&thread, NULL, prefetch, &p));
	/* The pages are there, and the first context is about to map them. */
	for (start = now_ms(); npu_info(self->other).zeroed == zeroed; sleep_ms(5))
		ASSERT_GT(start + ENOUGH, now_ms());
	start = now_ms();
	ASSERT_EQ(0, close(self->fd));
	EXPECT_LE(500, now_ms() - start);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, p.result);
	EXPECT_TRUE(on_device(self->buf, BLOCK));
	EXPECT_TRUE(buf_is(self->buf, BLOCK, 0));
}

/* A file is opened for writing when its pages are copied and not yet mapped. */
TEST_F_TIMEOUT(midway, file_is_written, 60)
{
	size_t page = page_size();
	uint32_t *words, value = 1;
	struct npu_wait result;
	struct npu_cmd cmd;
	uint64_t job, start;
	int file;

	ASSERT_EQ(0, dup_mount("tmpfs"));
	file = open(PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, page));
	ASSERT_EQ(sizeof(value), pwrite(file, &value, sizeof(value), 0));
	close(file);
	file = open(PATH, O_RDONLY | O_CLOEXEC);
	words = mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_PEER_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, words);
	close(file);
	ASSERT_EQ(0, hmadvise(-1, words, page, MADV_READ_MOSTLY));
	ASSERT_EQ(1, *words);

	ASSERT_EQ(0, file_write(SLOW, "1000"));
	cmd = cmd_copy(self->out, words, sizeof(value));
	job = npu_start(self->fd, &cmd, 1);
	ASSERT_NE(0, job);
	for (start = now_ms(); !copied(0); sleep_ms(5))
		ASSERT_GT(start + ENOUGH, now_ms());
	file = open(PATH, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, file);
	value = 2;
	ASSERT_EQ(sizeof(value), pwrite(file, &value, sizeof(value), 0));
	ASSERT_EQ(0, npu_wait(self->fd, job, ENOUGH, &result));
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(2, *self->out);
	EXPECT_EQ(0, copied(0));
	value = 3;
	ASSERT_EQ(sizeof(value), pwrite(file, &value, sizeof(value), 0));
	ASSERT_EQ(0, file_write(SLOW, "0"));
	EXPECT_EQ(0, npu_run1(self->fd, cmd));
	EXPECT_EQ(3, *self->out);
	close(file);
	munmap(words, page);
	EXPECT_EQ(0, dup_umount(ENOUGH));
	close(self->fd);
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * Read-only copies of file pages on devices: only while nobody can write the
 * file, and gone before the first who can.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define LEN	(4 * MiB)
#define DIR	DUP_DIR
#define PATH	DIR "/weights"
#define ENOUGH	20000	/* ms */

/* Open, write and close: the writer waits until the copies are gone. */
static void write_file(size_t len, uint32_t seed)
{
	int fd = open(PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	char *bytes = malloc(len);

	if (fd < 0 || !bytes)
		die("cannot open " PATH);
	buf_fill(bytes, len, seed);
	if (write(fd, bytes, len) != (ssize_t)len)
		die("cannot write " PATH);
	close(fd);
	free(bytes);
}

static char *map_file(int fd, int flags, int prot)
{
	char *buf = mmap(NULL, LEN, prot, flags | MAP_PEER_SHARED, fd, 0);

	if (buf == MAP_FAILED)
		die("cannot map a file");
	return buf;
}

FIXTURE(file)
{
	struct readers npus;
	size_t page;
	char *buf;
	int flags;
	bool mounted;
};

FIXTURE_VARIANT(file)
{
	const char *type;
	int flags;
};

FIXTURE_VARIANT_ADD(file, ext4_shared) { .type = "ext4", .flags = MAP_SHARED };
FIXTURE_VARIANT_ADD(file, ext4_private) { .type = "ext4", .flags = MAP_PRIVATE };
FIXTURE_VARIANT_ADD(file, tmpfs_shared) { .type = "tmpfs", .flags = MAP_SHARED };
FIXTURE_VARIANT_ADD(file, tmpfs_private) { .type = "tmpfs", .flags = MAP_PRIVATE };

static char *map_weights(int flags)
{
	int fd = open(PATH, O_RDONLY | O_CLOEXEC);
	char *buf;

	if (fd < 0)
		die("cannot open " PATH);
	buf = map_file(fd, flags, PROT_READ);
	close(fd);
	if (hmadvise(-1, buf, LEN, MADV_READ_MOSTLY))
		die("READ_MOSTLY failed");
	return buf;
}

FIXTURE_SETUP(file)
{
	int err = dup_mount(variant->type);

	if (err == -ENOENT)
		SKIP(return, "no mkfs.ext4 here");
	ASSERT_EQ(0, err);
	self->mounted = true;
	self->page = page_size();
	self->flags = variant->flags;
	readers_open(&self->npus, LEN);
	write_file(LEN, 5);
	self->buf = map_weights(variant->flags);
	ASSERT_TRUE(smaps_has_flag(self->buf, "ps"));
	ASSERT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_EQ(LEN, copied(1));
}

FIXTURE_TEARDOWN(file)
{
	if (!self->mounted)
		return;
	munmap(self->buf, LEN);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	readers_close(&self->npus);
	/* A reader in another process may have been the last. */
	EXPECT_EQ(0, dup_umount(ENOUGH));
}

TEST_F_TIMEOUT(file, read_where_they_are, 120)
{
	long long remote = counter(0, "remote"), from = counter(0, "from_dev");

	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_EQ(LEN, copied(1));
	EXPECT_EQ(remote, counter(0, "remote"));
	/* Only what the test looked at came back. */
	EXPECT_EQ(from + LEN, counter(0, "from_dev"));
	EXPECT_TRUE(buf_check(self->buf, LEN, 5));
}

TEST_F_TIMEOUT(file, opened_for_write, 120)
{
	int fd = open(PATH, O_RDWR | O_CLOEXEC);
	char *bytes = malloc(LEN);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	/* With a writer about they use the host's page. */
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	EXPECT_EQ(0, copied(0));
	buf_fill(bytes, LEN, 6);
	ASSERT_EQ(LEN, pwrite(fd, bytes, LEN, 0));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 6));
	EXPECT_EQ(-EBUSY, to_device(self->npus.fd[0], self->buf, LEN));
	EXPECT_EQ(0, copied(0));
	close(fd);
	free(bytes);
	/* And copies again without. */
	EXPECT_EQ(0, to_device(self->npus.fd[0], self->buf, LEN));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 6));
}

TEST_F_TIMEOUT(file, opened_for_write_without_waiting, 120)
{
	uint64_t end = now_ms() + ENOUGH;
	int fd;

	while ((fd = open(PATH, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
		ASSERT_EQ(EWOULDBLOCK, errno);
		ASSERT_GT(end, now_ms());
		sleep_ms(1);
	}
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	close(fd);
}

TEST_F_TIMEOUT(file, truncated, 120)
{
	struct npu_wait result;
	struct npu_cmd cmd = cmd_read(self->buf, LEN);

	ASSERT_EQ(0, truncate(PATH, LEN / 2));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN / 2, 5));
	EXPECT_EQ(-EFAULT, npu_run_result(self->npus.fd[0], &cmd, 1, &result));
	EXPECT_EQ((uintptr_t)self->buf + LEN / 2, result.fault_addr & -self->page);
	write_file(LEN, 5);
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
}

/* Reclaim takes the host's pages, and the copies of them. */
TEST_F_TIMEOUT(file, reclaimed, 120)
{
	ASSERT_EQ(0, madvise(self->buf, LEN, MADV_PAGEOUT));
	/* Without swap the pages of tmpfs stay. */
	if (!strcmp(variant->type, "ext4")) {
		EXPECT_GT(LEN, copied(0));
		EXPECT_GT(LEN, copied(1));
	}
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 5));
	EXPECT_TRUE(buf_check(self->buf, LEN, 5));
}

struct reading {
	struct readers *npus;
	char *buf;
	int npu;
	bool stop;
	int errors;
};

static void *read_on(void *data)
{
	struct reading *r = data;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		if (npu_run1(r->npus->fd[r->npu], cmd_read(r->buf, LEN)))
			r->errors++;
	}
	return NULL;
}

/* Both NPUs read all the time; after each write they read what was written. */
TEST_F_TIMEOUT(file, written_while_read, 120)
{
	struct reading reading[2] = {
		{ .npus = &self->npus, .buf = self->buf, .npu = 0 },
		{ .npus = &self->npus, .buf = self->buf, .npu = 1 },
	};
	int i, rounds = scaled(20, 4), copies = 0;
	pthread_t threads[2];

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, read_on, &reading[i]));
	for (i = 0; i < rounds; i++) {
		write_file(LEN, 100 + i);
		EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 100 + i));
		to_device(self->npus.fd[i % 2], self->buf, LEN);
		copies += copied(i % 2) > 0;
		EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 100 + i));
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&reading[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, reading[i].errors);
	}
	EXPECT_LT(rounds / 2, copies);
}

/* Another process's copies go as well. */
TEST_F_TIMEOUT(file, two_processes, 120)
{
	struct baton ready, go;
	pid_t pid;

	baton_make(&ready);
	baton_make(&go);
	pid = fork();
	if (!pid) {
		struct readers npus;
		char *buf;
		bool ok;

		readers_open(&npus, LEN);
		buf = map_weights(self->flags);
		ok = readers_see(&npus, buf, LEN, 5);
		baton_pass(&ready);
		baton_take(&go);
		_exit(ok && readers_see(&npus, buf, LEN, 6) ? 0 : 1);
	}
	baton_take(&ready);
	EXPECT_LE(LEN, copied(0));
	write_file(LEN, 6);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	baton_pass(&go);
	EXPECT_EQ(0, child_result(pid, ENOUGH));
	EXPECT_TRUE(readers_see(&self->npus, self->buf, LEN, 6));
}

/* A file larger than the device: copies are dropped, nothing is written back. */
TEST_F_TIMEOUT(file, under_pressure, 240)
{
	size_t len = 40 * MiB;
	long long from, evicted;
	char *buf;
	int fd, i;

	munmap(self->buf, LEN);
	write_file(len, 5);
	fd = open(PATH, O_RDONLY | O_CLOEXEC);
	buf = mmap(NULL, len, PROT_READ, self->flags | MAP_PEER_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, buf);
	close(fd);
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_READ_MOSTLY));
	/* The only other memory, which may have come to the NPU ahead of need. */
	ASSERT_EQ(0, to_home(self->npus.scratch, LEN));
	from = counter(0, "from_dev");
	evicted = counter(0, "evicted");
	for (i = 0; i < scaled(2, 1); i++)
		ASSERT_EQ(0, npu_run1(self->npus.fd[0], cmd_read(buf, len)));
	EXPECT_LT(16 * MiB, copied(0));
	EXPECT_GE(32 * MiB, copied(0));
	EXPECT_EQ(from, counter(0, "from_dev"));
	EXPECT_EQ(evicted, counter(0, "evicted"));
	EXPECT_TRUE(buf_check(buf, len, 5));
	munmap(buf, len);
	self->buf = map_weights(self->flags);
}

FIXTURE(memfd)
{
	struct readers npus;
	int fd;
};

FIXTURE_SETUP(memfd)
{
	char *bytes;

	readers_open(&self->npus, LEN);
	self->fd = memfd_create("weights", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, LEN));
	bytes = map_file(self->fd, MAP_SHARED, PROT_READ | PROT_WRITE);
	buf_fill(bytes, LEN, 5);
	munmap(bytes, LEN);
}

FIXTURE_TEARDOWN(memfd)
{
	close(self->fd);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	readers_close(&self->npus);
}

TEST_F(memfd, sealed)
{
	char *buf;

	ASSERT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	buf = map_file(self->fd, MAP_SHARED, PROT_READ);
	ASSERT_EQ(0, hmadvise(-1, buf, LEN, MADV_READ_MOSTLY));
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_EQ(LEN, copied(1));
	munmap(buf, LEN);
}

/* Who cuts it off in the middle of a page writes zeroes, and tells nobody. */
TEST_F(memfd, sealed_and_cut)
{
	size_t page = page_size();
	char *buf;

	ASSERT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_WRITE));
	buf = map_file(self->fd, MAP_SHARED, PROT_READ);
	ASSERT_EQ(0, hmadvise(-1, buf, LEN, MADV_READ_MOSTLY));
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_NE(0, buf[page - 8]);
	ASSERT_EQ(0, ftruncate(self->fd, 8));
	ASSERT_EQ(0, buf[page - 8]);
	EXPECT_EQ(0, reader_byte(&self->npus, 0, buf + page - 8));
	EXPECT_EQ(0, reader_byte(&self->npus, 1, buf + page - 8));
	munmap(buf, LEN);
}

/* The hint has no effect where somebody may write. */
static void no_copies(struct __test_metadata *_metadata, struct readers *npus,
		      char *buf, bool writable)
{
	ASSERT_EQ(0, hmadvise(-1, buf, LEN, MADV_READ_MOSTLY));
	EXPECT_TRUE(readers_see(npus, buf, LEN, 5));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	EXPECT_EQ(-EBUSY, to_device(npus->fd[0], buf, LEN));
	if (!writable)
		return;
	buf_fill(buf, LEN, 6);
	EXPECT_TRUE(readers_see(npus, buf, LEN, 6));
}

TEST_F(memfd, not_sealed)
{
	char *buf = map_file(self->fd, MAP_SHARED, PROT_READ | PROT_WRITE);

	no_copies(_metadata, &self->npus, buf, true);
	munmap(buf, LEN);
	buf_fill(self->npus.scratch, LEN, 5);
	ASSERT_EQ(LEN, pwrite(self->fd, self->npus.scratch, LEN, 0));
	buf = map_file(self->fd, MAP_PRIVATE, PROT_READ);
	no_copies(_metadata, &self->npus, buf, false);
	munmap(buf, LEN);
}

TEST_F(memfd, shared_anonymous)
{
	char *buf = buf_alloc_flags(LEN, MAP_SHARED | MAP_PEER_SHARED);

	buf_fill(buf, LEN, 5);
	no_copies(_metadata, &self->npus, buf, true);
	munmap(buf, LEN);
}

/* A private mapping that is written has pages of its own. */
TEST_F(memfd, private_and_written)
{
	size_t page = page_size();
	char *buf;

	ASSERT_EQ(0, fcntl(self->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	buf = map_file(self->fd, MAP_PRIVATE, PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, hmadvise(-1, buf, LEN, MADV_READ_MOSTLY));
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	buf[LEN / 2] = '!';
	EXPECT_GT(LEN, copied(0));
	EXPECT_EQ('!', reader_byte(&self->npus, 0, buf + LEN / 2));
	EXPECT_EQ('!', reader_byte(&self->npus, 1, buf + LEN / 2));
	ASSERT_EQ(0, npu_run1(self->npus.fd[1], cmd_fill(buf + page, '?', page)));
	EXPECT_TRUE(buf_is(buf + page, page, '?'));
	EXPECT_EQ('?', reader_byte(&self->npus, 0, buf + page));
	munmap(buf, LEN);
}

GMEM_TEST_MAIN

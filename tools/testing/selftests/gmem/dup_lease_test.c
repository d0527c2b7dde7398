// SPDX-License-Identifier: GPL-2.0
/*
 * The leases behind copies of file pages: whose files get them, what they keep
 * others from, and when they end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"
#include "dup_util.h"

#define LEN	(2 * MiB)	/* shares no block with others */
#define PATH	DUP_DIR "/weights"
#define USER	1000
#define ENOUGH	20000	/* ms */

static void write_path(const char *path, uint32_t seed)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	char *bytes = malloc(LEN);

	if (fd < 0 || !bytes)
		die("cannot open %s", path);
	buf_fill(bytes, LEN, seed);
	if (write(fd, bytes, LEN) != LEN)
		die("cannot write %s", path);
	close(fd);
	free(bytes);
}

static char *map_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf = mmap(NULL, LEN, PROT_READ, MAP_SHARED | MAP_PEER_SHARED, fd, 0);

	if (fd < 0 || buf == MAP_FAILED)
		die("cannot map %s", path);
	close(fd);
	if (hmadvise(-1, buf, LEN, MADV_READ_MOSTLY))
		die("READ_MOSTLY failed");
	return buf;
}

FIXTURE(lease)
{
	struct readers npus;
	bool mounted;
};

FIXTURE_VARIANT(lease)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(lease, ext4) { .type = "ext4" };
FIXTURE_VARIANT_ADD(lease, tmpfs) { .type = "tmpfs" };

FIXTURE_SETUP(lease)
{
	int err = dup_mount(variant->type);

	if (err == -ENOENT)
		SKIP(return, "no mkfs.ext4 here");
	ASSERT_EQ(0, err);
	self->mounted = true;
	ASSERT_EQ(0, chmod(DUP_DIR, 0777));
	readers_open(&self->npus, LEN);
	write_path(PATH, 5);
}

FIXTURE_TEARDOWN(lease)
{
	if (!self->mounted)
		return;
	readers_close(&self->npus);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, dup_umount(ENOUGH));
}

/* In the common case there are copies, of each page and at once. */
TEST_F(lease, copies_are_made)
{
	char *buf;
	int i;

	for (i = 0; i < 10; i++) {
		write_path(PATH, i);
		buf = map_path(PATH);
		EXPECT_EQ(0, to_device(self->npus.fd[0], buf, LEN));
		EXPECT_EQ(LEN, copied(0));
		ASSERT_TRUE(readers_see(&self->npus, buf, LEN, i));
		EXPECT_EQ(LEN, copied(0));
		EXPECT_EQ(LEN, copied(1));
		munmap(buf, LEN);
		EXPECT_EQ(0, copied(0));
		EXPECT_EQ(0, copied(1));
	}
}

TEST_F(lease, umount_after_munmap)
{
	int i, err, rounds = strcmp(variant->type, "ext4") ? 20 : 4;
	char *buf;

	for (i = 0; i < rounds; i++) {
		buf = map_path(PATH);
		ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
		ASSERT_EQ(LEN, copied(0));
		/* What is to be seen is the file, not its pages. */
		munmap(buf, LEN);
		err = dup_umount(0);
		ASSERT_EQ(0, err);
		ASSERT_EQ(0, dup_mount(variant->type));
		write_path(PATH, 5);
	}
}

/* The bytes that a child with these ids got copies of. */
static long long copied_as(struct __test_metadata *_metadata, uid_t uid, int *open_errno)
{
	struct baton ready, go;
	long long bytes;
	pid_t pid;
	int fd;

	baton_make(&ready);
	baton_make(&go);
	pid = fork();
	if (!pid) {
		int npu = npu_open(0);
		char *scratch = buf_alloc(LEN), *buf;
		bool ok;

		if (setgid(uid) || setuid(uid))
			_exit(2);
		buf = map_path(PATH);
		ok = !npu_run1(npu, cmd_copy(scratch, buf, LEN)) &&
		     buf_check(scratch, LEN, 5);
		baton_pass(&ready);
		baton_take(&go);
		_exit(ok ? 0 : 1);
	}
	baton_take(&ready);
	bytes = copied(0);
	fd = open(PATH, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	*open_errno = fd < 0 ? errno : 0;
	close(fd);
	baton_pass(&go);
	EXPECT_EQ(0, child_result(pid, ENOUGH));
	return bytes;
}

/* As by F_SETLEASE: the owner of the file, and who has CAP_LEASE. */
TEST_F(lease, of_whose_files)
{
	int err;

	ASSERT_EQ(0, chown(PATH, 0, 0));
	EXPECT_EQ(0, copied_as(_metadata, USER, &err));
	EXPECT_EQ(0, err);
	ASSERT_EQ(0, chown(PATH, USER, USER));
	EXPECT_EQ(LEN, copied_as(_metadata, USER, &err));
	EXPECT_EQ(EWOULDBLOCK, err);
	EXPECT_EQ(LEN, copied_as(_metadata, 0, &err));
	EXPECT_EQ(EWOULDBLOCK, err);
}

/* The copies go without the time that a program would have for it. */
TEST_F(lease, break_time)
{
	char *buf = map_path(PATH);
	uint64_t begin;
	int fd;

	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_EQ(0, file_write("/proc/sys/fs/lease-break-time", "10"));
	begin = now_ms();
	fd = open(PATH, O_WRONLY | O_CLOEXEC);
	EXPECT_LE(0, fd);
	EXPECT_GT(10000, now_ms() - begin);
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	close(fd);
	EXPECT_EQ(0, file_write("/proc/sys/fs/lease-break-time", "45"));
	munmap(buf, LEN);
}

#define MERGED	DUP_DIR "/merged"

static void overlay_mount(void)
{
	static const char * const dirs[] = { "/lower", "/upper", "/work", "/merged" };
	char name[64];
	int i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(name, sizeof(name), DUP_DIR "%s", dirs[i]);
		if (mkdir(name, 0755))
			die("cannot make %s", name);
	}
	if (mount("overlay", MERGED, "overlay", 0, "lowerdir=" DUP_DIR "/lower,upperdir=" DUP_DIR
		  "/upper,workdir=" DUP_DIR "/work"))
		die("cannot mount an overlay");
}

/* overlayfs truncates the inode below, and breaks the leases of its own only. */
TEST_F(lease, overlay)
{
	const char *path = MERGED "/weights";
	char *buf;

	overlay_mount();
	write_path(path, 5);
	buf = map_path(path);
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	EXPECT_EQ(0, copied(0));
	ASSERT_NE(0, buf[4088]);
	ASSERT_EQ(0, truncate(path, 8));
	ASSERT_EQ(0, buf[4088]);
	EXPECT_EQ(0, reader_byte(&self->npus, 0, buf + 4088));
	munmap(buf, LEN);
	EXPECT_EQ(0, umount(MERGED));
}

/* Who maps the upper layer itself has copies; a truncation from above ends them. */
TEST_F(lease, overlay_above)
{
	uint64_t begin;
	char *buf;
	int err;

	overlay_mount();
	write_path(MERGED "/weights", 5);
	buf = map_path(DUP_DIR "/upper/weights");
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_NE(0, buf[4088]);
	begin = now_ms();
	do {
		/* notify_change() has nowhere to wait for the copies here. */
		err = truncate(MERGED "/weights", 8) ? errno : 0;
	} while (err == EAGAIN && now_ms() - begin < ENOUGH);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, buf[4088]);
	EXPECT_EQ(0, reader_byte(&self->npus, 0, buf + 4088));
	EXPECT_EQ(0, reader_byte(&self->npus, 1, buf + 4088));
	munmap(buf, LEN);
	EXPECT_EQ(0, umount(MERGED));
}

/* A page is cut off in the middle where copies are made. */
TEST_F(lease, last_page_cut)
{
	char *buf = map_path(PATH);

	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_NE(0, buf[4088]);
	ASSERT_EQ(0, truncate(PATH, 8));
	ASSERT_EQ(0, buf[4088]);
	EXPECT_EQ(0, reader_byte(&self->npus, 0, buf + 4088));
	EXPECT_EQ(0, reader_byte(&self->npus, 1, buf + 4088));
	munmap(buf, LEN);
}

/* Copies of pages that are not on the disk yet. */
TEST_F(lease, written_back)
{
	char *buf = map_path(PATH), *bytes = malloc(LEN);
	int fd = open(PATH, O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_EQ(0, syncfs(fd));
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	EXPECT_EQ(LEN, copied(0));
	munmap(buf, LEN);
	/* What comes from the disk now is the same. */
	EXPECT_EQ(0, posix_fadvise(fd, 0, LEN, POSIX_FADV_DONTNEED));
	EXPECT_EQ(LEN, read(fd, bytes, LEN));
	EXPECT_TRUE(buf_check(bytes, LEN, 5));
	close(fd);
	free(bytes);
}

/* Past the page cache, where the file system can do that. */
TEST_F(lease, written_directly)
{
	char *buf = map_path(PATH);
	int fd;

	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	fd = open(PATH, O_WRONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, copied(0));
	buf_fill(self->npus.scratch, LEN, 6);
	ASSERT_EQ(LEN, write(fd, self->npus.scratch, LEN));
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 6));
	EXPECT_EQ(0, copied(0));
	close(fd);
	EXPECT_EQ(0, to_device(self->npus.fd[0], buf, LEN));
	EXPECT_EQ(LEN, copied(0));
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 6));
	munmap(buf, LEN);
}

TEST_F(lease, hole_punched)
{
	const size_t at = 3 * page_size() + 100, len = 2 * page_size();
	char *buf = map_path(PATH), *bytes = malloc(LEN);
	int fd;

	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	fd = open(PATH, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len));
	close(fd);
	buf_fill(bytes, LEN, 5);
	memset(bytes + at, 0, len);
	for (int npu = 0; npu < 2; npu++) {
		ASSERT_EQ(0, npu_run1(self->npus.fd[npu], cmd_copy(self->npus.scratch, buf, LEN)));
		EXPECT_EQ(0, memcmp(self->npus.scratch, bytes, LEN));
	}
	munmap(buf, LEN);
	free(bytes);
}

/* Neither changes a byte; a delegation ends all the same. */
TEST_F(lease, renamed_and_unlinked)
{
	char *buf = map_path(PATH);

	ASSERT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	ASSERT_EQ(LEN, copied(0));
	ASSERT_EQ(0, rename(PATH, PATH "2"));
	EXPECT_EQ(0, copied(0));
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	EXPECT_EQ(LEN, copied(0));
	ASSERT_EQ(0, unlink(PATH "2"));
	EXPECT_EQ(0, copied(0));
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	munmap(buf, LEN);
}

/* The file systems with copies have no extents that files share. */
TEST_F(lease, reflink)
{
	int from = open(PATH, O_RDONLY | O_CLOEXEC);
	int to = open(PATH "2", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_LE(0, from);
	ASSERT_LE(0, to);
	EXPECT_EQ(-1, ioctl(to, FICLONE, from));
	EXPECT_EQ(EOPNOTSUPP, errno);
	close(from);
	close(to);
}

/* Of a file system for which nothing is known there are none. */
TEST_F(lease, other_file_system)
{
	char *buf;

	ASSERT_EQ(0, mkdir(DUP_DIR "/other", 0755));
	ASSERT_EQ(0, mount("none", DUP_DIR "/other", "ramfs", 0, NULL));
	write_path(DUP_DIR "/other/weights", 5);
	buf = map_path(DUP_DIR "/other/weights");
	EXPECT_TRUE(readers_see(&self->npus, buf, LEN, 5));
	EXPECT_EQ(0, copied(0));
	EXPECT_EQ(0, copied(1));
	munmap(buf, LEN);
	EXPECT_EQ(0, umount(DUP_DIR "/other"));
}

GMEM_TEST_MAIN

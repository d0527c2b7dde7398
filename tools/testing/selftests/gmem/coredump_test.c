// SPDX-License-Identifier: GPL-2.0
/* The core dump of a process has the bytes that are on a device. */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define PATTERN	"/proc/sys/kernel/core_pattern"

FIXTURE(core)
{
	char dir[64], core[96], old[256];
	size_t len;
	char *buf;
	int fd;
};

FIXTURE_VARIANT(core)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(core, small_pages) { .len = 16 * 4 * KiB };
FIXTURE_VARIANT_ADD(core, blocks) { .len = 2 * BLOCK };

FIXTURE_SETUP(core)
{
	char pattern[128];

	if (access(PATTERN, W_OK))
		SKIP(return, "no core dumps");
	strcpy(self->dir, "/tmp/gmem-core-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->core, sizeof(self->core), "%s/core", self->dir);
	ASSERT_LT(0, file_read(PATTERN, self->old, sizeof(self->old)));
	snprintf(pattern, sizeof(pattern), "%s\n", self->core);
	ASSERT_EQ(0, file_write(PATTERN, pattern));
	self->fd = npu_open(0);
	self->len = variant->len;
	self->buf = buf_alloc(self->len);
	buf_fill(self->buf, self->len, 1);
}

FIXTURE_TEARDOWN(core)
{
	file_write(PATTERN, self->old);
	unlink(self->core);
	rmdir(self->dir);
	close(self->fd);
}

/* Reads from a core file what was at an address. */
static bool read_core(const char *path, const void *addr, void *to, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool found = false;
	Elf64_Ehdr head;
	Elf64_Phdr part;
	int i;

	if (fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head))
		die("no core file");
	for (i = 0; i < head.e_phnum && !found; i++) {
		uint64_t offset;

		if (pread(fd, &part, sizeof(part), head.e_phoff +
			  i * sizeof(part)) != sizeof(part))
			die("short core file");
		offset = (uintptr_t)addr - part.p_vaddr;
		found = part.p_type == PT_LOAD &&
			(uintptr_t)addr >= part.p_vaddr &&
			offset + len <= part.p_filesz &&
			pread(fd, to, len, part.p_offset + offset) == (ssize_t)len;
	}
	close(fd);
	return found;
}

TEST_F(core, has_device_pages)
{
	char *copy = malloc(self->len);
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(0);

		if (setrlimit(RLIMIT_CORE, &all) ||
		    to_device(fd, self->buf, self->len) ||
		    !on_device(self->buf, self->len))
			_exit(1);
		abort();
	}
	ASSERT_EQ(-SIGABRT, child_result(child, 20000));
	ASSERT_TRUE(read_core(self->core, self->buf, copy, self->len));
	EXPECT_TRUE(buf_check(copy, self->len, 1));
	free(copy);
}

GMEM_TEST_MAIN

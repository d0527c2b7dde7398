// SPDX-License-Identifier: GPL-2.0
/* See dup_util.h. */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "dup_util.h"

void readers_open(struct readers *r, size_t len)
{
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = 32 });
	r->fd[0] = npu_open(0);
	r->fd[1] = npu_open(1);
	r->len = len;
	r->scratch = buf_alloc(len);
}

void readers_close(struct readers *r)
{
	close(r->fd[0]);
	close(r->fd[1]);
	munmap(r->scratch, r->len);
}

bool reader_sees(struct readers *r, int npu, const void *buf, size_t len,
		 uint32_t seed)
{
	int err = npu_run1(r->fd[npu], cmd_copy(r->scratch, buf, len));

	if (err) {
		fprintf(stderr, "# NPU %d: %d\n", npu, err);
		return false;
	}
	return buf_check(r->scratch, len, seed);
}

bool readers_see(struct readers *r, const void *buf, size_t len, uint32_t seed)
{
	return reader_sees(r, 0, buf, len, seed) && reader_sees(r, 1, buf, len, seed);
}

/* Commands copy words of 8 bytes. */
int reader_byte(struct readers *r, int npu, const void *at)
{
	int err = npu_run1(r->fd[npu], cmd_copy(r->scratch, at, 8));

	return err ?: *(volatile uint8_t *)r->scratch;
}

long long counter(int npu, const char *key)
{
	char pattern[64];
	long long value;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/gmem/npu%d-*/stats", npu);
	if (glob(pattern, 0, NULL, &found) || found.gl_pathc != 1)
		die("no counters of NPU %d", npu);
	value = file_find(found.gl_pathv[0], key);
	if (value < 0)
		die("no counter %s", key);
	globfree(&found);
	return value;
}

long long copied(int npu)
{
	return counter(npu, "duplicated");
}

bool copied_wait(int npu, long long bytes)
{
	uint64_t end = now_ms() + 20000;

	while (copied(npu) != bytes) {
		if (now_ms() > end)
			return false;
		sleep_ms(10);
	}
	return true;
}

#define IMAGE	"/tmp/gmem-dup.img"

static char loop[32];

static void loop_free(void)
{
	int fd = open(loop, O_RDONLY | O_CLOEXEC);

	ioctl(fd, LOOP_CLR_FD);
	close(fd);
	unlink(IMAGE);
	*loop = 0;
}

static int make_ext4(void)
{
	struct loop_config config = {};
	int control, fd, err;

	if (system("rm -f " IMAGE "; mkfs.ext4 -q -b 4096 " IMAGE " 64M >/dev/null 2>&1"))
		return -ENOENT;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	snprintf(loop, sizeof(loop), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	close(control);
	fd = open(loop, O_RDWR | O_CLOEXEC);
	config.fd = open(IMAGE, O_RDWR | O_CLOEXEC);
	err = ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : 0;
	close(config.fd);
	/* Nobody else may have a mounted disk open for writing. */
	close(fd);
	if (!err && mount(loop, DUP_DIR, "ext4", 0, NULL)) {
		err = -errno;
		loop_free();
	}
	return err;
}

int dup_mount(const char *type)
{
	mkdir(DUP_DIR, 0755);
	if (!strcmp(type, "ext4"))
		return make_ext4();
	return mount("none", DUP_DIR, type, 0, NULL) ? -errno : 0;
}

int dup_umount(unsigned int ms)
{
	uint64_t end = now_ms() + ms;
	int err;

	for (;;) {
		err = umount(DUP_DIR) ? -errno : 0;
		if (err != -EBUSY || now_ms() >= end)
			break;
		sleep_ms(10);
	}
	if (!err && *loop)
		loop_free();
	return err;
}

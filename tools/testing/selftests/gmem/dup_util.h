/* SPDX-License-Identifier: GPL-2.0 */
/* Two NPUs that read the same memory, and what they have copies of. */
#ifndef DUP_UTIL_H
#define DUP_UTIL_H

#include "gmem_util.h"

struct readers {
	int fd[2];
	char *scratch;		/* what an NPU read is copied to */
	size_t len;
};

void readers_open(struct readers *r, size_t len);
void readers_close(struct readers *r);
/* Does each NPU read the pattern of buf_fill()? */
bool readers_see(struct readers *r, const void *buf, size_t len, uint32_t seed);
bool reader_sees(struct readers *r, int npu, const void *buf, size_t len,
		 uint32_t seed);
int reader_byte(struct readers *r, int npu, const void *at);

long long counter(int npu, const char *key);	/* of the device, in debugfs */
long long copied(int npu);			/* bytes of copies it has now */
bool copied_wait(int npu, long long bytes);

/* A file system of its own; "ext4" is in a file, -ENOENT without mkfs.ext4. */
#define DUP_DIR "/tmp/gmem-dup"
int dup_mount(const char *type);
/* Unmount it; if it is busy try again for so long. Returns a negative errno. */
int dup_umount(unsigned int ms);

#endif /* DUP_UTIL_H */

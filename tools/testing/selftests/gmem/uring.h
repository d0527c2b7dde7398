/* SPDX-License-Identifier: GPL-2.0 */
/* As much of io_uring(7) as reads into registered buffers need. */
#ifndef GMEM_URING_H
#define GMEM_URING_H

#include <string.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "gmem_util.h"

struct uring {
	struct io_uring_params p;
	int fd;
	char *ring;
	struct io_uring_sqe *sqes;
};

static inline size_t uring_size(struct uring *u)
{
	return u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe);
}

static inline void uring_open(struct uring *u)
{
	memset(u, 0, sizeof(*u));
	u->fd = syscall(__NR_io_uring_setup, 4, &u->p);
	if (u->fd < 0)
		die("no io_uring");
	u->ring = mmap(NULL, uring_size(u), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQ_RING);
	u->sqes = mmap(NULL, u->p.sq_entries * sizeof(struct io_uring_sqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
		       IORING_OFF_SQES);
	if (u->ring == MAP_FAILED || u->sqes == MAP_FAILED)
		die("cannot map the rings");
}

static inline int uring_register(struct uring *u, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return syscall(__NR_io_uring_register, u->fd, IORING_REGISTER_BUFFERS,
		       &iov, 1) ? -errno : 0;
}

static inline int uring_unregister(struct uring *u)
{
	return syscall(__NR_io_uring_register, u->fd, IORING_UNREGISTER_BUFFERS,
		       NULL, 0) ? -errno : 0;
}

/* Read from the start of a file to an address in the registered buffer. */
static inline int uring_read_fixed(struct uring *u, int fd, void *to, size_t len)
{
	unsigned int *tail = (unsigned int *)(u->ring + u->p.sq_off.tail);
	unsigned int *array = (unsigned int *)(u->ring + u->p.sq_off.array);
	unsigned int *mask = (unsigned int *)(u->ring + u->p.sq_off.ring_mask);
	unsigned int *head = (unsigned int *)(u->ring + u->p.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(u->ring + u->p.cq_off.cqes);
	unsigned int *cmask = (unsigned int *)(u->ring + u->p.cq_off.ring_mask);
	unsigned int at = *tail & *mask;
	int result;

	u->sqes[at] = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED, .fd = fd,
		.addr = (uintptr_t)to, .len = len,
	};
	array[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		return -errno;
	result = cqes[*head & *cmask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static inline void uring_close(struct uring *u)
{
	munmap(u->ring, uring_size(u));
	munmap(u->sqes, u->p.sq_entries * sizeof(struct io_uring_sqe));
	close(u->fd);
}

#endif /* GMEM_URING_H */

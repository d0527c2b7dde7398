// SPDX-License-Identifier: GPL-2.0
/* Memory that the kernel reads and writes by other ways than its page table. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/uio.h>

#include "../uring.h"
#include "stress.h"

/* A device reads meanwhile, and throws away what it reads. */
static uint64_t reader_start(int npu, const struct range *r)
{
	struct npu_cmd c = cmd_read(addr(r), r->len);

	return me.npu[npu] < 0 ? 0 : npu_start(me.npu[npu], &c, 1);
}

static void reader_end(int npu, uint64_t id)
{
	if (id)
		job_end(npu, id);
}

/* To the disk, and from there to other memory, past the page cache. */
static int direct(struct range *r)
{
	struct range src = draw_other(r);
	int npu = coin();
	ssize_t done;
	uint64_t id;

	note(npu);
	note(src.region);
	r->len = src.len;
	done = pwrite(me.disk, addr(&src), r->len, 0);
	if (done != (ssize_t)r->len)
		wrong(r, "O_DIRECT writes %zd (%d)", done, errno);
	id = reader_start(npu, r);
	done = pread(me.disk, addr(r), r->len, 0);
	if (done != (ssize_t)r->len)
		wrong(r, "O_DIRECT reads %zd (%d)", done, errno);
	reader_end(npu, id);
	memcpy(shadow(r), shadow(&src), r->len);
	return 0;
}

/* A buffer that stays pinned while a device uses it. */
static int uring(struct range *r)
{
	int npu = coin(), byte = rnd() & 0xff, err;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);
	struct uring u;
	ssize_t done;
	uint64_t id;

	note(npu);
	note(byte);
	pattern(r);
	memcpy(me.plain, shadow(r), r->len);
	done = pwrite(me.disk, me.plain, r->len, 0);
	if (done != (ssize_t)r->len)
		wrong(NULL, "the disk takes %zd", done);
	uring_open(&u);
	err = uring_register(&u, addr(r), r->len);
	if (!err && !job(npu, &c, 1)) {
		/* Its writes reach who has the page pinned. */
		id = reader_start(!npu, r);
		err = uring_read_fixed(&u, me.disk, addr(r), r->len);
		reader_end(!npu, id);
		if (err != (int)r->len)
			wrong(r, "io_uring reads %d", err);
		err = 0;
	} else {
		write_shadow(r);
	}
	check(r);
	uring_unregister(&u);
	uring_close(&u);
	return err;
}

static int spliced(struct range *r)
{
	struct range src;
	struct iovec iov;
	size_t got = 0;
	ssize_t done;
	int npu = coin();

	if (r->len > 64 * KiB)
		r->len = 64 * KiB;
	src = draw_other(r);
	note(npu);
	note(src.region);
	r->len = src.len;
	iov = (struct iovec){ addr(&src), src.len };
	/* A pipe takes so many pages, of which two may be parts. */
	done = vmsplice(me.pipe[1], &iov, 1, SPLICE_F_NONBLOCK);
	if (done <= 0)
		wrong(&src, "vmsplice gives %zd (%d)", done, errno);
	r->len = done;
	reader_end(npu, reader_start(npu, &src));
	while (got < r->len) {
		done = read(me.pipe[0], addr(r) + got, r->len - got);
		if (done <= 0)
			wrong(r, "the pipe gives %zd (%d)", done, errno);
		got += done;
	}
	memcpy(shadow(r), shadow(&src), r->len);
	return 0;
}

static int process_vm(struct range *r)
{
	struct iovec mine = { me.plain, r->len }, other = { addr(r), r->len };
	ssize_t done;

	pattern(r);
	memcpy(me.plain, shadow(r), r->len);
	done = process_vm_writev(getpid(), &mine, 1, &other, 1, 0);
	if (done != (ssize_t)r->len)
		wrong(r, "process_vm_writev gives %zd (%d)", done, errno);
	memset(me.plain, 0, r->len);
	done = process_vm_readv(getpid(), &mine, 1, &other, 1, 0);
	if (done != (ssize_t)r->len)
		wrong(r, "process_vm_readv gives %zd (%d)", done, errno);
	if (memcmp(me.plain, shadow(r), r->len))
		wrong(r, "process_vm_readv reads something else");
	return 0;
}

/* read(2) and write(2) copy from and to user memory. */
static int buffered(struct range *r)
{
	ssize_t done;

	if (r->len > 32 * KiB)
		r->len = 32 * KiB;
	pattern(r);
	memcpy(me.plain, shadow(r), r->len);
	done = write(me.pipe[1], me.plain, r->len);
	if (done != (ssize_t)r->len)
		wrong(NULL, "the pipe takes %zd", done);
	done = read(me.pipe[0], addr(r), r->len);
	if (done != (ssize_t)r->len)
		wrong(r, "read gives %zd (%d)", done, errno);
	return 0;
}

const struct op io_ops[] = {
	{ "direct", direct, 4, PRIVATE | 1 << SHARED_FILE, true },
	{ "uring", uring, 3, PRIVATE | 1 << SHARED_FILE, true },
	{ "splice", spliced, 3, PRIVATE | 1 << SHARED_FILE, false },
	{ "process_vm", process_vm, 3, ANYWHERE, false },
	{ "buffered", buffered, 2, ANYWHERE, false },
	{ }
};

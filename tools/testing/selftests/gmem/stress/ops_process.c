// SPDX-License-Identifier: GPL-2.0
/* Children: what they have of our memory, and how they end. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "stress.h"

#define CHILD_MS	120000
#define WORDS		16

/* Returns 0 in the child, which has the NPUs for itself. */
static pid_t child_start(void)
{
	pid_t pid = fork();

	if (pid < 0)
		wrong(NULL, "fork: %s", strerror(errno));
	if (!pid) {
		int i;

		me.generation++;
		me.log = NULL;
		/* Another mm is another user of a device. */
		for (i = 0; i < NPUS; i++) {
			if (me.npu[i] >= 0)
				close(me.npu[i]);
		}
		npus_open();
	}
	return pid;
}

static void child_end(pid_t pid, int expected)
{
	int result = child_result(pid, CHILD_MS);

	if (result != expected)
		wrong(NULL, "a child ends with %d", result);
}

/* A child of a child has a child, and each writes to what it inherited. */
static void generations(unsigned int depth)
{
	unsigned int i, nr = rnd() % 3 + 1;
	pid_t pid = 0;

	if (depth > 1) {
		pid = child_start();
		if (!pid) {
			generations(depth - 1);
			check_private();
			_exit(0);
		}
	}
	for (i = 0; i < nr; i++) {
		struct range r = draw_range(PRIVATE, false);
		struct npu_cmd c;
		int npu = coin();

		pattern(&r);
		if (coin()) {
			write_shadow(&r);
		} else {
			memset(shadow(&r), i, r.len);
			c = cmd_fill(addr(&r), i, r.len);
			if (job(npu, &c, 1))
				write_shadow(&r);
		}
		check(&r);
	}
	if (pid)
		child_end(pid, 0);
}

static int forks(struct range *r)
{
	unsigned int depth = rnd() % 3 + 2;

	note(depth);
	generations(depth);
	return 0;
}

/* What the child does not get, and what it gets as zeroes. */
static int inherit(struct range *r)
{
	bool wipe = coin();
	pid_t pid;

	note(wipe);
	if (madvise(addr(r), r->len, wipe ? MADV_WIPEONFORK : MADV_DONTFORK))
		return -errno;
	pid = child_start();
	if (!pid) {
		unsigned char core;

		if (wipe) {
			memset(shadow(r), 0, r->len);
			check(r);
		} else if (!mincore(addr(r), 1, (void *)&core)) {
			wrong(r, "a child has what it should not");
		}
		_exit(0);
	}
	child_end(pid, 0);
	madvise(addr(r), r->len, wipe ? MADV_KEEPONFORK : MADV_DOFORK);
	return 0;
}

/* A child that uses the devices until it dies. */
static int killed(struct range *r)
{
	unsigned int us = rnd() % 30000;
	pid_t pid;

	note(us);
	pid = child_start();
	while (!pid) {
		struct region *region = &me.regions[rnd() % SHARED_FILE];
		int npu = coin();

		if (me.npu[npu] < 0)
			sleep_ms(1);
		else if (coin())
			npu_run1(me.npu[npu], cmd_fill(region->at, 1, region->len));
		else
			keep(region->at, region->len, rnd());
	}
	usleep(us);
	kill(pid, SIGKILL);
	child_end(pid, -SIGKILL);
	return 0;
}

/* The child writes with a device, its parent looks and writes by ptrace and by process_vm. */
static void traced_child(struct range *r, const uint64_t *poked)
{
	int npu = coin(), i;
	struct npu_cmd c;

	memset(shadow(r), 0x5a, r->len);
	c = cmd_fill(addr(r), 0x5a, r->len);
	if (job(npu, &c, 1))
		write_shadow(r);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(5);
	raise(SIGSTOP);
	for (i = 0; i < WORDS; i++)
		((uint64_t *)shadow(r))[i] = poked[i];
	check(r);
	_exit(0);
}

static void trace(struct range *r, pid_t pid, uint64_t *poked)
{
	struct iovec mine, other;
	uint64_t word;
	ssize_t done;
	int i;

	for (i = 0; i < WORDS / 2; i++) {
		char *at = addr(r) + 8 * i;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, at, NULL);
		if (errno || word != 0x5a5a5a5a5a5a5a5aULL)
			wrong(NULL, "ptrace sees %#llx in a child (%d)",
			      (unsigned long long)word, errno);
		if (ptrace(PTRACE_POKEDATA, pid, at, poked[i]))
			wrong(NULL, "ptrace: %s", strerror(errno));
	}
	mine = (struct iovec){ me.plain, r->len };
	other = (struct iovec){ addr(r), r->len };
	done = process_vm_readv(pid, &mine, 1, &other, 1, 0);
	if (done != (ssize_t)r->len || memcmp(me.plain, poked, 4 * WORDS) ||
	    !buf_is(me.plain + 4 * WORDS, r->len - 4 * WORDS, 0x5a))
		wrong(NULL, "process_vm_readv of a child gives %zd or other bytes", done);
	mine = (struct iovec){ &poked[WORDS / 2], 4 * WORDS };
	other = (struct iovec){ addr(r) + 4 * WORDS, 4 * WORDS };
	done = process_vm_writev(pid, &mine, 1, &other, 1, 0);
	if (done != 4 * WORDS)
		wrong(NULL, "process_vm_writev to a child gives %zd", done);
}

static int traced(struct range *r)
{
	uint64_t poked[WORDS];
	int status, i;
	pid_t pid;

	for (i = 0; i < WORDS; i++)
		poked[i] = rnd();
	pid = child_start();
	if (!pid)
		traced_child(r, poked);
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		wrong(r, "a child did not stop: %#x", status);
	trace(r, pid, poked);
	if (ptrace(PTRACE_CONT, pid, NULL, NULL))
		wrong(NULL, "ptrace: %s", strerror(errno));
	child_end(pid, 0);
	return 0;
}

const struct op process_ops[] = {
	{ "forks", forks, 4, PRIVATE, false },
	{ "inherit", inherit, 2, PRIVATE, true },
	{ "killed", killed, 2, PRIVATE, false },
	{ "traced", traced, 2, PRIVATE, true },
	{ }
};

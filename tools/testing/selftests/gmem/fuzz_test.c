// SPDX-License-Identifier: GPL-2.0
/*
 * Random jobs and random hmadvise calls by an unprivileged user, from a fixed
 * seed. Only the kernel's health and its promises to others are checked.
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define NOBODY	65534
#define ARENA	(4 * BLOCK)

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

static unsigned int fuzz_ms(void)
{
	const char *s = getenv("GMEM_FUZZ_SECONDS");

	return 1000 * (s && atoi(s) > 0 ? atoi(s) : 10) / 2;
}

FIXTURE(fuzz)
{
	int witness;
	char *mine, *arena;
	char paths[2][64];
};

FIXTURE_SETUP(fuzz)
{
	int i;

	self->witness = npu_open(0);
	self->mine = buf_alloc(BLOCK);
	buf_fill(self->mine, BLOCK, 1);
	ASSERT_EQ(0, to_device(self->witness, self->mine, BLOCK));
	ASSERT_TRUE(on_device(self->mine, BLOCK));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, npu_node(i, self->paths[i], 64));
		ASSERT_EQ(0, chmod(self->paths[i], 0666));
	}
	self->arena = buf_alloc(ARENA);
	state = 0x9e3779b97f4a7c15ULL;
}

/* The privileged process next door kept its bytes and its device. */
FIXTURE_TEARDOWN(fuzz)
{
	int i;

	EXPECT_TRUE(buf_check(self->mine, BLOCK, 1));
	EXPECT_EQ(0, npu_run1(self->witness, cmd_fill(self->mine, 2, BLOCK)));
	EXPECT_TRUE(on_device(self->mine, BLOCK));
	EXPECT_TRUE(buf_is(self->mine, BLOCK, 2));
	munmap(self->mine, BLOCK);
	EXPECT_TRUE(npu_wait_free(self->witness,
				  npu_info(self->witness).mem_total, 5000));
	for (i = 0; i < 2; i++)
		chmod(self->paths[i], 0600);
	close(self->witness);
}

/* In the arena mostly; else where no byte of the test itself can be hit. */
static uint64_t address(const char *arena)
{
	static const uint64_t wild[] = {
		0, 1, 4096, 0x7ffffffff000, 0x7fffffffffff, 0x800000000000,
		0xffff800000000000, -4096ULL, -8ULL, -1ULL,
	};
	uint64_t r = rnd();

	if (r % 16 == 0)
		return wild[(r >> 8) % ARRAY_SIZE(wild)];
	r = (uintptr_t)arena + (r >> 8) % ARENA;
	return rnd() % 4 ? r & ~7ULL : r;
}

static uint64_t length(void)
{
	switch (rnd() % 8) {
	case 0:
		return 1ULL << rnd() % 64;
	case 1:
		return rnd();
	case 2:
		return 0;
	default:
		return rnd() % (64 * KiB) & ~7ULL;
	}
}

static struct npu_cmd random_cmd(const char *arena)
{
	struct npu_cmd c = {
		.op = rnd() % 12, .dst = address(arena), .src0 = address(arena),
		.src1 = address(arena), .len = length(),
	};

	if (rnd() % 8) {
		/* Clean what the operation does not use, so that some run. */
		if (c.op == NPU_OP_FILL || c.op == NPU_OP_ATOMIC_ADD)
			c.src0 = c.src1 = 0;
		if (c.op == NPU_OP_COPY || c.op == NPU_OP_HISTOGRAM)
			c.src1 = 0;
		if (c.op == NPU_OP_READ)
			c.dst = c.src1 = 0;
		if (c.op == NPU_OP_NOP)
			c.dst = c.src0 = c.src1 = 0;
		if (c.op == NPU_OP_NOP || c.op == NPU_OP_GEMM ||
		    c.op == NPU_OP_ATOMIC_ADD)
			c.len = 0;
	} else {
		c.flags = rnd() % 4 ? 0 : rnd();
		c.arg[1] = rnd();
	}
	switch (c.op) {
	case NPU_OP_FILL:
		c.arg[0] = rnd();
		break;
	case NPU_OP_GEMM:
		c.arg[0] = (rnd() % 64) | (rnd() % 64) << 16 |
			   (rnd() % 64) << 32 | (rnd() % 34) << 48;
		break;
	case NPU_OP_GATHER:
		c.arg[0] = rnd() % 4 ? rnd() % 65536 : rnd();
		break;
	case NPU_OP_ATOMIC_ADD:
		c.arg[0] = rnd();
		c.arg[1] = rnd() % 100;
		break;
	case NPU_OP_NOP:
		c.arg[0] = rnd() % 16 ? rnd() % 1000 : rnd() | 1ULL << 32;
		break;
	}
	return c;
}

static void random_hmadvise(char *arena, const int *hnid)
{
	static const int behaviours[] = { MADV_PREFETCH, MADV_DONTNEED,
					  MADV_PINNED, 0x1009, -1 };
	uint64_t start = (uintptr_t)arena + rnd() % ARENA;
	int node = rnd() % 8 ? hnid[rnd() % 3] : (int)rnd();
	uint64_t len = rnd() % 8 ? rnd() % ARENA : length();

	if (rnd() % 8)
		start &= -page_size();
	/* A wild length may run over other memory: never a dropping one. */
	if (len > ARENA)
		hmadvise(node, (void *)start, len, MADV_PREFETCH);
	else
		hmadvise(node, (void *)start, len,
			 behaviours[rnd() % (rnd() % 4 ? 2 : 5)]);
}

/* munmap, protect and map again, all inside the arena. */
static void random_vma(char *arena)
{
	char *start = arena + (rnd() % ARENA & -page_size());
	size_t len = rnd() % (64 * KiB) + 1;

	if (start + len > arena + ARENA)
		return;
	switch (rnd() % 4) {
	case 0:
		mprotect(start, len, rnd() % 4);
		break;
	case 1:
		madvise(start, len, MADV_DONTNEED);
		break;
	default:
		mmap(start, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED | MAP_PEER_SHARED, -1, 0);
	}
}

static void open_both(int *fd)
{
	int i;

	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		die("cannot become nobody");
	for (i = 0; i < 2; i++) {
		fd[i] = npu_try_open(i);
		if (fd[i] < 0)
			die("nobody cannot open NPU %d", i);
	}
}

static int run_jobs(char *arena)
{
	uint64_t end = now_ms() + fuzz_ms(), submitted = 0, refused = 0;
	struct npu_info info;
	int fd[2];

	open_both(fd);
	while (now_ms() < end) {
		unsigned int nr = rnd() % 4 + 1, i;
		struct npu_cmd cmds[4];
		struct npu_wait result;
		uint64_t job = 0;
		int which = rnd() & 1;

		for (i = 0; i < nr; i++)
			cmds[i] = random_cmd(arena);
		if (npu_submit(fd[which], cmds, nr, rnd() % 16 ? -1 : (int)rnd(),
			       &job))
			refused++;
		else
			submitted++;
		if (rnd() % 4)
			npu_wait(fd[which], job, 1000, &result);
		npu_wait(fd[which], job - rnd() % 80, 0, &result);
		if (rnd() % 64 == 0)
			random_vma(arena);
	}
	info = npu_info(fd[0]);
	fprintf(stderr, "# %lu jobs taken, %lu refused, %llu done on NPU 0\n",
		submitted, refused, info.jobs_done);
	return submitted && refused && info.jobs_done && info.faults ? 0 : 2;
}

static int run_hmadvise(char *arena)
{
	uint64_t end = now_ms() + fuzz_ms(), calls = 0, before;
	int fd[2], hnid[3] = { HOME };
	struct npu_info info;

	open_both(fd);
	info = npu_info(fd[0]);
	hnid[1] = info.hnid;
	hnid[2] = npu_info(fd[1]).hnid;
	before = info.to_dev + info.zeroed;
	while (now_ms() < end) {
		struct npu_cmd c = cmd_fill(arena + rnd() % ARENA / 2, rnd(),
					    rnd() % (ARENA / 8));
		int which = rnd() & 1;
		uint64_t job = rnd() % 8 ? 0 : npu_start(fd[which], &c, 1);
		struct npu_wait result;

		random_hmadvise(arena, hnid);
		calls++;
		if (rnd() % 4 == 0)
			random_vma(arena);
		if (job)
			npu_wait(fd[which], job, 1000, &result);
	}
	info = npu_info(fd[0]);
	fprintf(stderr, "# %lu calls, %llu bytes brought to NPU 0\n", calls,
		info.to_dev + info.zeroed - before);
	return info.to_dev + info.zeroed > before ? 0 : 2;
}

/*
 * In a child, so that no wild address reaches what the checks stand on: its
 * copy of the witness's page is its own.
 */
static void fuzz(struct __test_metadata *_metadata, FIXTURE_DATA(fuzz) *self,
		 int (*run)(char *))
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(run(self->arena));
	EXPECT_EQ(0, child_result(child, fuzz_ms() + 30000));
}

TEST_F_TIMEOUT(fuzz, jobs, 120)
{
	fuzz(_metadata, self, run_jobs);
}

TEST_F_TIMEOUT(fuzz, hmadvise, 120)
{
	fuzz(_metadata, self, run_hmadvise);
}

GMEM_TEST_MAIN

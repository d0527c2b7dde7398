// SPDX-License-Identifier: GPL-2.0
/* Where pins go, when they end, and that they survive a fight. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_pin.h"

/* The end of a process, of its use of the device, and of the device. */
TEST_F(pin, released_at_exit)
{
	char *buf = buf_alloc(4 * BLOCK);
	struct baton ready;
	pid_t pid;

	baton_make(&ready);
	pid = fork();
	if (!pid) {
		int fd = npu_open(0);

		if (fd < 0 || pin(self, buf, 4 * BLOCK))
			_exit(1);
		baton_pass(&ready);
		pause();
	}
	baton_take(&ready);
	EXPECT_EQ(4 * BLOCK, pinned(0));
	kill(pid, SIGKILL);
	EXPECT_EQ(-SIGKILL, child_result(pid, 20000));
	EXPECT_EQ(0, pinned(0));
	EXPECT_TRUE(npu_wait_free(self->fd[0], self->mem, 5000));
}

TEST_F(pin, released_at_detach)
{
	char *buf = buf_alloc(BLOCK);
	int second = npu_open(0);

	ASSERT_EQ(0, pin(self, buf, BLOCK));
	close(second);
	EXPECT_EQ(BLOCK, pinned(0));
	close(self->fd[0]);
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(0, attr_lines());
	self->fd[0] = npu_open(0);
}

/* The device goes, and its pins with it. */
TEST_F(pin, released_at_unplug)
{
	char *buf = buf_alloc(2 * BLOCK);
	struct attr seen;

	buf_fill(buf, 2 * BLOCK, 12);
	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, hmadvise(self->node[1], buf + BLOCK, BLOCK, MADV_PINNED));
	ASSERT_TRUE(on_device(buf, 2 * BLOCK));
	ASSERT_EQ(0, file_write("/sys/kernel/debug/npu_stub/npu0/unplug", "1"));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	attr_read(buf, 1, &seen);
	EXPECT_EQ(-1, seen.pinned);
	EXPECT_EQ(BLOCK, vm_pin());
	EXPECT_EQ(BLOCK, pinned(1));
	EXPECT_TRUE(buf_check(buf, 2 * BLOCK, 12));
	ASSERT_EQ(0, munmap(buf, 2 * BLOCK));
	close(self->fd[0]);
	close(self->fd[1]);
	ASSERT_EQ(0, npu_unload());
	ASSERT_EQ(0, npu_load(&(struct npu_config){}));
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
}

TEST_F(pin, moves_with_its_pages)
{
	char *buf = buf_alloc(2 * BLOCK), *to = buf_alloc(2 * BLOCK);
	struct attr seen;

	buf_fill(buf, 2 * BLOCK, 9);
	ASSERT_EQ(0, pin(self, buf, 2 * BLOCK));
	ASSERT_EQ(to, mremap(buf, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	EXPECT_EQ(2 * BLOCK, pinned(0));
	attr_read(to, 1, &seen);
	EXPECT_EQ(self->node[0], seen.pinned);
	EXPECT_TRUE(on_device(to, BLOCK));
	/* What stays mapped has no pages, so nothing of it is pinned. */
	ASSERT_EQ(to + BLOCK,
		  mremap(buf + BLOCK, BLOCK, BLOCK, MREMAP_MAYMOVE |
			 MREMAP_FIXED | MREMAP_DONTUNMAP, to + BLOCK));
	EXPECT_EQ(2 * BLOCK, pinned(0));
	attr_read(buf + BLOCK, 1, &seen);
	EXPECT_EQ(-1, seen.pinned);
	EXPECT_TRUE(on_device(to, 2 * BLOCK));
	EXPECT_TRUE(buf_check(to, 2 * BLOCK, 9));
	ASSERT_EQ(0, munmap(to, BLOCK + self->page));
	EXPECT_EQ(BLOCK - self->page, pinned(0));
	ASSERT_EQ(0, munmap(to + BLOCK, BLOCK));
	EXPECT_EQ(0, pinned(0));
}

TEST_F(pin, not_inherited)
{
	char *buf = buf_alloc(BLOCK);
	pid_t pid;

	buf_fill(buf, BLOCK, 8);
	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, hmadvise(-1, buf, BLOCK, MADV_READ_MOSTLY));
	pid = fork();
	if (!pid) {
		struct attr seen;

		attr_read(buf, 1, &seen);
		_exit(seen.pinned != -1 || !seen.read_mostly || vm_pin() ||
		      pinned(0) != BLOCK || !buf_check(buf, BLOCK, 8));
	}
	EXPECT_EQ(0, child_result(pid, 20000));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0x21, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_is(buf, BLOCK, 0x21));
	ASSERT_EQ(0, munmap(buf, BLOCK));
}

TEST_F(pin, discarded_pages_keep_their_room)
{
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 11);
	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, hmadvise(-1, buf, BLOCK, MADV_DONTNEED));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_is(buf, BLOCK, 0));
	ASSERT_EQ(0, munmap(buf, BLOCK));
}

/* Counters in shared pages, each of which one of these increments. */
enum { NPU0, NPU1, CPU, WORKERS };

struct fire {
	FIXTURE_DATA(pin) *self;
	uint64_t *buf;
	size_t pages;
	uint64_t sum[WORKERS];
	volatile bool stop;
	const char *failed;
};

struct worker {
	struct fire *fire;
	int which;
};

static uint64_t *word(struct fire *fire, unsigned int *seed, int which)
{
	size_t page = rand_r(seed) % fire->pages;

	return fire->buf + page * (page_size() / 8) + which;
}

static void *add_on_npu(void *data)
{
	struct worker *worker = data;
	struct fire *fire = worker->fire;
	unsigned int seed = worker->which;
	struct npu_cmd cmds[16];
	int i;

	while (!fire->stop) {
		for (i = 0; i < 16; i++)
			cmds[i] = cmd_add(word(fire, &seed, worker->which), 1, 3);
		if (npu_run(fire->self->fd[worker->which], cmds, 16))
			fire->failed = "a job";
		fire->sum[worker->which] += 48;
	}
	return NULL;
}

static void *add_on_cpu(void *data)
{
	struct worker *worker = data;
	struct fire *fire = worker->fire;
	unsigned int seed = CPU;

	while (!fire->stop) {
		(*(volatile uint64_t *)word(fire, &seed, CPU))++;
		fire->sum[CPU]++;
		if (!(fire->sum[CPU] % 64))
			sleep_ms(1);
	}
	return NULL;
}

static void advise_at_random(struct fire *fire, unsigned int *seed)
{
	static const int what[] = {
		MADV_PINNED, MADV_PINNED, MADV_UNPINNED, MADV_PREFERRED_NODE,
		MADV_NO_PREFERRED_NODE, MADV_ACCESSED_BY, MADV_NO_ACCESSED_BY,
		MADV_PREFETCH,
	};
	size_t first = rand_r(seed) % fire->pages;
	size_t nr = 1 + rand_r(seed) % (fire->pages - first);
	int node = fire->self->node[rand_r(seed) % 2];
	int behavior = what[rand_r(seed) % ARRAY_SIZE(what)];
	long err;

	if (behavior == MADV_PREFETCH && rand_r(seed) % 2)
		node = HOME;
	err = hmadvise(node, (char *)fire->buf + first * page_size(),
		       nr * page_size(), behavior);
	if (err && err != -EAGAIN && err != -EBUSY && err != -ENOSPC)
		fire->failed = strerror(-err);
}

TEST_F_TIMEOUT(pin, under_fire, 120)
{
	struct fire fire = { .self = self };
	struct worker worker[WORKERS];
	pthread_t thread[WORKERS];
	unsigned int seed = 42;
	uint64_t sum, end;
	int i, rounds = 0;
	size_t page;
	pid_t pid;

	fire.pages = self->mem / 2 / self->page;
	fire.buf = buf_alloc(fire.pages * self->page);
	for (i = 0; i < WORKERS; i++) {
		worker[i] = (struct worker){ &fire, i };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, i == CPU ?
					    add_on_cpu : add_on_npu,
					    &worker[i]));
	}
	end = now_ms() + scaled(6000, 10000);
	while (now_ms() < end || rounds < scaled(20, 4)) {
		advise_at_random(&fire, &seed);
		if (++rounds % 8)
			continue;
		pid = fork();
		if (!pid)
			_exit(vm_pin() ? 1 : 0);
		EXPECT_EQ(0, child_result(pid, 20000));
	}
	fire.stop = true;
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(NULL, fire.failed)
		TH_LOG("%s failed", fire.failed);
	for (i = 0; i < WORKERS; i++) {
		for (sum = 0, page = 0; page < fire.pages; page++)
			sum += fire.buf[page * (self->page / 8) + i];
		EXPECT_EQ(fire.sum[i], sum);
		EXPECT_LT(0, sum);
	}
	EXPECT_EQ(pinned(0) + pinned(1), vm_pin());
	munmap(fire.buf, fire.pages * self->page);
	EXPECT_TRUE(npu_wait_free(self->fd[0], self->mem, 5000));
}

GMEM_TEST_MAIN

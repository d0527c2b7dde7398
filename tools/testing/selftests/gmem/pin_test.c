// SPDX-License-Identifier: GPL-2.0
/* MADV_PINNED: room that is kept, its limits, and its end. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "gmem_attr.h"
#include "gmem_util.h"

#define PERCENT "/proc/sys/vm/gmem_pin_percent"

/* Bytes that are pinned on an NPU, by whomever. */
static long long pinned(int index)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/gmem/npu%d-%d/stats",
		 index, index + 1);
	return file_find(path, "pinned");
}

static long long vm_pin(void)
{
	return file_find("/proc/self/status", "VmPin") * 1024;
}

FIXTURE(pin)
{
	int fd[2];
	int node[2];
	size_t page, mem;
};

FIXTURE_SETUP(pin)
{
	int i;

	self->page = page_size();
	for (i = 0; i < 2; i++) {
		self->fd[i] = npu_open(i);
		self->node[i] = npu_info(self->fd[i]).hnid;
		ASSERT_EQ(0, pinned(i));
	}
	self->mem = npu_info(self->fd[0]).mem_total;
	ASSERT_EQ(0, vm_pin());
}

FIXTURE_TEARDOWN(pin)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(self->fd[i]);
		EXPECT_EQ(0, pinned(i));
	}
	EXPECT_EQ(0, vm_pin());
}

static long pin(FIXTURE_DATA(pin) *self, void *buf, size_t len)
{
	return hmadvise(self->node[0], buf, len, MADV_PINNED);
}

/* Use much more of NPU 0 than it has. */
static bool pressure(FIXTURE_DATA(pin) *self, unsigned int seed)
{
	size_t len = 4 * self->mem;
	uint64_t evicted = npu_info(self->fd[0]).evicted;
	char *buf = buf_alloc(len);
	bool good;
	size_t at;

	for (at = 0; at < len; at += BLOCK)
		*(uint64_t *)(buf + at) = seed + at;
	for (at = 0; at < len; at += self->mem / 2)
		if (npu_run1(self->fd[0], cmd_read(buf + at, self->mem / 2)))
			return false;
	good = npu_info(self->fd[0]).evicted - evicted >= 2 * self->mem;
	for (at = 0; at < len; at += BLOCK)
		good &= *(uint64_t *)(buf + at) == seed + at;
	munmap(buf, len);
	return good;
}

TEST_F_TIMEOUT(pin, survives_pressure, 120)
{
	size_t len = self->mem / 4;
	uint64_t faults, to_dev;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 1);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(len, vm_pin());

	to_dev = npu_info(self->fd[0]).to_dev;
	ASSERT_TRUE(pressure(self, 1));
	ASSERT_LT(to_dev, npu_info(self->fd[0]).to_dev);
	EXPECT_TRUE(on_device(buf, len));
	/* Nor did the NPU lose its mappings. */
	faults = npu_info(self->fd[0]).faults;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_EQ(faults, npu_info(self->fd[0]).faults);
	EXPECT_TRUE(buf_check(buf, len, 1));

	/* Unpinned, it goes the way of all others. */
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_TRUE(on_device(buf, len));
	ASSERT_TRUE(pressure(self, 2));
	EXPECT_LT(pages_on_device(buf, len), len / self->page);
	EXPECT_TRUE(buf_check(buf, len, 1));
}

/* The CPU is served; the room stays, and the device gets the page back. */
TEST_F_TIMEOUT(pin, survives_cpu_access, 120)
{
	size_t len = self->mem / 2;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 3);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, len, 3));
	ASSERT_EQ(0, pages_on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(len, vm_pin());
	buf_fill(buf, len, 4);

	/* Full of others, it has room for what is pinned all the same. */
	ASSERT_TRUE(pressure(self, 3));
	EXPECT_EQ(len, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_TRUE(buf_check(buf, len, 4));
	ASSERT_EQ(0, munmap(buf, len));
	EXPECT_EQ(0, pinned(0));
}

/* Going back evicts nobody: the room was never given away. */
TEST_F_TIMEOUT(pin, going_back_needs_no_eviction, 120)
{
	size_t len = self->mem / 4;
	char *buf = buf_alloc(len);
	uint64_t evicted;

	buf_fill(buf, len, 5);
	ASSERT_EQ(0, pin(self, buf, len));
	ASSERT_EQ(0, to_home(buf, len));
	ASSERT_TRUE(pressure(self, 4));
	evicted = npu_info(self->fd[0]).evicted;
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_EQ(evicted, npu_info(self->fd[0]).evicted);
	EXPECT_TRUE(buf_check(buf, len, 5));
	ASSERT_EQ(0, munmap(buf, len));
}

/* Pins of single pages, here and there, and what lies between them. */
TEST_F_TIMEOUT(pin, single_pages, 120)
{
	size_t page = self->page, len = BLOCK, i, nr = 0;
	char *buf = buf_alloc(len);

	buf_fill(buf, len, 6);
	for (i = 0; i < len / page; i += 3) {
		ASSERT_EQ(0, pin(self, buf + i * page, page));
		nr++;
	}
	EXPECT_EQ(nr * page, pinned(0));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, len)));
	ASSERT_TRUE(on_device(buf, len));
	ASSERT_TRUE(pressure(self, 5));
	for (i = 0; i < len / page; i += 3)
		EXPECT_TRUE(on_device(buf + i * page, page));
	EXPECT_GT(len / page, pages_on_device(buf, len));
	/* Half of them, then all, then none. */
	ASSERT_EQ(0, hmadvise(self->node[1], buf, len, MADV_UNPINNED));
	EXPECT_EQ(nr * page, pinned(0));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, len / 2, MADV_UNPINNED));
	EXPECT_GT(nr * page, pinned(0));
	EXPECT_LT(0, pinned(0));
	ASSERT_EQ(0, pin(self, buf, len));
	EXPECT_EQ(len, pinned(0));
	EXPECT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_check(buf, len, 6));
	ASSERT_EQ(0, hmadvise(-1, buf, len, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
}

TEST_F(pin, pinned_twice_is_charged_once)
{
	char *buf = buf_alloc(2 * BLOCK);
	struct attr seen;

	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, pin(self, buf, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK, pinned(0));
	/* To another device: it is one pin, and it moved. */
	ASSERT_EQ(0, hmadvise(self->node[1], buf, BLOCK, MADV_PINNED));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(BLOCK, pinned(1));
	EXPECT_EQ(2 * BLOCK, vm_pin());
	attr_read(buf, 1, &seen);
	EXPECT_EQ(self->node[1], seen.pinned);
	/* Accessed from elsewhere it does not move. */
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, self->page)));
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	ASSERT_EQ(0, hmadvise(-1, buf, 2 * BLOCK, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(1));
}

/* A pin comes before every other hint. */
TEST_F(pin, before_other_hints)
{
	char *buf = buf_alloc(BLOCK);

	buf_fill(buf, BLOCK, 7);
	ASSERT_EQ(0, hmadvise(HOME, buf, BLOCK, MADV_PREFERRED_NODE));
	ASSERT_EQ(0, hmadvise(self->node[0], buf, BLOCK, MADV_ACCESSED_BY));
	ASSERT_EQ(0, pin(self, buf, BLOCK));
	ASSERT_EQ(0, to_home(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[1], cmd_read(buf, BLOCK)));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, BLOCK, 7));
	ASSERT_EQ(0, munmap(buf, BLOCK));
}

TEST_F(pin, errors)
{
	size_t page = self->page;
	char *buf = buf_alloc(8 * page), *plain, *shared;
	int i;

	plain = buf_alloc_flags(page, MAP_PRIVATE);
	shared = buf_alloc_flags(page, MAP_SHARED | MAP_PEER_SHARED);
	for (i = 0; i < 2; i++) {
		int what = i ? MADV_UNPINNED : MADV_PINNED;

		EXPECT_EQ(0, hmadvise(self->node[0], buf, 0, what));
		EXPECT_EQ(-EINVAL, hmadvise(HOME, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(-2, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[1] + 1, buf, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[0], buf + 1, page, what));
		EXPECT_EQ(-EINVAL, hmadvise(self->node[0], plain, page, what));
		EXPECT_EQ(-ENOMEM, hmadvise(self->node[0], (void *)page, page,
					    what));
	}
	EXPECT_EQ(-EINVAL, hmadvise(-1, buf, page, MADV_PINNED));
	EXPECT_EQ(-EBUSY, pin(self, shared, page));
	EXPECT_EQ(0, pinned(0));
	/* A hole, and a locked page: the rest is pinned. */
	ASSERT_EQ(0, munmap(buf + 5 * page, page));
	EXPECT_EQ(-ENOMEM, pin(self, buf + 4 * page, 4 * page));
	EXPECT_EQ(3 * page, pinned(0));
	ASSERT_EQ(0, mlock(buf + page, page));
	EXPECT_EQ(-EBUSY, pin(self, buf, 4 * page));
	EXPECT_EQ(6 * page, pinned(0));
	EXPECT_EQ(0, pages_on_device(buf + page, page));
	EXPECT_TRUE(on_device(buf + 2 * page, 2 * page));
	EXPECT_EQ(-ENOMEM, hmadvise(-1, buf, 8 * page, MADV_UNPINNED));
	EXPECT_EQ(0, pinned(0));
	/* Nobody to use it. */
	close(self->fd[0]);
	EXPECT_EQ(-ENODEV, pin(self, buf, page));
	self->fd[0] = npu_open(0);
}

TEST_F(pin, limit_of_the_device)
{
	size_t most = self->mem / BLOCK / 2 * BLOCK;
	char old[16], *buf = buf_alloc(self->mem);

	ASSERT_LT(0, file_read(PERCENT, old, sizeof(old)));
	ASSERT_EQ(0, file_write(PERCENT, "50"));
	EXPECT_EQ(-EAGAIN, pin(self, buf, most + BLOCK));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(0, attr_lines());
	EXPECT_EQ(0, pin(self, buf, most));
	EXPECT_EQ(-EAGAIN, pin(self, buf + most, self->page));
	EXPECT_EQ(most, pinned(0));
	/* What is kept is kept. */
	ASSERT_EQ(0, file_write(PERCENT, "0"));
	EXPECT_EQ(most, pinned(0));
	EXPECT_EQ(0, hmadvise(-1, buf, self->mem, MADV_UNPINNED));
	EXPECT_EQ(-EAGAIN, pin(self, buf, self->page));
	EXPECT_GT(0, file_write(PERCENT, "101"));
	ASSERT_EQ(0, file_write(PERCENT, old));
}

TEST_F(pin, limit_of_the_process)
{
	struct rlimit old, limit = { .rlim_cur = BLOCK, .rlim_max = BLOCK };
	char *buf = buf_alloc(2 * BLOCK);
	pid_t pid;

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &old));
	pid = fork();
	if (!pid) {
		int fd = npu_open(0);

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setuid(65534))
			_exit(1);
		if (pin(self, buf, 2 * BLOCK) != -EAGAIN)
			_exit(2);
		if (pin(self, buf, BLOCK))
			_exit(3);
		if (pin(self, buf + BLOCK, self->page) != -EAGAIN)
			_exit(4);
		if (pin(self, buf, BLOCK) ||
		    hmadvise(-1, buf, self->page, MADV_UNPINNED) ||
		    pin(self, buf + BLOCK, self->page))
			_exit(5);
		close(fd);
		_exit(0);
	}
	EXPECT_EQ(0, child_result(pid, 20000));
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
	while (now_ms() < end) {
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
	EXPECT_LT(scaled(20, 4), rounds);
	EXPECT_EQ(pinned(0) + pinned(1), vm_pin());
	munmap(fire.buf, fire.pages * self->page);
	EXPECT_TRUE(npu_wait_free(self->fd[0], self->mem, 5000));
}

/* Over a limit, or when a copy fails, nothing is charged that is not kept. */
TEST_F(pin, failures)
{
	char *buf = buf_alloc(2 * BLOCK);

	buf_fill(buf, 2 * BLOCK, 10);
	if (fail_start("fail_gmem_alloc", 100, 1000))
		SKIP(return, "no fault injection");
	EXPECT_EQ(-EAGAIN, pin(self, buf, BLOCK));
	EXPECT_LT(0, fail_stop("fail_gmem_alloc"));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());
	EXPECT_EQ(0, attr_lines());

	ASSERT_EQ(0, fail_start("fail_gmem_attributes", 100, 1));
	EXPECT_EQ(-ENOMEM, pin(self, buf, BLOCK));
	EXPECT_EQ(1, fail_stop("fail_gmem_attributes"));
	EXPECT_EQ(0, pinned(0));
	EXPECT_EQ(0, vm_pin());

	/* The room is kept although the bytes did not get there. */
	ASSERT_EQ(0, fail_start("fail_gmem_copy_to", 100, 1000));
	EXPECT_EQ(-EFAULT, pin(self, buf, BLOCK));
	EXPECT_LT(0, fail_stop("fail_gmem_copy_to"));
	EXPECT_EQ(BLOCK, pinned(0));
	EXPECT_EQ(0, pages_on_device(buf, BLOCK));
	EXPECT_EQ(0, npu_run1(self->fd[0], cmd_read(buf, BLOCK)));
	EXPECT_TRUE(on_device(buf, BLOCK));
	EXPECT_TRUE(buf_check(buf, 2 * BLOCK, 10));
	ASSERT_EQ(0, munmap(buf, 2 * BLOCK));
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* One page, changed by the CPU and by both NPUs, in one process and in two. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

FIXTURE(coherence)
{
	int fd[2];
};

FIXTURE_SETUP(coherence)
{
	self->fd[0] = npu_open(0);
	self->fd[1] = npu_open(1);
}

FIXTURE_TEARDOWN(coherence)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* Adds in small pieces, so that the page is taken away in between. */
#define PIECES	20

static int add_by_npu(int fd, uint64_t *word, unsigned int times)
{
	struct npu_cmd cmds[PIECES];
	unsigned int i;

	for (i = 0; i < PIECES; i++)
		cmds[i] = cmd_add(word, 1, times / PIECES);
	return npu_run(fd, cmds, PIECES);
}

struct adder {
	int fd;			/* -1: the CPU */
	uint64_t *word;
	unsigned int times, rounds;
	int err;
};

static void *adder_run(void *arg)
{
	struct adder *a = arg;
	unsigned int i, j;

	for (i = 0; i < a->rounds && !a->err; i++) {
		if (a->fd >= 0) {
			a->err = add_by_npu(a->fd, a->word, a->times);
			continue;
		}
		for (j = 0; j < a->times; j++) {
			__atomic_fetch_add(a->word, 1, __ATOMIC_RELAXED);
			if (j % 100 == 0)
				usleep(50);
		}
	}
	return NULL;
}

static void add_at_once(struct __test_metadata *_metadata, struct adder *adders,
			int nr)
{
	pthread_t threads[3];
	int i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, adder_run,
					    &adders[i]));
	for (i = 0; i < nr; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, adders[i].err);
	}
}

TEST_F_TIMEOUT(coherence, three_adders_on_one_word, 120)
{
	unsigned int times = 1000, rounds = scaled(10, 2);
	uint64_t *page = buf_alloc(page_size());
	struct adder adders[] = {
		{ self->fd[0], page + 9, times, rounds, 0 },
		{ self->fd[1], page + 9, times, rounds, 0 },
		{ -1, page + 9, times, rounds, 0 },
	};
	uint64_t moved[2] = { npu_info(self->fd[0]).to_dev,
			      npu_info(self->fd[1]).to_dev };

	page[9] = 1;
	ASSERT_EQ(0, to_device(self->fd[0], page, page_size()));
	ASSERT_TRUE(on_device(page, page_size()));
	add_at_once(_metadata, adders, 3);
	EXPECT_LT(moved[0], npu_info(self->fd[0]).to_dev);
	/* Or it was left on the host, because it bounced. */
	EXPECT_LT(moved[1], npu_info(self->fd[1]).to_dev + npu_stat(1, "bounced"));
	EXPECT_EQ(1 + 3UL * times * rounds, page[9]);
}

/* A lost page copy would lose a neighbour's words. */
TEST_F_TIMEOUT(coherence, three_adders_on_words_of_one_page, 120)
{
	unsigned int times = 1000, rounds = scaled(10, 2);
	uint64_t *page = buf_alloc(page_size());
	struct adder adders[] = {
		{ self->fd[0], page, times, rounds, 0 },
		{ self->fd[1], page + 1, times, rounds, 0 },
		{ -1, page + 2, times, rounds, 0 },
	};
	int i;

	ASSERT_EQ(0, to_device(self->fd[1], page, page_size()));
	ASSERT_TRUE(on_device(page, page_size()));
	add_at_once(_metadata, adders, 3);
	for (i = 0; i < 3; i++)
		EXPECT_EQ((uint64_t)times * rounds, page[i]);
	EXPECT_TRUE(buf_is(page + 3, page_size() - 24, 0));
}

TEST_F_TIMEOUT(coherence, ping_pong, 120)
{
	size_t pages = scaled(64, 16), len = pages * page_size(), i;
	size_t words = len / 8, step = page_size() / 8;
	int rounds = scaled(20, 5), r;
	uint64_t *buf = buf_alloc(len), bad = 0;
	long long bounced[] = { npu_stat(0, "bounced"), npu_stat(1, "bounced") };

	for (r = 0; r < rounds; r++) {
		int fd = self->fd[r & 1];

		for (i = 0; i < words; i += step) {
			bad += buf[i] != 2ULL * r;
			buf[i]++;
		}
		EXPECT_EQ(0, pages_on_device(buf, len));
		for (i = 0; i < words; i += step)
			ASSERT_EQ(0, npu_run1(fd, cmd_add(&buf[i], 1, 1)));
		/* As long as that is not too often. */
		ASSERT_TRUE(npu_stat(r & 1, "bounced") > bounced[r & 1] ||
			    on_device(buf, len));
	}
	EXPECT_EQ(0, bad);
}

/* Each process has its own bytes at the same address. */
TEST_F(coherence, two_processes_private)
{
	size_t len = BLOCK;
	uint8_t *buf = buf_alloc(len);
	struct baton to_child, to_parent;
	pid_t child;

	baton_make(&to_child);
	baton_make(&to_parent);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(0);

		if (npu_run1(fd, cmd_fill(buf, 0xcc, len)) ||
		    !on_device(buf, len))
			_exit(1);
		baton_pass(&to_parent);
		baton_take(&to_child);
		_exit(!on_device(buf, len) || !buf_is(buf, len, 0xcc) ? 2 : 0);
	}
	ASSERT_EQ(0, npu_run1(self->fd[0], cmd_fill(buf, 0xdd, len)));
	baton_take(&to_parent);
	/* Both are on the device at once. */
	ASSERT_TRUE(on_device(buf, len));
	baton_pass(&to_child);
	EXPECT_EQ(0, child_result(child, 10000));
	ASSERT_TRUE(on_device(buf, len));
	EXPECT_TRUE(buf_is(buf, len, 0xdd));
}

TEST_F_TIMEOUT(coherence, two_processes_shared, 120)
{
	unsigned int times = 1000, rounds = scaled(10, 2), i;
	size_t len = 4 * page_size();
	uint64_t *page = buf_alloc_flags(len, MAP_SHARED | MAP_PEER_SHARED);
	uint64_t remote = npu_info(self->fd[0]).remote;
	struct baton to_parent;
	pid_t child;

	baton_make(&to_parent);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int fd = npu_open(1);
		struct adder adder = { fd, page, times, rounds, 0 };

		if (npu_run1(fd, cmd_fill(page + 8, 0x31, 64)))
			_exit(1);
		baton_pass(&to_parent);
		adder_run(&adder);
		_exit(adder.err ? 2 : 0);
	}
	baton_take(&to_parent);
	EXPECT_TRUE(buf_is(page + 8, 64, 0x31));
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, add_by_npu(self->fd[0], page, times));
		__atomic_fetch_add(page, 1, __ATOMIC_RELAXED);
	}
	EXPECT_EQ(0, child_result(child, 60000));
	ASSERT_LT(remote, npu_info(self->fd[0]).remote);
	EXPECT_EQ(0, pages_on_device(page, len));
	EXPECT_EQ(rounds * (2UL * times + 1), *page);
}

GMEM_TEST_MAIN

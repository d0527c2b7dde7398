// SPDX-License-Identifier: GPL-2.0
/*
 * Four processes with jobs on two NPUs, over four times the memory that these
 * have. Each process knows what every piece of its memory holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

#define JOBS	4
#define PIECE	(128 * KiB)

struct job {
	int fd[2];
	size_t pieces;
	char *buf;
	uint64_t *counts;
	uint8_t *holds;		/* for each piece its byte */
	unsigned int random;
};

static unsigned int draw(struct job *job, unsigned int below)
{
	job->random = job->random * 1103515245u + 12345u;
	return job->random / 65536 % below;
}

/* A device counts the bytes of a piece. */
static int piece_is(struct job *job, int npu, size_t i)
{
	size_t len = PIECE;
	int err;

	memset(job->counts, 0, 256 * 8);
	err = npu_run1(job->fd[npu],
		       cmd_histogram(job->counts, job->buf + i * PIECE, len));
	if (err)
		return err;
	return job->counts[job->holds[i]] == len ? 0 : -EILSEQ;
}

static int one_step(struct job *job)
{
	size_t i = draw(job, job->pieces), from = draw(job, job->pieces);
	char *piece = job->buf + i * PIECE;
	int npu = draw(job, 2), err;
	uint8_t byte = draw(job, 256);

	switch (draw(job, 5)) {
	case 0:
		err = npu_run1(job->fd[npu], cmd_fill(piece, byte, PIECE));
		job->holds[i] = byte;
		return err;
	case 1:
		if (i == from)
			return 0;
		err = npu_run1(job->fd[npu],
			       cmd_copy(piece, job->buf + from * PIECE, PIECE));
		job->holds[i] = job->holds[from];
		return err;
	case 2:
		return piece_is(job, npu, i);
	case 3:
		memset(piece, byte, PIECE);
		job->holds[i] = byte;
		return 0;
	default:
		return buf_is(piece, PIECE, job->holds[i]) ? 0 : -EILSEQ;
	}
}

/* In a process of its own: 0 when all was right. */
static int run_job(unsigned int seed, size_t len, int steps, struct baton *start)
{
	struct job job = { .random = seed, .pieces = len / PIECE };
	size_t i, most = 0, here;
	int n;

	for (n = 0; n < 2; n++)
		job.fd[n] = npu_open(n);
	job.buf = buf_alloc(len);
	job.counts = buf_alloc(256 * 8);
	job.holds = calloc(job.pieces, 1);
	if (!job.holds || madvise(job.buf, len,
				  seed & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return 10;
	/* All of it is written by the NPUs, half each. */
	baton_take(start);
	for (i = 0; i < job.pieces; i++) {
		job.holds[i] = i + seed;
		if (npu_run1(job.fd[i * 2 / job.pieces],
			     cmd_fill(job.buf + i * PIECE, i + seed, PIECE)))
			return 11;
	}
	for (n = 0; n < steps; n++) {
		int err = one_step(&job);

		if (err) {
			fprintf(stderr, "# job %u: step %d: %d\n", seed, n, err);
			return 12;
		}
		if (n % 16)
			continue;
		here = pages_on_device(job.buf, len) * page_size();
		most = here > most ? here : most;
	}
	if (!most)
		return 13;
	for (i = 0; i < job.pieces; i++) {
		if (i % 4 == 0 && piece_is(&job, i & 1, i))
			return 14;
		if (!buf_is(job.buf + i * PIECE, PIECE, job.holds[i]))
			return 15;
	}
	return 0;
}

FIXTURE(jobs)
{
};

FIXTURE_SETUP(jobs)
{
}

FIXTURE_TEARDOWN(jobs)
{
}

TEST_F_TIMEOUT(jobs, four_on_two_npus, 250)
{
	size_t mem = scaled(16, 8) * MiB, len = 4 * 2 * mem / JOBS;
	const int steps = scaled(600, 60);
	uint64_t evicted[2], to_dev[2];
	pid_t pids[JOBS];
	struct baton start;
	int fd[2], i;

	npu_unload();
	npu_require(&(struct npu_config){ .count = 2, .mem_mib = mem / MiB });
	for (i = 0; i < 2; i++) {
		fd[i] = npu_open(i);
		evicted[i] = npu_info(fd[i]).evicted;
		to_dev[i] = npu_info(fd[i]).to_dev;
		ASSERT_EQ(mem, npu_info(fd[i]).mem_free);
	}
	baton_make(&start);
	for (i = 0; i < JOBS; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(run_job(i + 1, len, steps, &start));
	}
	for (i = 0; i < JOBS; i++)
		baton_pass(&start);
	for (i = 0; i < JOBS; i++)
		EXPECT_EQ(0, child_result(pids[i], 200000));
	for (i = 0; i < 2; i++) {
		/* The device had far less than was asked of it. */
		EXPECT_LE(evicted[i] + mem, npu_info(fd[i]).evicted);
		EXPECT_LT(to_dev[i], npu_info(fd[i]).to_dev);
		EXPECT_TRUE(npu_wait_free(fd[i], mem, 5000));
		close(fd[i]);
	}
}

GMEM_TEST_MAIN

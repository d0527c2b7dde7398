/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gmem_stress: random operations on peer-shared memory, each byte of which is
 * known.
 *
 * Each process has regions of its own and, for a round, a part of one that all
 * of them share; nobody else writes there. The shadow of a region is what it has
 * to contain. What a step does depends on the seed, the process and the number of
 * the step alone, and what memory contains depends on the steps alone: where a
 * device may refuse a job (it is unplugged, a limit of the run holds), the CPU
 * does its work.
 */
#ifndef GMEM_STRESS_H
#define GMEM_STRESS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../gmem_util.h"

#define WORKERS_MAX	8
#define NPUS		2
#define STEPS		64	/* of each process in a round, if not given */
#define LAST		100	/* operations that a failure tells */
#define OPS_MAX		64
#define COMMON_LEN	MiB
#define SCRATCH_LEN	BLOCK
#define GROUP		"/sys/fs/cgroup/gmem_stress"

enum { HUGE_A, HUGE_B, SMALL, SHARED_FILE, COMMON, REGIONS };
#define PRIVATE		(1 << HUGE_A | 1 << HUGE_B | 1 << SMALL)
#define ANYWHERE	(PRIVATE | 1 << SHARED_FILE | 1 << COMMON)

struct region {
	char *at;		/* one of the places */
	char *places[2];
	char *shadow;
	size_t len;
};

/* What a step works on; in COMMON a part of what the process owns. */
struct range {
	int region;
	size_t off, len;
};

struct op {
	const char *name;
	/* Returns 0 or a negative errno for the log; a wrong byte ends the run. */
	int (*run)(struct range *r);
	unsigned int weight;
	unsigned int where;	/* the regions it is for */
	bool pages;		/* whole pages only */
};

extern const struct op write_ops[], io_ops[], mm_ops[], place_ops[], process_ops[],
	limit_ops[];

struct record {
	uint32_t step, off, len;
	uint8_t op, region;
	int16_t result;
	uint64_t arg;
};

/* What the processes share; its memory is not for devices. */
struct stress {
	uint64_t seed;
	unsigned int workers, steps;
	unsigned int rounds;	/* 0: until the time is over */
	unsigned int plant;	/* damage a byte in this step of process 0 */
	bool serial, alone;	/* alone: no second thread */
	uint64_t end_ms;
	uint64_t round;
	pthread_barrier_t barrier;
	sem_t turn[WORKERS_MAX];
	unsigned int left[WORKERS_MAX];		/* steps of this round */
	atomic_int failed, stop;
	atomic_uint gone;			/* NPUs that were unplugged */
	char common[COMMON_LEN];		/* the shadow */
	struct worker_state {
		pid_t pid;
		atomic_uint step;
		uint64_t digest;
		uint64_t jobs, refused;
		uint32_t runs[OPS_MAX], errors[OPS_MAX];
		int16_t errno_seen[OPS_MAX];
		struct record last[LAST];
	} of[WORKERS_MAX];
};

extern struct stress *all;
extern char *common_memory;

/* This process. */
extern struct worker {
	unsigned int index;
	unsigned int generation;	/* 0, or that of a forked child */
	uint32_t step;
	uint64_t rng;
	int npu[NPUS], hnid[NPUS];
	int disk, pipe[2];
	struct region regions[REGIONS];
	char *scratch;			/* for devices */
	char *plain;			/* not for devices */
	struct record *now;
	FILE *log;
} me;

/* log.c */
const struct op *op_of(unsigned int number);
bool op_choose(const char *names);
unsigned int op_draw(void);
void log_open(const char *prefix);
void log_begin(unsigned int op, const struct range *r);
void note(uint64_t arg);
void log_end(int result);
void log_totals(void);
void show_last(unsigned int index);
/* Tells the seed, the last operations and the byte, and ends the process. */
void wrong(const struct range *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* memory.c */
uint64_t mix(uint64_t x);
uint64_t rnd(void);
bool coin(void);
void memory_make(void);
void npus_open(void);
void npus_close(void);
struct range draw_range(unsigned int where, bool pages);
struct range draw_other(const struct range *r);	/* as long, or r gets shorter */
static inline char *addr(const struct range *r)
{
	return me.regions[r->region].at + r->off;
}

static inline char *shadow(const struct range *r)
{
	return me.regions[r->region].shadow + r->off;
}

void pattern(const struct range *r);		/* into the shadow */
void write_shadow(const struct range *r);	/* the shadow into the memory */
void check_cpu(const struct range *r);
void check_npu(const struct range *r, int npu);
void check(const struct range *r);		/* one of these */
void check_all(void);				/* at a barrier */
void check_private(void);
uint64_t digest_all(void);
/* A job; an error only where the run gave a reason for it. */
int job(int npu, const struct npu_cmd *cmds, unsigned int nr);
int job_end(int npu, uint64_t id);
int job_result(int npu, uint64_t id);		/* any error */
int draw_node(void);				/* the host's or a device's */
int keep(char *at, size_t len, unsigned int what);	/* changes no byte */

/* limits.c */
void host_set_up(void);
void host_restore(void);
void group_enter(unsigned int index);
void npus_reload(void);
void trace_stop(void);
void trace_show(void);

#endif /* GMEM_STRESS_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * Random operations of several processes on peer-shared memory; see
 * stress/stress.h. scripts/run-stress runs it for long, stress_test for a moment.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest.h"
#include "stress/stress.h"

/* If nobody makes a step for so long, one does not end. */
#ifndef STUCK_MS
#define STUCK_MS	60000
#endif

static const char *log_prefix;
static unsigned long run_ms;

static void usage(void)
{
	fprintf(stderr,
		"usage: gmem_stress [-s SEED] [-p PROCESSES] [-t SECONDS | -n ROUNDS] [-k STEPS] [-l PREFIX] [-o OPERATIONS] [-x STEP] [-A] [-S]\n"
		"  -k  so many steps of each process in a round\n"
		"  -l  the operations of each process, in files PREFIX.N\n"
		"  -S  one process acts at a time\n"
		"  -o  only these operations, with commas between them\n"
		"  -A  no second thread in each process\n"
		"  -x  damage a byte in this step of process 0, to see that it is found\n");
	exit(KSFT_FAIL);
}

static void options(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:p:t:n:k:l:x:o:SA")) != -1) {
		switch (c) {
		case 's':
			all->seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			all->workers = atoi(optarg);
			break;
		case 't':
			run_ms = atoi(optarg) * 1000UL;
			break;
		case 'n':
			all->rounds = atoi(optarg);
			break;
		case 'k':
			all->steps = atoi(optarg);
			break;
		case 'l':
			log_prefix = optarg;
			break;
		case 'x':
			all->plant = atoi(optarg);
			break;
		case 'o':
			if (!op_choose(optarg))
				usage();
			break;
		case 'A':
			all->alone = true;
			break;
		case 'S':
			all->serial = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || !all->steps || all->workers < 1 || all->workers > WORKERS_MAX)
		usage();
}

/* Another thread of a process moves its memory, and changes no byte. */
static void *mover(void *arg)
{
	uint64_t state = mix(all->seed ^ 0x6d6f7665ULL << me.index);

	for (;;) {
		struct region *region = &me.regions[mix(state++) % REGIONS];
		size_t pages = region->len / page_size();
		size_t first = mix(state++) % pages;
		size_t nr = mix(state++) % (pages - first) + 1;

		keep(__atomic_load_n(&region->at, __ATOMIC_RELAXED) +
		     first * page_size(), nr * page_size(), mix(state++));
		usleep(mix(state++) % 3000);
	}
	return NULL;
}

/* Who is next among those that have steps left. */
static void pass_turn(uint32_t step)
{
	unsigned int i, left = 0;
	uint64_t at;

	all->left[me.index]--;
	for (i = 0; i < all->workers; i++)
		left += all->left[i];
	if (!left)
		return;
	at = mix(all->seed ^ (uint64_t)step << 8 ^ me.index) % left;
	for (i = 0; at >= all->left[i]; i++)
		at -= all->left[i];
	sem_post(&all->turn[i]);
}

static void step(void)
{
	const struct op *op;
	unsigned int number;
	struct range r;

	/* Nothing that happened before has a part in what this step draws. */
	me.rng = mix(mix(all->seed) ^ (uint64_t)me.index << 32 ^ me.step);
	number = op_draw();
	op = op_of(number);
	r = draw_range(op->where, op->pages);
	log_begin(number, &r);
	log_end(op->run(&r));
	if (all->plant && !me.index && me.step == all->plant)
		*addr(&r) ^= 1;
	check(&r);
	me.step++;
}

static void round_begin(void)
{
	unsigned int i;

	if (me.index)
		return;
	all->round++;
	for (i = 0; i < all->workers; i++)
		all->left[i] = all->steps;
	if (all->serial)
		sem_post(&all->turn[mix(all->seed ^ all->round) % all->workers]);
}

static void together(void)
{
	pthread_barrier_wait(&all->barrier);
}

/* Nobody writes between the first two meetings. */
static void round_end(void)
{
	together();
	me.rng = mix(all->seed ^ all->round << 8 ^ me.index);
	if (all->serial) {
		unsigned int i;

		for (i = 0; i < all->workers; i++) {
			if (i == me.index)
				check_all();
			together();
		}
	} else {
		check_all();
	}
	all->of[me.index].digest = digest_all();
	if (me.log)
		fprintf(me.log, "round %llu: %016llx\n",
			(unsigned long long)all->round,
			(unsigned long long)all->of[me.index].digest);
	together();
	if (all->gone) {
		npus_close();
		together();
		if (!me.index)
			npus_reload();
		together();
		npus_open();
	}
	if (!me.index && (all->rounds ? all->round >= all->rounds :
			  now_ms() >= all->end_ms))
		all->stop = 1;
	together();
}

static void worker(unsigned int index)
{
	pthread_t thread;
	char disk[32];
	int i;

	me.index = index;
	group_enter(index);
	snprintf(disk, sizeof(disk), "/dev/ram%u", index);
	me.disk = open(disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (me.disk < 0 || pipe2(me.pipe, O_CLOEXEC))
		die("no %s, or no pipe", disk);
	log_open(log_prefix);
	memory_make();
	npus_open();
	if (!all->serial && !all->alone && pthread_create(&thread, NULL, mover, NULL))
		die("no thread");
	do {
		round_begin();
		together();
		for (i = 0; i < all->steps; i++) {
			if (all->serial)
				while (sem_wait(&all->turn[index]))
					;
			step();
			if (all->serial)
				pass_turn(me.step);
		}
		round_end();
	} while (!all->stop);
	if (me.log)
		fclose(me.log);
	fflush(NULL);
	_exit(0);
}

static void show_stuck(unsigned int index)
{
	char path[64], text[4096];

	fprintf(stderr, "# seed %llu: process %u does not end its step %u\n",
		(unsigned long long)all->seed, index, all->of[index].step);
	snprintf(path, sizeof(path), "/proc/%d/stack", all->of[index].pid);
	if (file_read(path, text, sizeof(text)) > 0)
		fprintf(stderr, "%s", text);
	show_last(index);
	/* What each task waits for, into the kernel's log. */
	file_write("/proc/sysrq-trigger", "t");
}

/* The process that is behind the others, and the steps of all. */
static unsigned int slowest(uint64_t *steps)
{
	unsigned int i, last = 0;

	*steps = 0;
	for (i = 0; i < all->workers; i++) {
		*steps += all->of[i].step;
		if (all->of[i].step < all->of[last].step)
			last = i;
	}
	return last;
}

/* Until all have ended, or one has failed, or nobody gets on. */
static bool wait_all(void)
{
	uint64_t since = now_ms(), seen = 0, steps;
	unsigned int left = all->workers, i;
	bool ok = true;
	int status;

	while (left && ok) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid > 0) {
			left--;
			ok = !status;
			continue;
		}
		sleep_ms(20);
		i = slowest(&steps);
		if (seen != steps) {
			seen = steps;
			since = now_ms();
		} else if (now_ms() - since > STUCK_MS * scaled(1, 4)) {
			show_stuck(i);
			ok = false;
		}
	}
	for (i = 0; left && i < all->workers; i++)
		kill(all->of[i].pid, SIGKILL);
	/* One that cannot be killed is not waited for. */
	for (since = now_ms(); left && now_ms() - since < 5000; sleep_ms(20))
		while (waitpid(-1, NULL, WNOHANG) > 0)
			left--;
	return ok;
}

static void set_up(void)
{
	pthread_barrierattr_t attr;
	unsigned int i;

	common_memory = mmap(NULL, COMMON_LEN, PROT_READ | PROT_WRITE, MAP_SHARED |
			     MAP_ANONYMOUS | MAP_PEER_SHARED, -1, 0);
	if (common_memory == MAP_FAILED)
		die("no common memory");
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&all->barrier, &attr, all->workers);
	for (i = 0; i < all->workers; i++)
		sem_init(&all->turn[i], 1, 0);
	all->end_ms = now_ms() + run_ms;
	host_set_up();
}

int main(int argc, char **argv)
{
	uint64_t digest = 0;
	unsigned int i;
	bool ok;

	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		die("no memory");
	all->seed = 1;
	all->workers = 4;
	all->steps = STEPS;
	options(argc, argv);
	set_up();
	printf("# seed %llu, %u processes\n", (unsigned long long)all->seed,
	       all->workers);
	fflush(stdout);
	for (i = 0; i < all->workers; i++) {
		/* Not at once to where the child would write its 0. */
		pid_t pid = fork();

		if (!pid)
			worker(i);
		if (pid < 0)
			die("fork: %s", strerror(errno));
		all->of[i].pid = pid;
	}
	ok = wait_all();
	if (!ok)
		trace_show();
	log_totals();
	for (i = 0; i < all->workers; i++)
		digest = mix(digest ^ all->of[i].digest);
	printf("# %llu rounds of %u steps each, contents %016llx\n",
	       (unsigned long long)all->round, all->steps * all->workers,
	       (unsigned long long)digest);
	host_restore();
	printf("%s 1 stress seed %llu\n", ok ? "ok" : "not ok",
	       (unsigned long long)all->seed);
	return ok ? KSFT_PASS : KSFT_FAIL;
}

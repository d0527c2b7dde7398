// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs end, with the right data, whatever other threads of the process do to
 * its mappings meanwhile. 10 s, or 60 s with LONG=1.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "gmem_util.h"

/* Not a multiple of 2 MiB, so that there are blocks in pieces, too. */
#define LEN		(2 * MiB + 200 * KiB)
/* What the storm throws away. It is watched together with the operands. */
#define WASTE		(4 * MiB)
#define STORMS		6
/*
 * One job takes milliseconds when nobody is in the way, and seconds in the
 * storm. What does not get through takes for ever.
 */
#define JOB_MS		60000

struct storm {
	char *src, *dst, *waste;
	atomic_bool stop;
	atomic_uint rounds[STORMS];
};

struct part {
	struct storm *storm;
	int nr;
};

static void one_round(struct storm *s, int nr, unsigned int i)
{
	size_t page = page_size();
	char *p;

	switch (nr) {
	case 0:	/* The device reads it, and may do so all the time. */
		mprotect(s->src, LEN, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 1:
		mprotect(s->dst, LEN, PROT_READ | PROT_WRITE |
				      (i & 1 ? PROT_EXEC : 0));
		break;
	case 2:
	case 3:	/* Two at once, so that there is always one under way. */
		p = s->waste + (nr - 2) * WASTE / 2;
		p[i % 64 * page] = 1;
		madvise(p, WASTE / 2, MADV_DONTNEED);
		break;
	case 4:
		p = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_PEER_SHARED, -1, 0);
		if (p != MAP_FAILED) {
			p[0] = 1;
			munmap(p, 16 * page);
		}
		break;
	case 5:	{	/* All becomes shared, and exclusive at the next write. */
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		break;
	}
	}
}

static void *storm_thread(void *arg)
{
	struct part *part = arg;
	struct storm *s = part->storm;
	unsigned int i;

	for (i = 0; !atomic_load(&s->stop); i++) {
		one_round(s, part->nr, i);
		atomic_fetch_add(&s->rounds[part->nr], 1);
	}
	return NULL;
}

/* Tell what the cores of the NPU wait for. */
static void show_cores(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char path[300], text[4096];

	while (proc && (entry = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (file_read(path, text, sizeof(text)) < 0 ||
		    strncmp(text, "npu0-core", 9))
			continue;
		fprintf(stderr, "# %s", text);
		snprintf(path, sizeof(path), "/proc/%s/stack", entry->d_name);
		if (file_read(path, text, sizeof(text)) > 0)
			fprintf(stderr, "%s", text);
	}
	if (proc)
		closedir(proc);
}

/* Wait for a job, and show the cores when it does not end. */
static int wait_for(int fd, uint64_t job, int ms, struct npu_wait *result)
{
	int err = npu_wait(fd, job, ms / 2, result);

	if (err != -ETIME)
		return err;
	show_cores();
	return npu_wait(fd, job, ms / 2, result);
}

FIXTURE(progress)
{
	int fd;
	struct storm storm;
	struct part parts[STORMS];
	pthread_t threads[STORMS];
};

FIXTURE_VARIANT(progress)
{
	bool read_mostly;
	bool mlocked;
};

FIXTURE_VARIANT_ADD(progress, plain) {};
FIXTURE_VARIANT_ADD(progress, mlocked) { .mlocked = true };
FIXTURE_VARIANT_ADD(progress, read_mostly) { .read_mostly = true };
FIXTURE_VARIANT_ADD(progress, mlocked_read_mostly)
{
	.read_mostly = true,
	.mlocked = true,
};

FIXTURE_SETUP(progress)
{
	struct storm *s = &self->storm;
	int i;

	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 32 });
	self->fd = npu_open(0);
	s->src = buf_alloc(LEN);
	s->dst = buf_alloc(LEN);
	s->waste = buf_alloc(WASTE);
	buf_fill(s->src, LEN, 3);
	buf_fill(s->dst, LEN, 4);
	if (variant->mlocked)
		ASSERT_EQ(0, mlock(s->src, LEN));
	if (variant->read_mostly)
		ASSERT_EQ(0, hmadvise(-1, s->src, LEN, MADV_READ_MOSTLY));
	for (i = 0; i < STORMS; i++) {
		self->parts[i] = (struct part){ s, i };
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL,
					    storm_thread, &self->parts[i]));
	}
}

FIXTURE_TEARDOWN(progress)
{
	close(self->fd);
}

TEST_F_TIMEOUT(progress, every_job_ends, 300)
{
	const char *minute = getenv("LONG");
	uint64_t end = now_ms() + (minute && !strcmp(minute, "1") ? 60000 : 10000);
	uint64_t longest = 0, start;
	struct storm *s = &self->storm;
	int i, jobs = 0;

	while (now_ms() < end || !jobs) {
		struct npu_cmd cmds[] = {
			cmd_copy(s->dst, s->src, LEN),
			cmd_fill(s->dst + LEN / 2, 1 + jobs % 100, 4 * KiB),
		};
		struct npu_wait result;
		uint64_t job;

		start = now_ms();
		ASSERT_EQ(0, npu_submit(self->fd, cmds, 2, -1, &job));
		ASSERT_EQ(0, wait_for(self->fd, job,
				      scaled(JOB_MS, 2 * JOB_MS), &result)) {
			TH_LOG("job %d did not end", jobs);
		}
		ASSERT_EQ(0, result.status) {
			TH_LOG("job %d, command %u", jobs, result.cmd);
		}
		if (now_ms() - start > longest)
			longest = now_ms() - start;
		ASSERT_TRUE(buf_is(s->dst + LEN / 2, 4 * KiB, 1 + jobs % 100));
		ASSERT_TRUE(buf_check(s->dst, LEN / 2, 3));
		jobs++;
	}
	atomic_store(&s->stop, true);
	for (i = 0; i < STORMS; i++) {
		pthread_join(self->threads[i], NULL);
		/* It was a storm. */
		EXPECT_LT(jobs, atomic_load(&s->rounds[i]));
	}
	TH_LOG("%d jobs, the longest took %llu ms; storm %u %u %u %u %u %u", jobs,
	       (unsigned long long)longest, s->rounds[0], s->rounds[1],
	       s->rounds[2], s->rounds[3], s->rounds[4], s->rounds[5]);
	EXPECT_TRUE(buf_check(s->src, LEN, 3));
}

#define SLOW	"/sys/kernel/debug/npu_stub/npu0/prepare_ms"

/* What is watched together: 512 MiB. */
static char *watched_together(size_t len)
{
	char *buf;

	/* The next one is elsewhere, because this one stays. */
	do {
		buf = buf_alloc(len);
	} while ((uintptr_t)buf >> 29 != ((uintptr_t)buf + len - 1) >> 29);
	return buf;
}

static void *disturb(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->stop)) {
		s->waste[0] = 1;
		madvise(s->waste, page_size(), MADV_DONTNEED);
		atomic_fetch_add(&s->rounds[0], 1);
	}
	return NULL;
}

/*
 * Between the look at the page table and its check the device takes 50 ms, in
 * which the table changes, each time: the fault has to keep others away.
 */
TEST(always_disturbed)
{
	struct storm s = { .waste = NULL };
	struct npu_wait result;
	pthread_t thread;
	struct npu_cmd cmd;
	uint64_t job;
	int fd;

	npu_require(&(struct npu_config){ .count = 1, .mem_mib = 32 });
	if (access(SLOW, F_OK))
		SKIP(return, "no debugfs");
	fd = npu_open(0);
	s.src = watched_together(2 * BLOCK);
	s.waste = s.src + BLOCK;
	*s.src = 1;
	ASSERT_EQ(0, madvise(s.src, 2 * BLOCK, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, hmadvise(npu_info(fd).hnid, s.src, BLOCK, MADV_ACCESSED_BY));
	cmd = cmd_read(s.src, 8);
	ASSERT_EQ(0, pthread_create(&thread, NULL, disturb, &s));
	while (atomic_load(&s.rounds[0]) < 10)
		sleep_ms(1);
	ASSERT_EQ(0, file_write(SLOW, "50"));
	job = npu_start(fd, &cmd, 1);
	EXPECT_EQ(0, npu_wait(fd, job, 20000, &result));
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(0, file_write(SLOW, "0"));
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	munmap(s.src, 2 * BLOCK);
	close(fd);
}

GMEM_TEST_MAIN

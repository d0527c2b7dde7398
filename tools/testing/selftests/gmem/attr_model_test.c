// SPDX-License-Identifier: GPL-2.0
/* Random changes of attributes and mappings, against a model of every page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "gmem_attr.h"
#include "gmem_util.h"

/* The model: what every page of the arena should have. */
#define PAGES 96

struct page {
	bool mapped, wipe, dont;
	struct attr attr;
};

static struct page model[PAGES];
static char *arena;

static bool same(const char *what, int step)
{
	static struct attr seen[PAGES];
	struct attr want;
	int i;

	attr_read(arena, PAGES, seen);
	for (i = 0; i < PAGES; i++) {
		want = model[i].mapped ? model[i].attr : attr_none;
		if (!memcmp(&want, &seen[i], sizeof(want)))
			continue;
		fprintf(stderr, "# step %d (%s), page %d:", step, what, i);
		fprintf(stderr, " preferred %d/%d, accessed by %llx/%llx,",
			seen[i].preferred, want.preferred,
			(unsigned long long)seen[i].accessed_by,
			(unsigned long long)want.accessed_by);
		fprintf(stderr, " read mostly %d/%d\n",
			(int)seen[i].read_mostly, (int)want.read_mostly);
		return false;
	}
	return true;
}

static void change(struct attr *attr, int behavior, int node)
{
	switch (behavior) {
	case MADV_PREFERRED_NODE:
		attr->preferred = node;
		break;
	case MADV_NO_PREFERRED_NODE:
		if (node == -1 || attr->preferred == node)
			attr->preferred = -1;
		break;
	case MADV_READ_MOSTLY:
		attr->read_mostly = true;
		break;
	case MADV_NO_READ_MOSTLY:
		attr->read_mostly = false;
		break;
	case MADV_ACCESSED_BY:
		attr->accessed_by |= 1ULL << node;
		break;
	case MADV_NO_ACCESSED_BY:
		attr->accessed_by &= node == -1 ? 0 : ~(1ULL << node);
		break;
	}
}

/* Returns the name of what was done, NULL when the result was wrong. */
static const char *step_advise(int first, int nr, const int *nodes)
{
	int behavior = MADV_PREFERRED_NODE + rand() % 6;
	bool hole = false;
	int node = nodes[rand() % 2], i;
	long want, got;

	if (behavior >= MADV_NO_PREFERRED_NODE &&
	    behavior != MADV_ACCESSED_BY && rand() % 2)
		node = -1;
	for (i = first; i < first + nr; i++) {
		hole |= !model[i].mapped;
		if (model[i].mapped)
			change(&model[i].attr, behavior, node);
	}
	want = hole ? -ENOMEM : 0;
	got = hmadvise(node, arena + first * page_size(), nr * page_size(),
		       behavior);
	if (got != want)
		fprintf(stderr, "# hmadvise: %ld, not %ld\n", got, want);
	return got == want ? "hmadvise" : NULL;
}

static const char *step_map(int first, int nr)
{
	size_t page = page_size();
	int i;

	if (rand() % 2) {
		if (munmap(arena + first * page, nr * page))
			return NULL;
		memset(&model[first], 0, nr * sizeof(model[0]));
		return "munmap";
	}
	if (mmap(arena + first * page, nr * page, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_PEER_SHARED,
		 -1, 0) == MAP_FAILED)
		return NULL;
	for (i = first; i < first + nr; i++)
		model[i] = (struct page){ .mapped = true, .attr = attr_none };
	return "mmap";
}

static const char *step_mremap(int first, int nr)
{
	int to = rand() % PAGES, i, keep = !(rand() % 3);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	size_t page = page_size();

	if (keep) {
		nr = 1;
		flags |= MREMAP_DONTUNMAP;
	}
	if (to + nr > PAGES || (to < first + nr && first < to + nr))
		return "no mremap";
	for (i = first; i < first + nr; i++)
		if (!model[i].mapped)
			return "no mremap";
	if (mremap(arena + first * page, nr * page, nr * page, flags,
		   arena + to * page) == MAP_FAILED)
		return NULL;
	for (i = 0; i < nr; i++) {
		model[to + i] = model[first + i];
		if (!keep)
			model[first + i] = (struct page){};
	}
	return "mremap";
}

static const char *step_fork_flag(int first, int nr)
{
	static const int advice[] = {
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTFORK, MADV_DOFORK,
	};
	int which = rand() % 4, i;

	for (i = first; i < first + nr; i++) {
		if (!model[i].mapped)
			return "no madvise";
	}
	if (madvise(arena + first * page_size(), nr * page_size(),
		    advice[which]))
		return NULL;
	for (i = first; i < first + nr; i++) {
		if (which < 2)
			model[i].wipe = !which;
		else
			model[i].dont = which == 2;
	}
	return "madvise";
}

static const char *step_fork(int step)
{
	pid_t pid;
	int i;

	pid = fork();
	if (pid < 0)
		return NULL;
	if (!pid) {
		for (i = 0; i < PAGES; i++)
			if (model[i].wipe || model[i].dont)
				model[i].attr = attr_none;
		_exit(!same("in the child", step));
	}
	return child_result(pid, 20000) ? NULL : "fork";
}

FIXTURE(model)
{
	int nodes[2];
};

FIXTURE_SETUP(model)
{
	int i, fd;

	for (i = 0; i < 2; i++) {
		fd = npu_open(i);
		self->nodes[i] = npu_info(fd).hnid;
		close(fd);
	}
}

FIXTURE_TEARDOWN(model)
{
	EXPECT_EQ(0, attr_lines());
}

TEST_F_TIMEOUT(model, random_steps, 300)
{
	size_t page = page_size();
	int steps = scaled(10000, 1000), i, first, nr, forks = 0;
	unsigned int seed = 20260101;
	const char *what;

	arena = mmap(NULL, PAGES * page, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(0, munmap(arena, PAGES * page));
	srand(seed);
	memset(model, 0, sizeof(model));
	for (i = 0; i < steps; i++) {
		first = rand() % PAGES;
		nr = 1 + rand() % (rand() % 4 ? 8 : PAGES);
		if (first + nr > PAGES)
			nr = PAGES - first;
		switch (rand() % 16) {
		case 0:
		case 1:
		case 2:
			what = step_map(first, nr);
			break;
		case 3:
		case 4:
			what = step_mremap(first, nr);
			break;
		case 5:
			what = step_fork_flag(first, nr);
			break;
		case 6:
			what = rand() % 4 ? "nothing" : step_fork(i);
			forks += what && !strcmp(what, "fork");
			break;
		default:
			what = step_advise(first, nr, self->nodes);
		}
		ASSERT_NE(NULL, what)
			TH_LOG("step %d failed: %s", i, strerror(errno));
		ASSERT_TRUE(same(what, i));
	}
	EXPECT_LT(steps / 200, forks);
	munmap(arena, PAGES * page);
}

GMEM_TEST_MAIN

// SPDX-License-Identifier: GPL-2.0
/* What was done: the last operations of each process, and all of them in files. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"
#include "stress.h"

static const struct op *const tables[] = {
	write_ops, io_ops, mm_ops, place_ops, process_ops, limit_ops,
};

const struct op *op_of(unsigned int number)
{
	unsigned int t;

	for (t = 0; t < ARRAY_SIZE(tables); t++) {
		const struct op *op;

		for (op = tables[t]; op->name; op++)
			if (!number--)
				return op;
	}
	return NULL;
}

static const char *chosen;

static unsigned int weight_of(unsigned int number)
{
	const struct op *op = op_of(number);
	size_t len = strlen(op->name);
	const char *at;

	for (at = chosen; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, op->name, len) && strchr(",", at[len]))
			break;
	}
	return !chosen || at ? op->weight : 0;
}

/* A list with commas. */
bool op_choose(const char *names)
{
	unsigned int i;

	chosen = names;
	for (i = 0; op_of(i); i++)
		if (weight_of(i))
			return true;
	return false;
}

unsigned int op_draw(void)
{
	unsigned int total = 0, i, at;

	for (i = 0; op_of(i); i++)
		total += weight_of(i);
	at = rnd() % total;
	for (i = 0; at >= weight_of(i); i++)
		at -= weight_of(i);
	return i;
}

void log_open(const char *prefix)
{
	char path[256];

	if (!prefix)
		return;
	snprintf(path, sizeof(path), "%s.%u", prefix, me.index);
	me.log = fopen(path, "we");
	if (!me.log)
		die("cannot write %s", path);
}

void log_begin(unsigned int op, const struct range *r)
{
	struct worker_state *mine = &all->of[me.index];

	me.now = &mine->last[me.step % LAST];
	*me.now = (struct record){
		.step = me.step, .op = op, .region = r->region, .off = r->off,
		.len = r->len, .result = 1,
	};
	mine->step = me.step;
	mine->runs[op]++;
}

void note(uint64_t arg)
{
	if (me.now && !me.generation)
		me.now->arg = me.now->arg << 8 ^ arg;
}

static void print_record(FILE *to, const struct record *rec, bool result)
{
	fprintf(to, "%u %s region %u +%#x %#x %llx", rec->step,
		op_of(rec->op)->name, rec->region, rec->off, rec->len,
		(unsigned long long)rec->arg);
	if (result && rec->result == 1)
		fprintf(to, " (not complete)");
	else if (result && rec->result)
		fprintf(to, " (%s)", strerror(-rec->result));
	fprintf(to, "\n");
}

void log_end(int result)
{
	struct worker_state *mine = &all->of[me.index];

	me.now->result = result;
	if (result) {
		mine->errors[me.now->op]++;
		mine->errno_seen[me.now->op] = result;
	}
	if (me.log)
		print_record(me.log, me.now, false);
}

void log_totals(void)
{
	uint64_t jobs = 0, refused = 0;
	unsigned int i, w;

	for (i = 0; op_of(i); i++) {
		uint32_t runs = 0, errors = 0;
		int seen = 0;

		for (w = 0; w < all->workers; w++) {
			runs += all->of[w].runs[i];
			errors += all->of[w].errors[i];
			seen = all->of[w].errno_seen[i] ?: seen;
		}
		printf("# %-16s %6u", op_of(i)->name, runs);
		if (errors)
			printf(", %u refused, such as: %s", errors, strerror(-seen));
		printf("\n");
	}
	for (w = 0; w < all->workers; w++) {
		jobs += all->of[w].jobs;
		refused += all->of[w].refused;
	}
	printf("# %llu jobs, %llu of them refused\n", (unsigned long long)jobs,
	       (unsigned long long)refused);
}

static void print_page(const struct range *r)
{
	uint64_t page = (uintptr_t)addr(r) / page_size(), entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && pread(fd, &entry, 8, page * 8) != 8)
		entry = 0;
	close(fd);
	fprintf(stderr, "# region %d +%#zx at %p: %#llx belongs there ",
		r->region, r->off, addr(r),
		*(unsigned long long *)(shadow(r) - r->off % 8));
	fprintf(stderr, "(process %u, step %u); pagemap %#llx\n",
		(unsigned int)(*(uint64_t *)(shadow(r) - r->off % 8) >> 60),
		(unsigned int)(*(uint64_t *)(shadow(r) - r->off % 8) >> 20),
		(unsigned long long)entry);
}

/* The mappings of a region and of its other place, with their flags. */
static void print_vmas(const struct range *r)
{
	const struct region *region = &me.regions[r->region];
	unsigned long start, end, at = (uintptr_t)region->at;
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[256];
	int i;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = at < end && start < at + region->len;
			for (i = 0; i < 2; i++) {
				at = (uintptr_t)(region->places[i] ?: region->at);
				inside |= at < end && start < at + region->len;
			}
			if (inside)
				fprintf(stderr, "# %s", line);
		} else if (inside && !strncmp(line, "VmFlags:", 8)) {
			fprintf(stderr, "#   %s", line);
		}
	}
	if (f)
		fclose(f);
}

void show_last(unsigned int index)
{
	const struct worker_state *of = &all->of[index];
	unsigned int last = of->step, i;

	fprintf(stderr, "# its last operations:\n");
	for (i = last < LAST ? 0 : last + 1 - LAST; i <= last; i++) {
		fprintf(stderr, "#   ");
		print_record(stderr, &of->last[i % LAST], true);
	}
}

void wrong(const struct range *r, const char *fmt, ...)
{
	va_list args;

	/* The first one tells. */
	if (atomic_exchange(&all->failed, 1))
		_exit(KSFT_FAIL);
	fprintf(stderr, "# seed %llu: process %u, step %u, generation %u: ",
		(unsigned long long)all->seed, me.index, me.step, me.generation);
	trace_stop();
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	if (r) {
		print_page(r);
		print_vmas(r);
	}
	show_last(me.index);
	if (me.log && !me.generation)
		fflush(me.log);
	fflush(stderr);
	_exit(KSFT_FAIL);
}

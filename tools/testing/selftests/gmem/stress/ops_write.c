// SPDX-License-Identifier: GPL-2.0
/* The CPU and the devices write. */
#include <stdlib.h>
#include <string.h>

#include "stress.h"

static int cpu_write(struct range *r)
{
	pattern(r);
	write_shadow(r);
	return 0;
}

static int npu_fill(struct range *r)
{
	int npu = coin(), byte = rnd() & 0xff, err;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);

	note(npu);
	note(byte);
	memset(shadow(r), byte, r->len);
	err = job(npu, &c, 1);
	if (err)
		write_shadow(r);
	return err;
}

static int npu_copy(struct range *r)
{
	struct range src = draw_other(r);
	int npu = coin(), err;
	struct npu_cmd c;

	note(npu);
	note(src.region);
	r->len = src.len;
	c = cmd_copy(addr(r), addr(&src), r->len);
	memcpy(shadow(r), shadow(&src), r->len);
	err = job(npu, &c, 1);
	if (err)
		write_shadow(r);
	return err;
}

static void align(struct range *r, size_t to)
{
	r->len += r->off % to;
	r->off &= -to;
	r->len = r->len < to ? to : r->len & -to;
}

static int npu_vadd(struct range *r)
{
	struct range a, b;
	int npu = coin(), err;
	uint32_t *to, *x, *y;
	struct npu_cmd c;
	size_t i;

	align(r, 4);
	a = draw_other(r);
	b = draw_other(r);
	note(npu);
	note(a.region);
	note(b.region);
	align(&a, 4);
	align(&b, 4);
	r->len = a.len < r->len ? a.len : r->len;
	r->len = b.len < r->len ? b.len : r->len;
	c = cmd_vadd((void *)addr(r), (void *)addr(&a), (void *)addr(&b), r->len);
	to = (uint32_t *)shadow(r);
	x = (uint32_t *)shadow(&a);
	y = (uint32_t *)shadow(&b);
	for (i = 0; i < r->len / 4; i++)
		to[i] = x[i] + y[i];
	err = job(npu, &c, 1);
	if (err)
		write_shadow(r);
	return err;
}

/* Both devices add to one number at a time. */
static int npu_add(struct range *r)
{
	uint64_t value[NPUS], times[NPUS], id[NPUS], sum;
	int i, err = 0;

	align(r, 8);
	r->len = 8;
	sum = *(uint64_t *)shadow(r);
	for (i = 0; i < NPUS; i++) {
		value[i] = rnd();
		times[i] = rnd() % 16;
		sum += value[i] * times[i];
		note(times[i]);
	}
	for (i = 0; i < NPUS; i++) {
		struct npu_cmd c = cmd_add((void *)addr(r), value[i], times[i]);

		id[i] = me.npu[i] < 0 ? 0 : npu_start(me.npu[i], &c, 1);
	}
	for (i = 0; i < NPUS; i++)
		err = (me.npu[i] < 0 ? -ENODEV : job_end(i, id[i])) ?: err;
	*(uint64_t *)shadow(r) = sum;
	if (err)
		write_shadow(r);
	return err;
}

/* Several commands in one job. */
static int npu_batch(struct range *r)
{
	struct range src = draw_other(r);
	struct npu_cmd cmds[8];
	int npu = coin(), i, err;
	size_t third;

	note(npu);
	note(src.region);
	r->len = src.len;
	third = r->len / 3;
	for (i = 0; i < 7; i++) {
		size_t off = rnd() % (r->len - third);
		int byte = rnd() & 0xff;

		if (coin()) {
			cmds[i] = cmd_fill(addr(r) + off, byte, third + 1);
			memset(shadow(r) + off, byte, third + 1);
		} else {
			cmds[i] = cmd_copy(addr(r) + off, addr(&src) + off,
					   third + 1);
			memcpy(shadow(r) + off, shadow(&src) + off, third + 1);
		}
	}
	cmds[7] = cmd_read(addr(r), r->len);
	err = job(npu, cmds, 8);
	if (err)
		write_shadow(r);
	return err;
}

/* A device writes what is on its way to somewhere else. */
static int npu_async(struct range *r)
{
	int npu = coin(), byte = rnd() & 0xff, err, i, nr = rnd() % 4 + 1;
	struct npu_cmd c = cmd_fill(addr(r), byte, r->len);
	char *at = (char *)((uintptr_t)addr(r) & -page_size());
	unsigned int what[4];
	uint64_t id;

	note(npu);
	note(byte);
	for (i = 0; i < nr; i++) {
		what[i] = rnd();
		note(what[i] % 8);
	}
	memset(shadow(r), byte, r->len);
	if (me.npu[npu] < 0) {
		write_shadow(r);
		return -ENODEV;
	}
	id = npu_start(me.npu[npu], &c, 1);
	for (i = 0; i < nr; i++)
		keep(at, addr(r) + r->len - at, what[i]);
	err = job_end(npu, id);
	if (err)
		write_shadow(r);
	return err;
}

/* Both devices and the CPU write to the same pages, each to bytes of its own. */
static int thirds(struct range *r)
{
	size_t third = r->len / 3, i;
	uint64_t id[NPUS];
	int byte = rnd() & 0xff, err = 0;

	note(byte);
	if (third < 8)
		return cpu_write(r);
	pattern(r);
	for (i = 0; i < NPUS; i++) {
		struct npu_cmd c = cmd_fill(addr(r) + i * third, byte + i, third);

		memset(shadow(r) + i * third, byte + i, third);
		id[i] = me.npu[i] < 0 ? 0 : npu_start(me.npu[i], &c, 1);
	}
	memcpy(addr(r) + NPUS * third, shadow(r) + NPUS * third,
	       r->len - NPUS * third);
	for (i = 0; i < NPUS; i++)
		err = (me.npu[i] < 0 ? -ENODEV : job_end(i, id[i])) ?: err;
	if (err)
		write_shadow(r);
	return err;
}

const struct op write_ops[] = {
	{ "cpu_write", cpu_write, 8, ANYWHERE, false },
	{ "npu_fill", npu_fill, 8, ANYWHERE, false },
	{ "npu_copy", npu_copy, 8, ANYWHERE, false },
	{ "npu_vadd", npu_vadd, 4, ANYWHERE, false },
	{ "npu_add", npu_add, 3, PRIVATE, false },
	{ "npu_batch", npu_batch, 4, ANYWHERE, false },
	{ "npu_async", npu_async, 6, ANYWHERE, false },
	{ "thirds", thirds, 6, ANYWHERE, false },
	{ }
};

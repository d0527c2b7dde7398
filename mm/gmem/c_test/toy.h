/* SPDX-License-Identifier: GPL-2.0-only */
/* The toy device of the C test, see toy.c. */
#ifndef _GMEM_C_TEST_TOY_H
#define _GMEM_C_TEST_TOY_H

#include <linux/atomic.h>
#include <linux/gmem.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/xarray.h>

#define TOY_SIZE	SZ_4M
#define TOY_PAGES	(TOY_SIZE / PAGE_SIZE)
#define TOY_TLB		16

/* The device: what dev_data points to. */
struct toy {
	struct page *memory[TOY_PAGES];
	atomic_t nr_pmaps;
};

/*
 * A page table of the device, and the TLB in front of it.  An entry is the
 * address of a page, with the flags of struct gm_map in its low bits; 0 is an
 * entry that maps nothing.  Entries of the TLB are copies, which do not change
 * with the page table.
 */
struct toy_pmap {
	struct toy *toy;
	/* Held by every access of the device from the lookup to the last byte. */
	struct mutex lock;
	struct xarray entries;
	struct {
		u64 index;
		u64 bits;
	} tlb[TOY_TLB];
};

/* A process that uses the device. */
struct toy_client {
	struct gm_context *ctx;
	struct toy_pmap *pmap;
};

struct toy *toy_new(void);
void toy_free(struct toy *toy);
struct gm_dev_desc toy_desc(struct toy *toy, struct device *dev);
int toy_open(struct toy_client *client, struct gm_dev *dev);
void toy_close(struct toy_client *client);
int toy_access(struct toy_client *client, u64 va, void *buf, size_t len, u32 access);
void toy_lose(struct toy_client *client, u64 va);
u64 toy_entry(struct toy_client *client, u64 va);
void toy_enter(struct toy_client *client, u64 va, u64 bits);
bool toy_maps_local(struct toy_client *client, u64 va);

#endif /* _GMEM_C_TEST_TOY_H */

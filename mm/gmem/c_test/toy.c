// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small GMEM driver in C.
 *
 * The device has host pages for memory and an xarray for a page table, and its
 * accesses are function calls.  Documentation/driver-api/gmem.rst walks through
 * this file; checks.c tests it.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "toy.h"

/* The machine-dependent part: struct gm_mmu. */

static int toy_pmap_create(void *dev_data, void *file_data, void **pmap)
{
	struct toy_client *client = file_data;
	struct toy_pmap *new = kzalloc_obj(*new);

	if (!new)
		return -ENOMEM;
	new->toy = dev_data;
	mutex_init(&new->lock);
	xa_init(&new->entries);
	atomic_inc(&new->toy->nr_pmaps);
	client->pmap = new;
	*pmap = new;
	return 0;
}

static void toy_pmap_destroy(void *handle)
{
	struct toy_pmap *pmap = handle;

	atomic_dec(&pmap->toy->nr_pmaps);
	xa_destroy(&pmap->entries);
	kfree(pmap);
}

static int toy_pmap_prepare(void *handle, u64 va, u64 len)
{
	struct toy_pmap *pmap = handle;
	u64 end = va + len;
	int err = 0;

	for (; va < end && (!err || err == -EBUSY); va += PAGE_SIZE)
		err = xa_insert(&pmap->entries, va >> PAGE_SHIFT, xa_mk_value(0), GFP_KERNEL);
	return err == -EBUSY ? 0 : err;
}

static int toy_pmap_enter(void *handle, const struct gm_map *maps, u32 nr)
{
	struct toy_pmap *pmap = handle;

	mutex_lock(&pmap->lock);
	for (; nr--; maps++) {
		for (u64 at = 0; at < (u64)maps->nr_pages << PAGE_SHIFT; at += PAGE_SIZE) {
			u64 bits = (maps->addr + at) | maps->flags;

			/* The slot is there, so nothing is allocated. */
			xa_store(&pmap->entries, (maps->va + at) >> PAGE_SHIFT,
				 xa_mk_value(bits), 0);
		}
	}
	mutex_unlock(&pmap->lock);
	return 0;
}

static void toy_pmap_release(void *handle, u64 va, u64 len)
{
	struct toy_pmap *pmap = handle;
	unsigned long index;
	void *entry;

	mutex_lock(&pmap->lock);
	xa_for_each_range(&pmap->entries, index, entry, va >> PAGE_SHIFT,
			  (va + len - 1) >> PAGE_SHIFT)
		xa_store(&pmap->entries, index, xa_mk_value(0), 0);
	mutex_unlock(&pmap->lock);
}

/* The lock waits for an access under way. */
static void toy_tlb_invl(void *handle, u64 va, u64 len)
{
	struct toy_pmap *pmap = handle;

	mutex_lock(&pmap->lock);
	for (int i = 0; i < TOY_TLB; i++)
		if (pmap->tlb[i].index >= va >> PAGE_SHIFT &&
		    pmap->tlb[i].index <= (va + len - 1) >> PAGE_SHIFT)
			pmap->tlb[i].bits = 0;
	mutex_unlock(&pmap->lock);
}

static struct page *toy_page(struct toy *toy, u64 dev_addr)
{
	return toy->memory[dev_addr >> PAGE_SHIFT];
}

static int toy_prepare_page(void *dev, const struct gm_copy *runs, u32 nr, u64 *fence)
{
	for (; nr--; runs++)
		for (u64 at = 0; at < runs->len; at += PAGE_SIZE)
			clear_highpage(toy_page(dev, runs->dev_addr + at));
	*fence = 0;
	return 0;
}

static int toy_copy_to_dev(void *dev, const struct gm_copy *runs, u32 nr, u64 *fence)
{
	for (; nr--; runs++)
		for (u64 at = 0; at < runs->len; at += PAGE_SIZE)
			copy_highpage(toy_page(dev, runs->dev_addr + at),
				      pfn_to_page(PHYS_PFN(runs->other + at)));
	*fence = 0;
	return 0;
}

static int toy_copy_from_dev(void *dev, const struct gm_copy *runs, u32 nr, u64 *fence)
{
	for (; nr--; runs++)
		for (u64 at = 0; at < runs->len; at += PAGE_SIZE)
			copy_highpage(pfn_to_page(PHYS_PFN(runs->other + at)),
				      toy_page(dev, runs->dev_addr + at));
	*fence = 0;
	return 0;
}

/* All work is done when the functions return, so there is no fence to wait for. */
static int toy_fence_wait(void *dev_data, u64 fence)
{
	return -EINVAL;
}

static const struct gm_mmu toy_mmu = {
	.pmap_create	= toy_pmap_create,
	.pmap_destroy	= toy_pmap_destroy,
	.pmap_prepare	= toy_pmap_prepare,
	.pmap_enter	= toy_pmap_enter,
	.pmap_release	= toy_pmap_release,
	.tlb_invl	= toy_tlb_invl,
	.prepare_page	= toy_prepare_page,
	.copy_to_dev	= toy_copy_to_dev,
	.copy_from_dev	= toy_copy_from_dev,
	.fence_wait	= toy_fence_wait,
};

/* A device comes and goes, and so do the processes that use it. */

void toy_free(struct toy *toy)
{
	for (int i = 0; i < TOY_PAGES && toy->memory[i]; i++)
		__free_page(toy->memory[i]);
	kvfree(toy);
}

struct toy *toy_new(void)
{
	struct toy *toy = kvzalloc_obj(*toy);

	for (int i = 0; toy && i < TOY_PAGES; i++) {
		toy->memory[i] = alloc_page(GFP_HIGHUSER);
		if (!toy->memory[i]) {
			toy_free(toy);
			return NULL;
		}
	}
	return toy;
}

/* What the driver says of the device when it creates it. */
struct gm_dev_desc toy_desc(struct toy *toy, struct device *dev)
{
	return (struct gm_dev_desc) {
		.name = "toy",
		.owner = THIS_MODULE,
		.dev = dev,
		.mmu = &toy_mmu,
		.dev_data = toy,
		.caps = GM_DEV_CAP_REPLAYABLE,
		.pgsize_bitmap = PAGE_SIZE,
		.va_end = 1ULL << 48,
	};
}

int toy_open(struct toy_client *client, struct gm_dev *dev)
{
	struct gm_as *as;
	int err;

	err = gm_as_get_current(false, &as);
	if (err)
		return err;
	err = gm_as_attach(as, dev, client, &client->ctx);
	/* The context keeps the address space. */
	gm_as_put(as);
	return err;
}

void toy_close(struct toy_client *client)
{
	gm_as_detach(client->ctx);
}

/* The device at work. */

/* A look into the TLB, and into the page table only if it has no entry for the access. */
static u64 toy_translate(struct toy_pmap *pmap, u64 index, u32 access)
{
	u64 bits = pmap->tlb[index % TOY_TLB].bits;

	if (pmap->tlb[index % TOY_TLB].index == index && (bits & access) == access)
		return bits;
	bits = xa_to_value(xa_load(&pmap->entries, index));
	pmap->tlb[index % TOY_TLB].index = index;
	pmap->tlb[index % TOY_TLB].bits = bits;
	return bits;
}

/* One try of an access inside a page; false when the page table has no entry for it. */
static bool toy_try(struct toy_pmap *pmap, u64 va, void *buf, size_t len, u32 access)
{
	struct page *page;
	u64 bits;

	guard(mutex)(&pmap->lock);
	bits = toy_translate(pmap, va >> PAGE_SHIFT, access);
	if ((bits & access) != access)
		return false;
	page = bits & GM_MAP_LOCAL ? toy_page(pmap->toy, bits) : pfn_to_page(PHYS_PFN(bits));
	if (access & GM_ACCESS_WRITE)
		memcpy_to_page(page, offset_in_page(va), buf, len);
	else
		memcpy_from_page(buf, page, offset_in_page(va), len);
	return true;
}

/* An access as the device makes it: what misses is resolved and replayed. */
int toy_access(struct toy_client *client, u64 va, void *buf, size_t len, u32 access)
{
	while (!toy_try(client->pmap, va, buf, len, access)) {
		int err = gm_dev_fault(client->ctx, va & PAGE_MASK, PAGE_SIZE,
				       access, GM_FAULT_DEMAND);

		if (err && err != -EAGAIN)
			return err;
	}
	return 0;
}

/* The device loses an entry, without a word to GMEM. */
void toy_lose(struct toy_client *client, u64 va)
{
	toy_pmap_release(client->pmap, va, PAGE_SIZE);
	toy_tlb_invl(client->pmap, va, PAGE_SIZE);
}

/* What the device's page table says of a page. */
u64 toy_entry(struct toy_client *client, u64 va)
{
	return xa_to_value(xa_load(&client->pmap->entries, va >> PAGE_SHIFT));
}

/* What the driver itself does when GMEM enters a page. */
void toy_enter(struct toy_client *client, u64 va, u64 bits)
{
	struct gm_map map = {
		.va = va,
		.addr = bits & PAGE_MASK,
		.nr_pages = 1,
		.flags = bits & ~PAGE_MASK,
	};

	toy_pmap_prepare(client->pmap, va, PAGE_SIZE);
	toy_pmap_enter(client->pmap, &map, 1);
}

/* Whether the device maps a page of its own memory there. */
bool toy_maps_local(struct toy_client *client, u64 va)
{
	return toy_entry(client, va) & GM_MAP_LOCAL;
}

// SPDX-License-Identifier: GPL-2.0

/* What rust/kernel/mm/device/ needs of the C inline functions and macros. */

#ifdef CONFIG_GMEM

#include <linux/huge_mm.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/hugetlb_inline.h>
#include <linux/ioport.h>
#include <linux/ksm.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/secretmem.h>
#include <linux/swap.h>

/* Folios */

__rust_helper struct folio *rust_helper_pfn_folio(unsigned long pfn)
{
	return pfn_folio(pfn);
}

__rust_helper unsigned long rust_helper_folio_pfn(const struct folio *folio)
{
	return folio_pfn(folio);
}

__rust_helper unsigned int rust_helper_folio_order(const struct folio *folio)
{
	return folio_order(folio);
}

__rust_helper unsigned long rust_helper_page_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

__rust_helper void rust_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

__rust_helper bool rust_helper_folio_test_ksm(const struct folio *folio)
{
	return folio_test_ksm(folio);
}

__rust_helper bool rust_helper_folio_is_device_private(const struct folio *folio)
{
	return folio_is_device_private(folio);
}

/*
 * Destinations of pages that come home: locked, and dirty, because a device may
 * have written the page, so that what swap has of it is old.
 */
static __always_inline struct folio *home_folio_prepare(struct folio *folio,
							unsigned long *pfn)
{
	if (folio) {
		/* Nobody else knows it yet. */
		__folio_set_locked(folio);
		folio_set_dirty(folio);
		*pfn = folio_pfn(folio);
	}
	return folio;
}

/*
 * For a page that comes home by a fault: as swap-in does, but on a node that was
 * named for it, if that is there.
 */
__rust_helper struct folio *
rust_helper_home_folio_alloc(unsigned int order, struct vm_area_struct *vma,
			     unsigned long addr, int nid, unsigned long *pfn)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE;

	if (order)
		gfp = vma_thp_gfp_mask(vma);
	if (nid != NUMA_NO_NODE && node_state(nid, N_MEMORY))
		return home_folio_prepare(__folio_alloc_node(gfp, order, nid), pfn);
	return home_folio_prepare(vma_alloc_folio(gfp, order, vma, addr), pfn);
}

/*
 * As many of the @nr folios of one page that may be needed next as are there at
 * once.  The task's policy is that of each page, unless a node is named; a
 * mapping's own asks for one by one.
 */
static __always_inline unsigned long
home_folios_bulk(gfp_t gfp, int nid, unsigned long nr, struct folio **folios,
		 unsigned long *pfns)
{
	unsigned long i;

	BUILD_BUG_ON(offsetof(struct folio, page));
	memset(folios, 0, nr * sizeof(*folios));
	if (nid != NUMA_NO_NODE && node_state(nid, N_MEMORY))
		nr = alloc_pages_bulk_node(gfp, nid, nr, (struct page **)folios);
	else
		nr = alloc_pages_bulk_mempolicy(gfp, nr, (struct page **)folios);
	for (i = 0; i < nr; i++)
		home_folio_prepare(folios[i], &pfns[i]);
	return nr;
}

/* For pages that come home together.  Returns how many there are in @folios. */
__rust_helper unsigned long
rust_helper_home_folios_alloc(struct vm_area_struct *vma, unsigned long addr,
			      int nid, unsigned long nr, struct folio **folios,
			      unsigned long *pfns)
{
	if (nr == 1 || vma_policy(vma)) {
		*folios = rust_helper_home_folio_alloc(0, vma, addr, nid, pfns);
		return !!*folios;
	}
	return home_folios_bulk(GFP_HIGHUSER_MOVABLE, nid, nr, folios, pfns);
}

/*
 * Can the host give @pages and not be short of memory then?  Who pushes pages out
 * can do without, and others would be killed for the last pages.  What is
 * available is what is above the high watermarks of all zones and what is easily
 * reclaimed.  To look at one zone is not enough: a huge page does not fit into the
 * rest of a small zone, and is taken from below the watermark of a large one.
 * What can be swapped out counts half, since zram takes memory for it.
 */
__rust_helper bool rust_helper_host_has_room(unsigned long pages)
{
	long anon = global_node_page_state(NR_INACTIVE_ANON) +
		    global_node_page_state(NR_ACTIVE_ANON);
	long swap = max(get_nr_swap_pages(), 0L);

	return si_mem_available() + min(swap, anon) / 2 > (long)pages;
}

/* For a page that is pushed out: no OOM kill, no warning. */
__rust_helper struct folio *rust_helper_evict_folio_alloc(unsigned int order,
							  unsigned long *pfn)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;

	if (!rust_helper_host_has_room(1UL << order))
		return NULL;
	if (order)
		gfp = GFP_TRANSHUGE | __GFP_NORETRY | __GFP_NOWARN;
	return home_folio_prepare(folio_alloc(gfp, order), pfn);
}

/* For a page that is kept: one that cannot move would keep movable memory online. */
__rust_helper struct folio *
rust_helper_kept_folio_alloc(unsigned long *pfn)
{
	return home_folio_prepare(folio_alloc(GFP_USER, 0), pfn);
}

/* For pages that are pushed out together.  Returns how many there are in @folios. */
__rust_helper unsigned long
rust_helper_evict_folios_alloc(unsigned long nr, struct folio **folios,
			       unsigned long *pfns)
{
	if (!rust_helper_host_has_room(nr))
		return 0;
	return home_folios_bulk(GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL |
				__GFP_NOWARN, NUMA_NO_NODE, nr, folios, pfns);
}

/*
 * Split a device folio whose pieces are to be moved one by one.  Returns 0 when
 * the page at @pfn is not, or no longer, part of a large folio.
 */
__rust_helper int rust_helper_device_folio_split(unsigned long pfn)
{
	struct folio *folio = pfn_folio(pfn);
	int ret = -EAGAIN;

	if (!folio_try_get(folio))
		return 0;
	if (folio_trylock(folio)) {
		ret = folio_test_large(folio) ? split_folio(folio) : 0;
		folio_unlock(folio);
	}
	folio_put(folio);
	return ret;
}

/*
 * Make a folio of free device pages.  They may have been the tail of a larger
 * folio before, so nothing may be asked of them first.
 */
__rust_helper struct folio *
rust_helper_device_folio_init(unsigned long pfn, struct dev_pagemap *pgmap,
			      unsigned int order)
{
	struct page *page = pfn_to_page(pfn);

	zone_device_page_init(page, pgmap, order);
	if (order)
		folio_set_large_rmappable(page_folio(page));
	return page_folio(page);
}

__rust_helper struct dev_pagemap *rust_helper_folio_pgmap(struct folio *folio)
{
	return folio->pgmap;
}

/* All that a callback asks of a folio, in one call: it runs for every page. */
__rust_helper struct dev_pagemap *
rust_helper_device_folio_identify(struct folio *folio, unsigned long *pfn,
				  unsigned int *order)
{
	*pfn = folio_pfn(folio);
	*order = folio_order(folio);
	return folio->pgmap;
}

__rust_helper void
rust_helper_dev_pagemap_init_private(struct dev_pagemap *pgmap,
				     const struct resource *res,
				     const struct dev_pagemap_ops *ops,
				     void *owner)
{
	memset(pgmap, 0, sizeof(*pgmap));
	pgmap->type = MEMORY_DEVICE_PRIVATE;
	pgmap->ops = ops;
	pgmap->owner = owner;
	pgmap->nr_range = 1;
	pgmap->range.start = res->start;
	pgmap->range.end = res->end;
}

__rust_helper void rust_helper_release_device_region(resource_size_t start,
						     unsigned long size)
{
	release_mem_region(start, size);
}

__rust_helper struct resource *
rust_helper_request_device_region(unsigned long size, const char *name)
{
	return request_free_mem_region(&iomem_resource, size, name);
}

/* VMAs and faults */

__rust_helper bool rust_helper_vma_is_anonymous(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma);
}

/*
 * Only such memory has pages that the kernel may read, count and move.  The flags
 * are those of a driver; that a device may write a shadow stack must never be.
 */
__rust_helper bool rust_helper_vma_is_ordinary(struct vm_area_struct *vma)
{
	const vm_flags_t special = VM_IO | VM_PFNMAP | VM_MIXEDMAP | VM_SHADOW_STACK;

	return !(vma->vm_flags & special) && !is_vm_hugetlb_page(vma) &&
	       !vma_is_secretmem(vma) && !vma_is_dax(vma);
}

__rust_helper bool rust_helper_vma_thp_allowed(struct vm_area_struct *vma)
{
	return thp_vma_allowable_order(vma, vma->vm_flags, TVA_PAGEFAULT,
				       HPAGE_PMD_ORDER);
}

__rust_helper struct vm_area_struct *
rust_helper_find_vma_intersection(struct mm_struct *mm, unsigned long start,
				  unsigned long end)
{
	return find_vma_intersection(mm, start, end);
}

__rust_helper struct vm_area_struct *rust_helper_vm_fault_vma(struct vm_fault *vmf)
{
	return vmf->vma;
}

__rust_helper unsigned long rust_helper_vm_fault_address(struct vm_fault *vmf)
{
	return vmf->address;
}

__rust_helper struct page *rust_helper_vm_fault_page(struct vm_fault *vmf)
{
	return vmf->page;
}

/* The fault is on a PMD that names a huge device page. */
__rust_helper bool rust_helper_vm_fault_is_huge(struct vm_fault *vmf)
{
	return !vmf->pte && folio_test_large(page_folio(vmf->page));
}

/* Of the folio, lock and reference stay with the page of the fault. */
__rust_helper int rust_helper_vm_fault_split(struct vm_fault *vmf)
{
	return split_huge_page(vmf->page);
}

/* Interval notifiers */

__rust_helper void
rust_helper_mmu_interval_set_seq(struct mmu_interval_notifier *sub,
				 unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
}

__rust_helper bool
rust_helper_mmu_interval_read_retry(struct mmu_interval_notifier *sub,
				    unsigned long seq)
{
	return mmu_interval_read_retry(sub, seq);
}

__rust_helper bool
rust_helper_mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return mmu_notifier_range_blockable(range);
}

/*
 * Take mmap_lock for writing and wait for all who use a VMA under its own lock
 * alone, as fork does.
 */
__rust_helper int rust_helper_mm_hold_still(struct mm_struct *mm)
{
	VMA_ITERATOR(vmi, mm, 0);
	struct vm_area_struct *vma;
	int ret = mmap_write_lock_killable(mm);

	if (ret)
		return ret;
	for_each_vma(vmi, vma) {
		ret = vma_start_write_killable(vma);
		if (ret) {
			mmap_write_unlock(mm);
			return ret;
		}
	}
	return 0;
}

__rust_helper void rust_helper_mm_release_still(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

#endif /* CONFIG_GMEM */

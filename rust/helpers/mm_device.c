// SPDX-License-Identifier: GPL-2.0

/* What rust/kernel/mm/device/ needs of the C inline functions and macros. */

#ifdef CONFIG_RUST_DEVICE_MEMORY

#include <linux/huge_mm.h>
#include <linux/hmm.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>

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

__rust_helper bool rust_helper_folio_is_device_private(const struct folio *folio)
{
	return folio_is_device_private(folio);
}

__rust_helper bool rust_helper_folio_try_get(struct folio *folio)
{
	return folio_try_get(folio);
}

__rust_helper bool rust_helper_folio_trylock(struct folio *folio)
{
	return folio_trylock(folio);
}

__rust_helper void rust_helper___folio_set_locked(struct folio *folio)
{
	__folio_set_locked(folio);
}

__rust_helper bool rust_helper_folio_test_large(const struct folio *folio)
{
	return folio_test_large(folio);
}

__rust_helper void rust_helper_folio_set_large_rmappable(struct folio *folio)
{
	folio_set_large_rmappable(folio);
}

__rust_helper int rust_helper_split_folio(struct folio *folio)
{
	return split_folio(folio);
}

__rust_helper struct folio *rust_helper_folio_alloc(gfp_t gfp, unsigned int order)
{
	return folio_alloc(gfp, order);
}

__rust_helper struct page *rust_helper_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

__rust_helper int rust_helper_split_huge_page(struct page *page)
{
	return split_huge_page(page);
}

/* Device memory */

__rust_helper struct dev_pagemap *rust_helper_folio_pgmap(struct folio *folio)
{
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

/* mmap_lock */

__rust_helper int rust_helper_mmap_write_lock_killable(struct mm_struct *mm)
{
	return mmap_write_lock_killable(mm);
}

__rust_helper void rust_helper_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

__rust_helper int rust_helper_vma_start_write_killable(struct vm_area_struct *vma)
{
	return vma_start_write_killable(vma);
}

#endif /* CONFIG_RUST_DEVICE_MEMORY */

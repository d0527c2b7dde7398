// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host pages of which devices may have copies, because nobody can write them
 * without a notification: what source.rs needs of C.
 *
 * A file is kept from being written by a lease (lease.c).  An anonymous page is
 * mapped read-only and not exclusively, and a reference keeps copy-on-write
 * from taking it back into use for one writer.
 */
#include <linux/fs.h>
#include <linux/gmem_core.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/swap.h>

/* What gmem_originals() found out about a page. */
enum original {
	ORIGINAL_TAKEN,
	ORIGINAL_WRITABLE,	/* it has to be write-protected first */
	ORIGINAL_REFERRED,	/* somebody refers to it */
	ORIGINAL_NONE,
};

/*
 * Look at the page at @addr.  If nobody can write it without a notification
 * take a reference.
 */
static enum original original_take(struct vm_area_struct *vma, unsigned long addr,
				   struct gmem_lease *lease, unsigned long *pfn)
{
	enum original result = ORIGINAL_NONE;
	struct folio_walk fw;
	struct folio *folio;
	bool writable;

	folio = folio_walk_start(&fw, vma, addr, FW_ZEROPAGE);
	if (!folio)
		return ORIGINAL_NONE;
	if (fw.level == FW_LEVEL_PTE)
		writable = pte_write(fw.pte);
	else if (fw.level == FW_LEVEL_PMD)
		writable = pmd_write(fw.pmd);
	else
		goto out;
	if (!fw.page) {
		/* The zero page never changes; a write replaces it. */
		*pfn = page_to_pfn(folio_page(folio, 0));
		if (folio_test_large(folio))
			*pfn += (addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT;
		folio_get(folio);
		result = ORIGINAL_TAKEN;
	} else if (lease) {
		/* Without writers no page of the file is writable. */
		if (folio_test_anon(folio) || writable ||
		    READ_ONCE(folio->mapping) != vma->vm_file->f_mapping)
			goto out;
		if (!gmem_lease_refer(lease, folio)) {
			result = ORIGINAL_REFERRED;
			/* What is pinned stays so. */
			if (folio_maybe_dma_pinned(folio))
				result = ORIGINAL_NONE;
			goto out;
		}
		*pfn = page_to_pfn(fw.page);
		result = ORIGINAL_TAKEN;
	} else if (folio_test_anon(folio) && !folio_is_zone_device(folio)) {
		bool merged = folio_test_ksm(folio);

		/* The bit of a huge mapping is that of its first page. */
		if (writable || mm_tlb_flush_pending(vma->vm_mm) ||
		    (!merged && PageAnonExclusive(fw.level == FW_LEVEL_PTE ?
						  fw.page : folio_page(folio, 0)))) {
			result = ORIGINAL_WRITABLE;
			goto out;
		}
		*pfn = page_to_pfn(fw.page);
		folio_get(folio);
		result = ORIGINAL_TAKEN;
	}
out:
	folio_walk_end(&fw, vma);
	return result;
}

/* Split a large folio: only for a small one can the references be told apart. */
static void original_split(struct vm_area_struct *vma, unsigned long addr)
{
	struct folio_walk fw;
	struct folio *folio;
	struct page *page;

	folio = folio_walk_start(&fw, vma, addr, 0);
	if (!folio)
		return;
	page = fw.page;
	if (!folio_test_large(folio) || !folio_test_anon(folio)) {
		folio_walk_end(&fw, vma);
		return;
	}
	folio_get(folio);
	folio_walk_end(&fw, vma);
	if (folio_trylock(folio)) {
		split_huge_page(page);
		folio = page_folio(page);
		folio_unlock(folio);
	}
	folio_put(folio);
}

/*
 * Write-protect the page at @addr inside a notifier range, as KSM does, unless
 * somebody might write to it through a reference, and take a reference.
 */
static enum original original_protect(struct vm_area_struct *vma, unsigned long addr,
				      unsigned long *pfn)
{
	enum original result = ORIGINAL_NONE;
	struct mm_struct *mm = vma->vm_mm;
	struct folio_walk fw;
	struct folio *folio;
	bool exclusive;
	pte_t entry;

	folio = folio_walk_start(&fw, vma, addr, 0);
	if (!folio)
		return ORIGINAL_NONE;
	if (fw.level != FW_LEVEL_PTE || folio_test_large(folio) ||
	    !folio_test_anon(folio) || folio_test_ksm(folio) ||
	    folio_is_zone_device(folio) || !folio_trylock(folio))
		goto out;

	exclusive = PageAnonExclusive(fw.page);
	flush_cache_page(vma, addr, folio_pfn(folio));
	/* From here on get_user_pages_fast() finds nothing. */
	entry = ptep_clear_flush(vma, addr, fw.ptep);
	if (folio_ref_count(folio) !=
			folio_mapcount(folio) + folio_test_swapcache(folio) ||
	    (exclusive && folio_try_share_anon_rmap_pte(folio, fw.page))) {
		result = ORIGINAL_WRITABLE;
	} else {
		entry = pte_wrprotect(entry);
		*pfn = folio_pfn(folio);
		folio_get(folio);
		result = ORIGINAL_TAKEN;
	}
	set_pte_at(mm, addr, fw.ptep, entry);
	folio_unlock(folio);
out:
	folio_walk_end(&fw, vma);
	return result;
}

/* Returns whether pages are left that somebody refers to. */
static bool originals_protect(struct vm_area_struct *vma, unsigned long start,
			      unsigned long nr, unsigned long *pfns)
{
	struct mmu_notifier_range range;
	unsigned long i, first = nr, end = 0;
	bool busy = false;

	for (i = 0; i < nr; i++) {
		unsigned long addr = start + i * PAGE_SIZE;

		if (pfns[i] ||
		    original_take(vma, addr, NULL, &pfns[i]) != ORIGINAL_WRITABLE)
			continue;
		original_split(vma, addr);
		first = min(first, i);
		end = i + 1;
	}
	if (first >= end)
		return false;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, vma->vm_mm,
				start + first * PAGE_SIZE, start + end * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	for (i = first; i < end; i++) {
		if (!pfns[i] && original_protect(vma, start + i * PAGE_SIZE,
						 &pfns[i]) == ORIGINAL_WRITABLE)
			busy = true;
	}
	mmu_notifier_invalidate_range_end(&range);
	return busy;
}

/* Returns why pages could not be taken. */
static enum original originals_take(struct vm_area_struct *vma, unsigned long start,
				    unsigned long nr, struct gmem_lease *lease,
				    unsigned long *pfns)
{
	enum original result = ORIGINAL_NONE, one;
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (pfns[i])
			continue;
		one = original_take(vma, start + i * PAGE_SIZE, lease, &pfns[i]);
		if (one == ORIGINAL_WRITABLE || one == ORIGINAL_REFERRED)
			result = one;
	}
	return result;
}

/*
 * Take a reference to each page from @start on that nobody can write without a
 * notification while the reference is held; @pfns gets the frames, or 0.  The
 * pages of a file must be guaranteed by @lease.  mmap_lock is held.
 *
 * @may_drain says that the lists of other CPUs may be emptied, which takes long,
 * and becomes false when they were: a fault waits for that once.
 */
void gmem_originals(struct vm_area_struct *vma, unsigned long start,
		    unsigned long nr, struct gmem_lease *lease,
		    unsigned long *pfns, bool *may_drain)
{
	enum original result;

	memset(pfns, 0, nr * sizeof(*pfns));
	result = originals_take(vma, start, nr, lease, pfns);
	if (result != ORIGINAL_WRITABLE && result != ORIGINAL_REFERRED)
		return;

	/* A CPU's list of pages for the LRU holds a reference to a new page. */
	lru_add_drain();
	if (lease) {
		if (originals_take(vma, start, nr, lease, pfns) == ORIGINAL_REFERRED &&
		    *may_drain) {
			*may_drain = false;
			lru_add_drain_all();
			originals_take(vma, start, nr, lease, pfns);
		}
	} else if (originals_protect(vma, start, nr, pfns) && *may_drain) {
		*may_drain = false;
		lru_add_drain_all();
		originals_protect(vma, start, nr, pfns);
	}
}

/* Give back what gmem_originals() has taken.  Callable anywhere. */
void gmem_originals_put(struct gmem_lease *lease, unsigned long *pfns,
			unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (!pfns[i])
			continue;
		if (lease)
			gmem_lease_unrefer(lease, pfn_folio(pfns[i]));
		else
			folio_put(pfn_folio(pfns[i]));
	}
}

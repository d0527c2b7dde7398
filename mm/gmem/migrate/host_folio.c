// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host memory for pages that leave a device: which zone and node, how hard to
 * try, and when rather not.
 */
#include <linux/gfp.h>
#include <linux/gmem_core.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

/*
 * Destinations of pages that come home: locked, and dirty, because a device may
 * have written the page, so that what swap has of it is old.
 */
static struct folio *prepare(struct folio *folio, unsigned long *pfn)
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
struct folio *gmem_home_folio_alloc(unsigned int order, struct vm_area_struct *vma,
				    unsigned long addr, int nid, unsigned long *pfn)
{
	gfp_t gfp = order ? vma_thp_gfp_mask(vma) : GFP_HIGHUSER_MOVABLE;

	if (nid != NUMA_NO_NODE && node_state(nid, N_MEMORY))
		return prepare(__folio_alloc_node(gfp, order, nid), pfn);
	return prepare(vma_alloc_folio(gfp, order, vma, addr), pfn);
}

/*
 * As many of the @nr folios of one page that may be needed next as are there at
 * once.  The task's policy is that of each page, unless a node is named; a
 * mapping's own asks for one by one.
 */
static unsigned long alloc_bulk(gfp_t gfp, int nid, unsigned long nr,
				struct folio **folios, unsigned long *pfns)
{
	unsigned long i;

	BUILD_BUG_ON(offsetof(struct folio, page));
	memset(folios, 0, nr * sizeof(*folios));
	if (nid != NUMA_NO_NODE && node_state(nid, N_MEMORY))
		nr = alloc_pages_bulk_node(gfp, nid, nr, (struct page **)folios);
	else
		nr = alloc_pages_bulk_mempolicy(gfp, nr, (struct page **)folios);
	for (i = 0; i < nr; i++)
		prepare(folios[i], &pfns[i]);
	return nr;
}

/* For pages that come home together.  Returns how many there are in @folios. */
unsigned long gmem_home_folios_alloc(struct vm_area_struct *vma,
				     unsigned long addr, int nid,
				     unsigned long nr, struct folio **folios,
				     unsigned long *pfns)
{
	if (nr == 1 || vma_policy(vma)) {
		*folios = gmem_home_folio_alloc(0, vma, addr, nid, pfns);
		return !!*folios;
	}
	return alloc_bulk(GFP_HIGHUSER_MOVABLE, nid, nr, folios, pfns);
}

/*
 * Can the host give @pages and not be short of memory then?  Who evicts can do
 * without, and the OOM killer would end others for the last pages.  What is
 * available is what is above the high watermarks of all zones and what is easily
 * reclaimed.  To look at one zone is not enough: a huge page does not fit into the
 * rest of a small zone, and is taken from below the watermark of a large one.
 * What can be swapped out counts half, since zram takes memory for it.
 */
bool gmem_host_has_room(unsigned long pages)
{
	long anon = global_node_page_state(NR_INACTIVE_ANON) +
		    global_node_page_state(NR_ACTIVE_ANON);
	long swap = max(get_nr_swap_pages(), 0L);

	return si_mem_available() + min(swap, anon) / 2 > (long)pages;
}

/* For a page that is evicted: no OOM kill, no warning. */
struct folio *gmem_evict_folio_alloc(unsigned int order, unsigned long *pfn)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;

	if (!gmem_host_has_room(1UL << order))
		return NULL;
	if (order)
		gfp = GFP_TRANSHUGE | __GFP_NORETRY | __GFP_NOWARN;
	return prepare(folio_alloc(gfp, order), pfn);
}

/* For pages that are evicted together.  Returns how many there are in @folios. */
unsigned long gmem_evict_folios_alloc(unsigned long nr, struct folio **folios,
				      unsigned long *pfns)
{
	if (!gmem_host_has_room(nr))
		return 0;
	return alloc_bulk(GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL |
			  __GFP_NOWARN, NUMA_NO_NODE, nr, folios, pfns);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeping the anon_vmas of pages that migrate without an mmap_lock.
 *
 * migrate_device_pfns() unmaps pages wherever they are mapped, and maps them
 * again in the end. Meanwhile the last VMA that maps one may go, and its
 * anon_vma with it.
 */
#include <linux/gmem_core.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>

#include "../../internal.h"

/*
 * Hold in @held, all %NULL, the anon_vmas of the folios at the @nr frames @pfns,
 * which are device pages in a row. The frame of a folio that has none, or is
 * busy, becomes @stranger, a page that nobody can lock.
 *
 * Pages that are free must not be used again before they migrate: they would
 * come with another anon_vma.
 */
void gmem_hold_anon_vmas(unsigned long *pfns, struct anon_vma **held,
			 unsigned long nr, unsigned long stranger)
{
	unsigned long i, pages;

	for (i = 0; i < nr; i += pages) {
		/* NULL for a tail page, too. */
		struct folio *folio = folio_get_nontail_page(pfn_to_page(pfns[i]));

		pages = 1;
		if (folio) {
			if (folio_trylock(folio)) {
				held[i] = folio_get_anon_vma(folio);
				if (held[i])
					pages = folio_nr_pages(folio);
				folio_unlock(folio);
			}
			folio_put(folio);
		}
		if (!held[i])
			pfns[i] = stranger;
	}
}

/* Undo gmem_hold_anon_vmas(). */
void gmem_put_anon_vmas(struct anon_vma **held, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (held[i])
			put_anon_vma(held[i]);
	}
}

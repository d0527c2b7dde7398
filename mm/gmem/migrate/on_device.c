// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of a process that are in the memory of devices: ours, or those that others manage.
 */
#include <linux/gmem_core.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/leafops.h>
#include <linux/pagewalk.h>

struct on_device {
	void *owner;
	bool owned;
	unsigned long addr;
};

static bool is_sought(softleaf_t entry, const struct on_device *sought)
{
	return softleaf_is_device_private(entry) &&
	       (page_pgmap(softleaf_to_page(entry))->owner == sought->owner) == sought->owned;
}

static int on_device_pmd(pmd_t *pmd, unsigned long addr, unsigned long end,
			 struct mm_walk *walk)
{
	struct on_device *found = walk->private;
	pte_t *start, *pte;
	spinlock_t *ptl;
	int ret = 0;

	ptl = pmd_trans_huge_lock(pmd, walk->vma);
	if (ptl) {
		if (!pmd_present(*pmd))
			ret = is_sought(softleaf_from_pmd(*pmd), found);
		spin_unlock(ptl);
		found->addr = addr;
		return ret;
	}
	start = pte = pte_offset_map_lock(walk->mm, pmd, addr, &ptl);
	if (!pte) {
		walk->action = ACTION_AGAIN;
		return 0;
	}
	for (; addr != end; pte++, addr += PAGE_SIZE) {
		pte_t ptent = ptep_get(pte);

		if (pte_none(ptent) || pte_present(ptent))
			continue;
		if (is_sought(softleaf_from_pte(ptent), found)) {
			found->addr = addr;
			ret = 1;
			break;
		}
	}
	pte_unmap_unlock(start, ptl);
	cond_resched();
	return ret;
}

static const struct mm_walk_ops on_device_ops = {
	.pmd_entry	= on_device_pmd,
	.walk_lock	= PGWALK_RDLOCK,
};

/*
 * The first address of a range that is in the memory of a device whose manager
 * is @owner or, if not @owned, somebody else; or @end.  With mmap_lock held.
 */
unsigned long gmem_find_on_device(struct mm_struct *mm, unsigned long start,
				  unsigned long end, void *owner, bool owned)
{
	struct on_device found = { .owner = owner, .owned = owned };

	return walk_page_range(mm, start, end, &on_device_ops, &found) > 0 ? found.addr : end;
}

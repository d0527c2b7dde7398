// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host pages of which devices may have copies, because nobody can write them
 * without a notification: what source.rs needs of C.
 *
 * A file is kept from being written by a read lease.  An anonymous page is
 * mapped read-only and not exclusively, and a reference keeps copy-on-write
 * from taking it back into use for one writer.
 */
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/workqueue.h>
#include <uapi/linux/fcntl.h>

#include "../internal.h"

/*
 * The guarantee that a file is not written: a read lease, or the seal of a
 * memfd.  There is one for each inode.  It goes when nobody uses it, or after
 * the copies when a writer waits; both happen in @work.
 */
struct gmem_lease {
	struct list_head node;
	unsigned int users;		/* and @node, under leases_lock */
	struct inode *inode;		/* that of @file */
	struct file *file;
	bool leased;			/* there is a lease; changed by @work only */
	bool broken;
	struct work_struct work;
};

static DEFINE_SPINLOCK(leases_lock);
static LIST_HEAD(leases);
/* One lease is made at a time, so that no inode gets two. */
static DEFINE_MUTEX(lease_make_lock);

static bool lease_break(struct file_lease *fl)
{
	struct gmem_lease *lease = fl->c.flc_owner;

	WRITE_ONCE(lease->broken, true);
	queue_work(system_dfl_wq, &lease->work);
	/* Not yet: there are copies. */
	return false;
}

static int lease_open_conflict(struct file *file, int arg)
{
	return inode_is_open_for_write(file_inode(file)) ? -EAGAIN : 0;
}

/* The writer waits until the copies are gone, however long it takes. */
static bool lease_timed_out(struct file_lease *fl)
{
	return false;
}

static const struct lease_manager_operations lease_ops = {
	.lm_break		= lease_break,
	.lm_change		= lease_modify,
	.lm_open_conflict	= lease_open_conflict,
	.lm_breaker_timedout	= lease_timed_out,
};

static void lease_work(struct work_struct *work)
{
	struct gmem_lease *lease = container_of(work, struct gmem_lease, work);
	bool gone;

	if (READ_ONCE(lease->broken))
		gmem_drop_leased(lease);

	spin_lock(&leases_lock);
	/* A put() that came later has queued the work again. */
	gone = !lease->users && !work_pending(work);
	if (gone)
		list_del(&lease->node);
	spin_unlock(&leases_lock);

	if (lease->leased && (gone || READ_ONCE(lease->broken))) {
		void *owner = lease;

		kernel_setlease(lease->file, F_UNLCK, NULL, &owner);
		lease->leased = false;
	}
	if (gone) {
		/*
		 * The lease may have been broken since, but not after it was
		 * given back.
		 */
		cancel_work(work);
		fput(lease->file);
		kfree(lease);
	}
}

/* A file of our own: a lease changes the owner of the file it is on. */
static int lease_take(struct gmem_lease *lease, struct file *file)
{
	struct file_lease *fl;
	int err;

	if (!file->f_op->setlease)
		return -EINVAL;
	if (inode_is_open_for_write(lease->inode))
		return -EAGAIN;
	lease->file = dentry_open_nonotify(&file->f_path,
					   O_RDONLY | O_LARGEFILE | O_NONBLOCK,
					   file->f_cred);
	if (IS_ERR(lease->file))
		return PTR_ERR(lease->file);

	fl = locks_alloc_lease();
	err = -ENOMEM;
	if (fl) {
		fl->fl_lmops = &lease_ops;
		fl->c.flc_flags = FL_LEASE;
		fl->c.flc_type = F_RDLCK;
		fl->c.flc_owner = lease;
		fl->c.flc_pid = current->tgid;
		fl->c.flc_file = lease->file;
		lease->leased = true;
		err = kernel_setlease(lease->file, F_RDLCK, &fl, NULL);
		if (fl)
			locks_free_lease(fl);
	}
	if (err)
		fput(lease->file);
	return err;
}

static struct gmem_lease *lease_make(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct gmem_lease *lease;
	int seals = memfd_get_seals(file);
	bool sealed = seals > 0 && (seals & F_SEAL_WRITE);

	if (!S_ISREG(inode->i_mode) || IS_DAX(inode))
		return NULL;
	/* Files that were never opened by name do not count their writers. */
	if (!sealed && (inode->i_sb->s_flags & SB_KERNMOUNT))
		return NULL;

	lease = kzalloc_obj(*lease);
	if (!lease)
		return NULL;
	lease->inode = inode;
	lease->users = 1;
	INIT_WORK(&lease->work, lease_work);
	if (sealed) {
		lease->file = get_file(file);
	} else if (lease_take(lease, file)) {
		kfree(lease);
		return NULL;
	}
	spin_lock(&leases_lock);
	list_add(&lease->node, &leases);
	spin_unlock(&leases_lock);
	return lease;
}

/*
 * Returns the guarantee for the file mapped at @addr, or NULL when there can be
 * none.  Must not be called under mmap_lock.
 */
struct gmem_lease *gmem_lease_get(struct mm_struct *mm, unsigned long addr)
{
	struct gmem_lease *lease, *found = NULL;
	struct vm_area_struct *vma;
	struct file *file = NULL;
	bool broken = false;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma && vma->vm_file)
		file = get_file(vma->vm_file);
	mmap_read_unlock(mm);
	if (!file)
		return NULL;

	mutex_lock(&lease_make_lock);
	spin_lock(&leases_lock);
	list_for_each_entry(lease, &leases, node) {
		if (lease->inode != file_inode(file))
			continue;
		/* One that ends is in the way of the next. */
		broken = READ_ONCE(lease->broken);
		if (!broken) {
			found = lease;
			found->users++;
		}
		break;
	}
	spin_unlock(&leases_lock);
	if (!found && !broken)
		found = lease_make(file);
	mutex_unlock(&lease_make_lock);
	fput(file);
	return found;
}

/* Callable anywhere. */
void gmem_lease_hold(struct gmem_lease *lease)
{
	spin_lock(&leases_lock);
	lease->users++;
	spin_unlock(&leases_lock);
}

/* Callable anywhere. */
void gmem_lease_put(struct gmem_lease *lease)
{
	spin_lock(&leases_lock);
	if (!--lease->users)
		queue_work(system_dfl_wq, &lease->work);
	spin_unlock(&leases_lock);
}

bool gmem_lease_broken(struct gmem_lease *lease)
{
	return READ_ONCE(lease->broken);
}

/* Is it the file of @lease that @vma maps? */
bool gmem_lease_covers(struct gmem_lease *lease, struct vm_area_struct *vma)
{
	return vma->vm_file && file_inode(vma->vm_file) == lease->inode;
}

/* What gmem_originals() found out about a page. */
enum original {
	ORIGINAL_TAKEN,
	ORIGINAL_WRITABLE,	/* it has to be write-protected first */
	ORIGINAL_NONE,
};

/*
 * Look at the page at @addr.  If nobody can write it without a notification
 * take a reference.
 */
static enum original original_take(struct vm_area_struct *vma, unsigned long addr,
				   bool is_file, unsigned long *pfn)
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
		/* Zeroes are zeroes; a write puts another page there. */
		*pfn = page_to_pfn(folio_page(folio, 0));
		if (folio_test_large(folio))
			*pfn += (addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT;
		folio_get(folio);
		result = ORIGINAL_TAKEN;
	} else if (is_file) {
		/* Without writers no page of the file is writable. */
		if (folio_test_anon(folio) || writable ||
		    READ_ONCE(folio->mapping) != vma->vm_file->f_mapping)
			goto out;
		*pfn = page_to_pfn(fw.page);
		folio_get(folio);
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

/* Take a large folio apart: who refers to it can be told for a small one only. */
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
		    original_take(vma, addr, false, &pfns[i]) != ORIGINAL_WRITABLE)
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

/*
 * Take a reference to each page from @start on that nobody can write without a
 * notification while the reference is held; @pfns gets the frames, or 0.  The
 * pages of a file must be guaranteed by a lease.  mmap_lock is held.
 *
 * @may_drain says that the lists of other CPUs may be emptied, which takes long,
 * and becomes false when they were: a fault waits for that once.
 */
void gmem_originals(struct vm_area_struct *vma, unsigned long start,
		    unsigned long nr, bool is_file, unsigned long *pfns,
		    bool *may_drain)
{
	bool writable = false;
	unsigned long i;

	for (i = 0; i < nr; i++) {
		pfns[i] = 0;
		if (original_take(vma, start + i * PAGE_SIZE, is_file,
				  &pfns[i]) == ORIGINAL_WRITABLE)
			writable = true;
	}
	if (!writable)
		return;

	/* A new page is in a list of a CPU that refers to it. */
	lru_add_drain();
	if (originals_protect(vma, start, nr, pfns) && *may_drain) {
		*may_drain = false;
		lru_add_drain_all();
		originals_protect(vma, start, nr, pfns);
	}
}

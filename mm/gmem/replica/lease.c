// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guarantee that a file is not written: a read lease, or the seals of a memfd.
 *
 * A lease keeps writers away that open or truncate the file.  Who holds a page of
 * it for writing from before, as I/O in flight does, has a reference to the page;
 * so it is counted how many references are ours.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/gmem_core.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <uapi/linux/fcntl.h>

/*
 * An inode has one that is used, and may have others that end.  When a writer
 * waits, @break_work drops the copies and gives the lease back.
 */
struct gmem_lease {
	struct list_head node;
	unsigned int users;		/* and @node, under leases_lock */
	struct inode *inode;		/* that of @file */
	struct file *file;
	bool sealed;			/* no lease is needed */
	bool broken;
	struct xarray folios;		/* by frame: our references to each */
	struct work_struct break_work;
	union {
		struct callback_head end_task;
		struct work_struct end_work;
	};
};

static DEFINE_SPINLOCK(leases_lock);
static LIST_HEAD(leases);

static bool lease_break(struct file_lease *fl)
{
	struct gmem_lease *lease = fl->c.flc_owner;

	WRITE_ONCE(lease->broken, true);
	queue_work(system_dfl_wq, &lease->break_work);
	/* Not yet: there are copies. */
	return false;
}

static int lease_open_conflict(struct file *file, int arg)
{
	return inode_is_open_for_write(file_inode(file)) ? -EAGAIN : 0;
}

/*
 * lease-break-time bounds how long a program may keep a writer waiting.  The
 * copies go without one: the work waits for devices only, and the map lock.
 */
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

static void lease_give_back(struct gmem_lease *lease)
{
	void *owner = lease;

	if (!lease->sealed)
		kernel_setlease(lease->file, F_UNLCK, NULL, &owner);
}

static void lease_break_work(struct work_struct *work)
{
	struct gmem_lease *lease = container_of(work, struct gmem_lease, break_work);

	gmem_drop_leased(lease);
	lease_give_back(lease);
}

/* Free a lease that has no users and is in no list. */
static void lease_end(struct gmem_lease *lease)
{
	lease_give_back(lease);
	/* It may have been broken before, but not since. */
	cancel_work_sync(&lease->break_work);
	WARN_ON_ONCE(!xa_empty(&lease->folios));
	xa_destroy(&lease->folios);
	fput(lease->file);
	kfree(lease);
}

static void lease_end_task(struct callback_head *head)
{
	lease_end(container_of(head, struct gmem_lease, end_task));
}

/* For kernel threads, which have no return to user space to do it at. */
static void lease_end_work(struct work_struct *work)
{
	lease_end(container_of(work, struct gmem_lease, end_work));
}

/*
 * File systems of which it is known that nothing changes a page in the page cache
 * without having the file open for writing, or being a truncation that breaks the
 * leases or delegations of this inode first.  Not so overlayfs, which truncates
 * the inode below, and FUSE, whose server may store into the page cache
 * (FUSE_NOTIFY_STORE).
 */
static bool lease_known(struct file *file)
{
	static const char * const names[] = { "ext4", "tmpfs" };
	struct super_block *sb = file_inode(file)->i_sb;

	/* Mapped through another file system. */
	if (file->f_mode & FMODE_BACKING)
		return false;
	/* Files that were never opened by name do not count their writers. */
	if (sb->s_flags & SB_KERNMOUNT)
		return false;
	return match_string(names, ARRAY_SIZE(names), sb->s_type->name) >= 0;
}

/* No page is written, and none is cut off in the middle. */
static bool file_sealed(struct file *file)
{
	const int needed = F_SEAL_WRITE | F_SEAL_SHRINK;
	int seals = memfd_get_seals(file);

	return seals > 0 && (seals & needed) == needed;
}

/* As by F_SETLEASE. */
static bool lease_permitted(struct file *file)
{
	struct inode *inode = file_inode(file);
	vfsuid_t owner = i_uid_into_vfsuid(file_mnt_idmap(file), inode);

	if (!vfsuid_eq_kuid(owner, current_fsuid()) && !capable(CAP_LEASE))
		return false;
	return !security_file_lock(file, F_RDLCK);
}

/* A file of our own: a lease changes the owner of the file it is on. */
static int lease_take(struct gmem_lease *lease, struct file *file)
{
	struct file_lease *fl;
	int err;

	lease->file = dentry_open_nonotify(&file->f_path,
					   O_RDONLY | O_LARGEFILE | O_NONBLOCK,
					   file->f_cred);
	if (IS_ERR(lease->file))
		return PTR_ERR(lease->file);

	fl = locks_alloc_lease();
	err = -ENOMEM;
	if (fl) {
		fl->fl_lmops = &lease_ops;
		/*
		 * A lease is broken by open() and truncate(); a delegation also
		 * by each change of the inode's size that comes as a
		 * notify_change() alone, as from overlayfs and the NFS server.
		 */
		fl->c.flc_flags = FL_DELEG;
		fl->c.flc_type = F_RDLCK;
		fl->c.flc_owner = lease;
		fl->c.flc_pid = current->tgid;
		fl->c.flc_file = lease->file;
		err = kernel_setlease(lease->file, F_RDLCK, &fl, NULL);
		if (fl)
			locks_free_lease(fl);
	}
	if (err) {
		/* It may have been there, and been broken. */
		cancel_work_sync(&lease->break_work);
		fput(lease->file);
	}
	return err;
}

static struct gmem_lease *lease_make(struct file *file, bool sealed)
{
	struct gmem_lease *lease;

	if (!sealed && (!file->f_op->setlease ||
			inode_is_open_for_write(file_inode(file))))
		return NULL;
	lease = kzalloc_obj(*lease);
	if (!lease)
		return NULL;
	lease->inode = file_inode(file);
	lease->users = 1;
	lease->sealed = sealed;
	xa_init(&lease->folios);
	INIT_WORK(&lease->break_work, lease_break_work);
	if (sealed) {
		lease->file = get_file(file);
	} else if (lease_take(lease, file)) {
		kfree(lease);
		return NULL;
	}
	return lease;
}

/* Under leases_lock. One that ends is in the way of the next: none is found. */
static bool lease_find(struct inode *inode, struct gmem_lease **found)
{
	struct gmem_lease *lease;

	*found = NULL;
	list_for_each_entry(lease, &leases, node) {
		if (lease->inode != inode)
			continue;
		if (!READ_ONCE(lease->broken)) {
			lease->users++;
			*found = lease;
		}
		return true;
	}
	return false;
}

static struct gmem_lease *lease_get_file(struct file *file)
{
	struct inode *inode = file_inode(file);
	struct gmem_lease *lease, *found;
	bool sealed = file_sealed(file);
	bool exists;

	if (!S_ISREG(inode->i_mode) || IS_DAX(inode))
		return NULL;
	if (!sealed && (!lease_known(file) || !lease_permitted(file)))
		return NULL;

	scoped_guard(spinlock, &leases_lock)
		exists = lease_find(inode, &found);
	if (exists)
		return found;

	lease = lease_make(file, sealed);
	if (!lease)
		return NULL;
	scoped_guard(spinlock, &leases_lock) {
		exists = lease_find(inode, &found);
		if (!exists)
			list_add(&lease->node, &leases);
	}
	if (!exists)
		return lease;
	lease_end(lease);	/* somebody else was faster */
	return found;
}

/* Those of the process; devices fault in kernel threads. */
static const struct cred *mm_cred(struct mm_struct *mm, struct file *file)
{
#ifdef CONFIG_MEMCG
	const struct cred *cred = NULL;
	struct task_struct *owner;

	rcu_read_lock();
	owner = rcu_dereference(mm->owner);
	if (owner)
		cred = get_task_cred(owner);
	rcu_read_unlock();
	return cred;
#else
	return get_cred(file->f_cred);
#endif
}

/* For the file mapped at @addr, if there can be one. Not under mmap_lock. */
struct gmem_lease *gmem_lease_get(struct mm_struct *mm, unsigned long addr)
{
	struct gmem_lease *lease = NULL;
	struct vm_area_struct *vma;
	struct file *file = NULL;
	const struct cred *cred;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma && vma->vm_file)
		file = get_file(vma->vm_file);
	mmap_read_unlock(mm);
	if (!file)
		return NULL;
	cred = mm_cred(mm, file);
	if (cred) {
		scoped_with_creds(cred)
			lease = lease_get_file(file);
		put_cred(cred);
	}
	fput(file);
	return lease;
}

void gmem_lease_hold(struct gmem_lease *lease)
{
	guard(spinlock)(&leases_lock);
	lease->users++;
}

/*
 * Callable anywhere.  A task that unmaps the last page gives the file back before
 * it returns to its program, as munmap(2) does with the file that was mapped, so
 * that the file system can be unmounted then.
 */
void gmem_lease_put(struct gmem_lease *lease)
{
	scoped_guard(spinlock, &leases_lock) {
		if (--lease->users)
			return;
		list_del(&lease->node);
	}
	if (in_task() && !(current->flags & PF_KTHREAD)) {
		init_task_work(&lease->end_task, lease_end_task);
		if (!task_work_add(current, &lease->end_task, TWA_RESUME))
			return;
	}
	INIT_WORK(&lease->end_work, lease_end_work);
	queue_work(system_dfl_wq, &lease->end_work);
}

bool gmem_lease_broken(struct gmem_lease *lease)
{
	return READ_ONCE(lease->broken);
}

bool gmem_lease_covers(struct gmem_lease *lease, struct vm_area_struct *vma)
{
	return vma->vm_file && file_inode(vma->vm_file) == lease->inode &&
	       !(vma->vm_file->f_mode & FMODE_BACKING);
}

/* Does anybody hold a reference that is neither one of @ours nor of a known kind? */
static bool folio_referred(struct folio *folio, unsigned long ours)
{
	int expected = folio_expected_ref_count(folio);
	int refs = folio_ref_count(folio);

	/* The number of mappings changed meanwhile: assume that somebody has one. */
	if (folio_expected_ref_count(folio) != expected)
		return true;
	return folio_maybe_dma_pinned(folio) || refs != expected + (int)ours;
}

/*
 * Take a reference to a folio of the file that is mapped and not writable, unless
 * somebody might write to it through another reference.  Call with the page-table
 * lock held.
 */
bool gmem_lease_refer(struct gmem_lease *lease, struct folio *folio)
{
	unsigned long pfn = folio_pfn(folio), ours;
	bool taken = false;

	xa_lock(&lease->folios);
	ours = xa_to_value(xa_load(&lease->folios, pfn));
	if (!folio_referred(folio, ours) &&
	    !xa_is_err(__xa_store(&lease->folios, pfn, xa_mk_value(ours + 1),
				  GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT))) {
		folio_get(folio);
		taken = true;
	}
	xa_unlock(&lease->folios);
	return taken;
}

/* Undo gmem_lease_refer().  Callable anywhere. */
void gmem_lease_unrefer(struct gmem_lease *lease, struct folio *folio)
{
	unsigned long pfn = folio_pfn(folio), ours;

	xa_lock(&lease->folios);
	ours = xa_to_value(xa_load(&lease->folios, pfn));
	if (ours > 1)	/* takes the place of another: needs no memory */
		__xa_store(&lease->folios, pfn, xa_mk_value(ours - 1), 0);
	else if (ours)
		__xa_erase(&lease->folios, pfn);
	/* Zeroes are not counted. */
	folio_put(folio);
	xa_unlock(&lease->folios);
}

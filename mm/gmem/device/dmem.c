// SPDX-License-Identifier: GPL-2.0-only
/*
 * Charging device memory to cgroups: what dmem.rs needs of C.
 */
#include <linux/cgroup.h>
#include <linux/cgroup_dmem.h>
#include <linux/err.h>
#include <linux/gmem_core.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

/* Returns NULL without the controller, else an error pointer or a region. */
struct dmem_cgroup_region *gmem_dmem_register(u64 size, const char *name)
{
	return dmem_cgroup_register_region(size, "gmem/%s", name);
}

/*
 * The cgroup that pays for what is done for @mm, whoever does it: NULL without
 * the controller, else an error pointer or a reference.
 */
struct cgroup_subsys_state *gmem_dmem_payer(struct mm_struct *mm)
{
#if IS_ENABLED(CONFIG_CGROUP_DMEM) && defined(CONFIG_MEMCG)
	struct cgroup_subsys_state *css = ERR_PTR(-ESRCH);
	struct task_struct *owner;

	rcu_read_lock();
	owner = rcu_dereference(mm->owner);
	if (owner)
		css = task_get_css(owner, dmem_cgrp_id);
	rcu_read_unlock();
	return css;
#else
	return NULL;
#endif
}

void gmem_dmem_payer_put(struct cgroup_subsys_state *css)
{
#if IS_ENABLED(CONFIG_CGROUP_DMEM)
	css_put(css);
#endif
}

/* As dmem_cgroup_try_charge(), but @css stays with the caller. */
int gmem_dmem_charge(struct dmem_cgroup_region *region, u64 size,
		     struct cgroup_subsys_state *css,
		     struct dmem_cgroup_pool_state **pool,
		     struct dmem_cgroup_pool_state **limit)
{
#if IS_ENABLED(CONFIG_CGROUP_DMEM)
	if (css)
		css_get(css);
#endif
	return dmem_cgroup_try_charge(region, size, css, pool, limit);
}

/* Static inline without the controller. */
void gmem_dmem_unregister(struct dmem_cgroup_region *region)
{
	dmem_cgroup_unregister_region(region);
}

void gmem_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 size)
{
	dmem_cgroup_uncharge(pool, size);
}

void gmem_dmem_limit_put(struct dmem_cgroup_pool_state *limit)
{
	dmem_cgroup_pool_state_put(limit);
}

bool gmem_dmem_may_evict(struct dmem_cgroup_pool_state *limit,
			 struct dmem_cgroup_pool_state *pool, bool ignore_low,
			 bool *hit_low)
{
	/* Nothing is charged without the controller. */
	if (!pool)
		return true;
	return dmem_cgroup_state_evict_valuable(limit, pool, ignore_low, hit_low);
}

static void gmem_return_work(struct work_struct *work)
{
	gmem_return_chunks();
}
static DECLARE_DELAYED_WORK(return_work, gmem_return_work);

/* A program that moves memory back and forth empties and fills chunks all the time. */
#define RETURN_DELAY	msecs_to_jiffies(20)

/* Callable anywhere. */
void gmem_return_soon(void)
{
	if (!delayed_work_pending(&return_work))
		queue_delayed_work(system_dfl_wq, &return_work, RETURN_DELAY);
}

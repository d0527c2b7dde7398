// SPDX-License-Identifier: GPL-2.0

#include <linux/eventfd.h>
#include <linux/gmem.h>
#include <linux/io.h>
#include <linux/sched.h>
#include <linux/string.h>

#ifdef CONFIG_GMEM

/*
 * Memory that a device shares with other processors changes under the reader.
 * These accesses are made here, by C's rules, so that Rust never holds a
 * reference to such bytes.
 */
__rust_helper void rust_helper_gmem_soft_copy(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
}

/* The copy engine of an emulated device moves whole pages. */
static __always_inline void soft_copy_pages(void *dst, const void *src, size_t len)
{
	size_t done;

	for (done = 0; done < len; done += PAGE_SIZE)
		copy_page(dst + done, (void *)src + done);
}

__rust_helper void rust_helper_gmem_soft_copy_pages(void *dst, const void *src,
						    size_t len)
{
	soft_copy_pages(dst, src, len);
}

__rust_helper void rust_helper_gmem_soft_from_host(void *dst, u64 host, size_t len)
{
	soft_copy_pages(dst, phys_to_virt(host), len);
}

__rust_helper void rust_helper_gmem_soft_to_host(u64 host, const void *src,
						 size_t len)
{
	soft_copy_pages(phys_to_virt(host), src, len);
}

__rust_helper void rust_helper_gmem_soft_fill(void *dst, int byte, size_t len)
{
	memset(dst, byte, len);
}

__rust_helper void rust_helper_gmem_soft_add(void *p, u64 value)
{
	atomic64_add(value, (atomic64_t *)p);
}

/* GMEM needs a 64-bit kernel: all of the host's memory is in the direct map. */
__rust_helper void *rust_helper_gmem_soft_host(u64 addr)
{
	BUILD_BUG_ON(IS_ENABLED(CONFIG_HIGHMEM));
	return phys_to_virt(addr);
}

__rust_helper void rust_helper_gmem_cond_resched(void)
{
	cond_resched();
}

#endif /* CONFIG_GMEM */

#ifdef CONFIG_EVENTFD
__rust_helper void rust_helper_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx);
}
#endif

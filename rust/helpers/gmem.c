// SPDX-License-Identifier: GPL-2.0

/* What rust/kernel/gmem/soft/ needs of the C inline functions and macros. */

#ifdef CONFIG_GMEM

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/string.h>

/*
 * Memory that a device shares with other processors changes under the reader.
 * These accesses are made here, by C's rules, so that Rust never holds a
 * reference to such bytes.
 */
__rust_helper void rust_helper_memcpy_shared(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
}

__rust_helper void rust_helper_memset_shared(void *dst, int byte, size_t len)
{
	memset(dst, byte, len);
}

__rust_helper void rust_helper_copy_page_shared(void *dst, void *src)
{
	copy_page(dst, src);
}

/* GMEM needs a 64-bit kernel: all of the host's memory is in the direct map. */
__rust_helper void *rust_helper_phys_to_virt(phys_addr_t addr)
{
	return phys_to_virt(addr);
}

#endif /* CONFIG_GMEM */

/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_GMEM_H
#define _UAPI_LINUX_GMEM_H

/*
 * Behaviours of hmadvise(2):
 *
 *   long hmadvise(int hnid, unsigned long start, size_t len, int behavior);
 *
 * MADV_DONTNEED (4, <asm/mman.h>) is accepted too.
 */
#define MADV_PREFETCH		0x1000	/* move the range to the node, map it there */
#define MADV_PINNED		0x1001	/* reserve the node's room for the range */
#define MADV_UNPINNED		0x1002
#define MADV_PREFERRED_NODE	0x1003	/* where faults place the range */
#define MADV_NO_PREFERRED_NODE	0x1004
#define MADV_READ_MOSTLY	0x1005	/* duplicate instead of move */
#define MADV_NO_READ_MOSTLY	0x1006
#define MADV_ACCESSED_BY	0x1007	/* map remotely instead of move */
#define MADV_NO_ACCESSED_BY	0x1008

#endif /* _UAPI_LINUX_GMEM_H */

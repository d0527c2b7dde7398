/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the GMEM tests share: buffers, the NPUs and their jobs, and the ways to
 * see where a page is and to make the kernel fail.
 *
 * Functions that return int return 0 (or a count) or a negative errno. Failures
 * that no test expects end the calling process with KSFT_FAIL and a message.
 */
#ifndef GMEM_UTIL_H
#define GMEM_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/gmem.h>
#include <drm/npu_stub.h>

#ifndef __NR_hmadvise
#define __NR_hmadvise 472
#endif
#ifndef MAP_PEER_SHARED
#define MAP_PEER_SHARED 0x200000
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define KiB	1024UL
#define MiB	(1024UL * KiB)
#define BLOCK	(2 * MiB)	/* GMEM's largest unit of placement */
#define HOME	0		/* the CPU's node */

/* Parameters of npu_stub that a test may ask for; 0 means the default. */
struct npu_config {
	int count;
	int mem_mib;
	bool no_faults;
	int max_jobs;
	int max_cmds;
};

size_t page_size(void);
bool test_small(void);			/* GMEM_TEST_SMALL=1: smaller counts */
int scaled(int normal, int small);
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t now_ms(void);
void sleep_ms(unsigned int ms);

/* Run the tests of a program: skip without GMEM, load npu_stub, restore it. */
int gmem_main(int argc, char **argv, int (*run)(int, char **));
#define GMEM_TEST_MAIN							\
	int main(int argc, char **argv)					\
	{								\
		return gmem_main(argc, argv, test_harness_run);		\
	}

/* Memory. A buffer of BLOCK or more is aligned to BLOCK. */
long hmadvise(int hnid, const void *start, size_t len, int behavior);
void *buf_alloc(size_t len);
void *buf_alloc_flags(size_t len, int flags);
void buf_fill(void *buf, size_t len, uint32_t seed);	/* a pattern */
bool buf_check(const void *buf, size_t len, uint32_t seed);
bool buf_is(const void *buf, size_t len, uint8_t byte);
size_t pages_on_device(const void *buf, size_t len);
size_t pages_swapped(const void *buf, size_t len);	/* to a swap file */
bool on_device(const void *buf, size_t len);		/* every page */

/* The module. npu_require() reloads it unless it already looks as asked. */
int npu_load(const struct npu_config *config);
int npu_unload(void);
void npu_require(const struct npu_config *config);
uint64_t npu_default_mem(void);

/* One NPU. */
int npu_node(int index, char *path, size_t size);
int npu_try_open(int index);
int npu_open(int index);
struct npu_info npu_info(int fd);
bool npu_wait_free(int fd, uint64_t free, unsigned int ms);
long long npu_stat(int index, const char *key);	/* debugfs; -1: no such */
int npu_submit(int fd, const struct npu_cmd *cmds, unsigned int nr, int eventfd,
	       uint64_t *job);
int npu_wait(int fd, uint64_t job, int timeout_ms, struct npu_wait *result);
int npu_run(int fd, const struct npu_cmd *cmds, unsigned int nr);
int npu_run_result(int fd, const struct npu_cmd *cmds, unsigned int nr,
		   struct npu_wait *result);
bool npu_busy(int fd);				/* a job of this file in flight */
int to_device(int fd, const void *buf, size_t len);	/* MADV_PREFETCH */
int to_home(const void *buf, size_t len);

/* Files of the kernel. */
int file_write(const char *path, const char *text);
int file_read(const char *path, char *text, size_t size);
long long file_find(const char *path, const char *key);	/* "key[:] N", or -1 */
#define vmstat(key) file_find("/proc/vmstat", key)
bool smaps_has_flag(const void *addr, const char *flag);

/* Fault injection: /sys/kernel/debug/NAME. */
int fail_start(const char *name, int probability, int times);
int fail_nth(const char *name, unsigned int nth);	/* that call, once */
int fail_stop(const char *name);		/* how often it failed */

/* Two processes taking turns. */
struct baton {
	int fd[2];
};
void baton_make(struct baton *baton);
void baton_pass(struct baton *baton);
void baton_take(struct baton *baton);
int child_result(pid_t pid, unsigned int ms);	/* exit code; -signal; -ETIME */

static inline struct npu_cmd cmd_fill(void *dst, uint8_t byte, uint64_t len)
{
	return (struct npu_cmd){ .op = NPU_OP_FILL, .dst = (uintptr_t)dst,
				 .len = len, .arg = { byte } };
}

static inline struct npu_cmd cmd_copy(void *dst, const void *src, uint64_t len)
{
	return (struct npu_cmd){ .op = NPU_OP_COPY, .dst = (uintptr_t)dst,
				 .src0 = (uintptr_t)src, .len = len };
}

static inline struct npu_cmd cmd_vadd(uint32_t *dst, const uint32_t *a,
				      const uint32_t *b, uint64_t len)
{
	return (struct npu_cmd){ .op = NPU_OP_VADD, .dst = (uintptr_t)dst,
				 .src0 = (uintptr_t)a, .src1 = (uintptr_t)b,
				 .len = len };
}

static inline struct npu_cmd cmd_gemm(int8_t *dst, const int8_t *a,
				      const int8_t *b, uint64_t m, uint64_t n,
				      uint64_t k, uint64_t shift)
{
	return (struct npu_cmd){ .op = NPU_OP_GEMM, .dst = (uintptr_t)dst,
				 .src0 = (uintptr_t)a, .src1 = (uintptr_t)b,
				 .arg = { m | n << 16 | k << 32 | shift << 48 } };
}

static inline struct npu_cmd cmd_gather(uint32_t *dst, const uint32_t *src,
					const uint32_t *index, uint64_t len,
					uint64_t elements)
{
	return (struct npu_cmd){ .op = NPU_OP_GATHER, .dst = (uintptr_t)dst,
				 .src0 = (uintptr_t)src,
				 .src1 = (uintptr_t)index, .len = len,
				 .arg = { elements } };
}

static inline struct npu_cmd cmd_histogram(uint64_t *dst, const void *src,
					   uint64_t len)
{
	return (struct npu_cmd){ .op = NPU_OP_HISTOGRAM, .dst = (uintptr_t)dst,
				 .src0 = (uintptr_t)src, .len = len };
}

static inline struct npu_cmd cmd_add(uint64_t *dst, uint64_t value,
				     uint64_t times)
{
	return (struct npu_cmd){ .op = NPU_OP_ATOMIC_ADD, .dst = (uintptr_t)dst,
				 .arg = { value, times } };
}

static inline struct npu_cmd cmd_read(const void *src, uint64_t len)
{
	return (struct npu_cmd){ .op = NPU_OP_READ, .src0 = (uintptr_t)src,
				 .len = len };
}

static inline struct npu_cmd cmd_nop(uint64_t usec)
{
	return (struct npu_cmd){ .op = NPU_OP_NOP, .arg = { usec } };
}

static inline int npu_run1(int fd, struct npu_cmd cmd)
{
	return npu_run(fd, &cmd, 1);
}

/* Submit one command, or several, and go on; 0 is no job. */
static inline uint64_t npu_start(int fd, const struct npu_cmd *cmds,
				 unsigned int nr)
{
	uint64_t job = 0;

	return npu_submit(fd, cmds, nr, -1, &job) ? 0 : job;
}

#endif /* GMEM_UTIL_H */

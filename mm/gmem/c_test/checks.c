// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test of the C interface of GMEM.
 *
 * Loading the module runs the checks in the address space of the loading
 * process, with one line in the log for each, and fails when one of them does.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device/faux.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "toy.h"

struct test {
	struct toy *toy;
	struct gm_dev *dev;
	struct toy_client client;
	unsigned int nr_checks;
	unsigned int nr_failed;
};

/* The CPU's side of the test. */

static unsigned long area_new(size_t len, unsigned long prot, unsigned long flags)
{
	return vm_mmap(NULL, 0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, 0);
}

static bool cpu_store(unsigned long va, u64 value)
{
	return !copy_to_user((void __user *)va, &value, sizeof(value));
}

static bool cpu_sees(unsigned long va, u64 value)
{
	u64 got;

	return !copy_from_user(&got, (void __user *)va, sizeof(got)) && got == value;
}

static struct gm_dev_stats stats(struct test *test)
{
	struct gm_dev_stats stats;

	gm_dev_get_stats(test->dev, &stats);
	return stats;
}

static int dev_read(struct test *test, u64 va, u64 *value)
{
	return toy_access(&test->client, va, value, sizeof(*value), GM_ACCESS_READ);
}

static int dev_write(struct test *test, u64 va, u64 value)
{
	return toy_access(&test->client, va, &value, sizeof(value), GM_ACCESS_WRITE);
}

static void check(struct test *test, bool ok, const char *what)
{
	test->nr_checks++;
	test->nr_failed += !ok;
	pr_info("%s %u - %s\n", ok ? "ok" : "not ok", test->nr_checks, what);
}

/* The checks. */

static void check_descriptions(struct test *test, const struct gm_dev_desc *good)
{
	struct gm_mmu incomplete = *good->mmu;
	struct gm_dev_desc mmu = *good, caps = *good, pages = *good, reach = *good;
	struct gm_dev *dev;

	incomplete.copy_from_dev = NULL;
	mmu.mmu = &incomplete;
	caps.caps = GM_DEV_CAP_COHERENT;
	pages.pgsize_bitmap = SZ_2M;
	reach.va_start = good->va_end + 1;
	check(test, gm_dev_create(&mmu, &dev) == -EINVAL, "an incomplete gm_mmu is refused");
	check(test, gm_dev_create(&caps, &dev) == -EINVAL, "an unknown capability is refused");
	check(test, gm_dev_create(&pages, &dev) == -EINVAL, "no PAGE_SIZE is refused");
	check(test, gm_dev_create(&reach, &dev) == -EINVAL, "an empty reach is refused");
}

static void check_memory(struct test *test)
{
	struct gm_dev *dev = test->dev;

	check(test, gm_dev_hnid(dev) == -ENODEV, "no memory, no node");
	check(test, gm_dev_register_physmem(dev, SZ_1M, GM_MEMORY_PRIVATE) == -EINVAL,
	      "1 MiB of memory is refused");
	check(test, gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_COHERENT) == -EOPNOTSUPP,
	      "coherent memory is refused");
	check(test, gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_PRIVATE) == gm_dev_hnid(dev),
	      "4 MiB of memory become a node");
	check(test, gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_PRIVATE) == -EBUSY,
	      "memory is registered once");
	check(test, stats(test).mem_total == TOY_SIZE && stats(test).mem_free == TOY_SIZE,
	      "all of it is free");
}

static void check_moves(struct test *test)
{
	unsigned long va = area_new(SZ_1M, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);
	struct gm_dev_stats s;
	u64 got = 0;

	check(test, cpu_store(va, 1) && !dev_read(test, va, &got) && got == 1,
	      "the device reads what the CPU wrote");
	check(test, toy_maps_local(&test->client, va) && stats(test).to_dev >= PAGE_SIZE,
	      "the page moved to the device");
	check(test, !dev_write(test, va, 2) && toy_maps_local(&test->client, va),
	      "the device writes to its own memory");
	check(test, cpu_sees(va, 2) && !toy_maps_local(&test->client, va) &&
	      stats(test).from_dev >= PAGE_SIZE, "the CPU reads it, which brings the page home");
	check(test, cpu_store(va, 4) && !dev_read(test, va, &got) && got == 4,
	      "the device does not use the translation it had before");
	s = stats(test);
	check(test, !dev_read(test, va + SZ_512K, &got) && !got && stats(test).zeroed > s.zeroed,
	      "an untouched page is zero-filled on the device");
	vm_munmap(va, SZ_1M);
	check(test, stats(test).mem_free == TOY_SIZE, "munmap frees device memory");
}

static void check_errors(struct test *test)
{
	unsigned long ro = area_new(SZ_64K, PROT_READ, MAP_PEER_SHARED);
	unsigned long plain = area_new(SZ_64K, PROT_READ | PROT_WRITE, 0);
	u64 got = 1;

	check(test, !dev_read(test, ro, &got) && !got && dev_write(test, ro, 1) == -EFAULT,
	      "a write to a read-only area is -EFAULT, a read is not");
	check(test, dev_read(test, plain, &got) == -EFAULT, "memory that is not shared is -EFAULT");
	vm_munmap(ro, SZ_64K);
	vm_munmap(plain, SZ_64K);
	check(test, dev_read(test, ro, &got) == -EFAULT, "a hole is -EFAULT");
	check(test, dev_read(test, SZ_1T << 8, &got) == -EFAULT, "beyond the reach is -EFAULT");
}

static void check_eviction(struct test *test)
{
	unsigned long at, va = area_new(2 * TOY_SIZE, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);
	int err = 0, bad = 0;

	for (at = 0; at < 2 * TOY_SIZE && !err; at += PAGE_SIZE)
		err = dev_write(test, va + at, at);
	check(test, !err && stats(test).evicted >= TOY_SIZE, "twice its memory passes through");
	for (at = 0; at < 2 * TOY_SIZE; at += PAGE_SIZE)
		bad += !cpu_sees(va + at, at);
	check(test, !bad, "no byte of it is lost");
	vm_munmap(va, 2 * TOY_SIZE);
}

static void check_end(struct test *test)
{
	unsigned long va = area_new(SZ_64K, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);

	check(test, !dev_write(test, va, 3) && toy_maps_local(&test->client, va),
	      "data is on the device");
	toy_close(&test->client);
	check(test, !atomic_read(&test->toy->nr_pmaps), "detach ends the page table");
	check(test, !gm_dev_unregister_physmem(test->dev), "the memory can be taken back");
	check(test, cpu_sees(va, 3), "the data came home before");
	check(test, gm_dev_unregister_physmem(test->dev) == -ENODEV, "memory is taken back once");
	vm_munmap(va, SZ_64K);
}

/* Returns an error when the checks could not run to their end. */
static int run(struct test *test, struct device *parent)
{
	struct gm_dev_desc desc = toy_desc(test->toy, parent);
	int err;

	check_descriptions(test, &desc);
	err = gm_dev_create(&desc, &test->dev);
	check(test, !err, "a device is created");
	if (err)
		return err;
	check_memory(test);
	err = toy_open(&test->client, test->dev);
	check(test, !err, "the device is attached to the process");
	if (!err) {
		check_moves(test);
		check_errors(test);
		check_eviction(test);
		check_end(test);
	}
	gm_dev_destroy(test->dev);
	return err;
}

static int __init gmem_c_test_init(void)
{
	struct faux_device *parent;
	struct test test = {};
	int err = -ENOMEM;

	parent = faux_device_create(KBUILD_MODNAME, NULL, NULL);
	if (!parent)
		return err;
	test.toy = toy_new();
	if (test.toy) {
		err = run(&test, &parent->dev);
		pr_info("1..%u\n", test.nr_checks);
		if (!err && test.nr_failed)
			err = -EIO;
		toy_free(test.toy);
	}
	faux_device_destroy(parent);
	if (!err)
		pr_info("all checks passed\n");
	return err;
}
module_init(gmem_c_test_init);

static void __exit gmem_c_test_exit(void)
{
}
module_exit(gmem_c_test_exit);

MODULE_DESCRIPTION("Test of the C interface of GMEM");
MODULE_LICENSE("GPL");

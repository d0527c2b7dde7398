// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test of the C interface of GMEM.
 *
 * Loading the module runs the checks in the address space of the loading
 * process, with one line in the log for each, and fails when one of them does.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/device/faux.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
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

/*
 * The device loses entries that GMEM has a note of.  Where the guest's clock
 * counts instructions, "make bench" reads from the log what that costs, without
 * the driver's own part.
 */
static void check_refaults(struct test *test)
{
	unsigned long va = area_new(SZ_64K, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);
	u64 got, least = U64_MAX, own = U64_MAX, faults = 0;
	struct gm_dev_stats s;
	int err = 0;

	cpu_store(va, 7);
	dev_read(test, va, &got);
	s = stats(test);
	for (u64 at = va; at < va + SZ_64K && !err; at += PAGE_SIZE) {
		u64 start, bits;

		toy_lose(&test->client, at);
		start = ktime_get_ns();
		err = gm_dev_fault(test->client.ctx, at, PAGE_SIZE, GM_ACCESS_READ,
				   GM_FAULT_DEMAND);
		least = min(least, ktime_get_ns() - start);
		bits = toy_entry(&test->client, at);
		if (bits & GM_MAP_LOCAL)
			faults++;
		toy_lose(&test->client, at);
		start = ktime_get_ns();
		toy_enter(&test->client, at, bits);
		own = min(own, ktime_get_ns() - start);
	}
	pr_info("refault: %llu ns, of which the driver takes %llu\n", least, own);
	check(test, !err && faults == SZ_64K / PAGE_SIZE && stats(test).to_dev == s.to_dev,
	      "lost entries come back, and no page moves for it");
	check(test, !dev_read(test, va, &got) && got == 7, "with the same bytes");
	vm_munmap(va, SZ_64K);
}

static void check_errors(struct test *test)
{
	unsigned long ro = area_new(SZ_64K, PROT_READ, MAP_PEER_SHARED);
	unsigned long plain = area_new(SZ_64K, PROT_READ | PROT_WRITE, 0);
	unsigned long none = area_new(SZ_64K, PROT_NONE, MAP_PEER_SHARED);
	u64 got = 1;

	check(test, !dev_read(test, ro, &got) && !got && dev_write(test, ro, 1) == -EPERM,
	      "a write to a read-only area is -EPERM, a read is not");
	check(test, dev_read(test, none, &got) == -EPERM, "a read of a PROT_NONE area is -EPERM");
	check(test, dev_read(test, plain, &got) == -EFAULT, "memory that is not shared is -EFAULT");
	vm_munmap(ro, SZ_64K);
	vm_munmap(plain, SZ_64K);
	vm_munmap(none, SZ_64K);
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

/* A copy engine that broke. */
static int broken_copy(void *dev, const struct gm_copy *runs, u32 nr, u64 *fence)
{
	return -EIO;
}

static bool node_goes(int nid)
{
	for (int i = 0; i < 250 && node_online(nid); i++)
		msleep(20);
	return !node_online(nid);
}

/* A device that goes with data on it: with its functions, and with what they work on. */
static void check_lost(struct test *test, const struct gm_dev_desc *good, bool dead)
{
	unsigned long va = area_new(SZ_64K, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);
	struct gm_mmu *broken = kmemdup(good->mmu, sizeof(*broken), GFP_KERNEL);
	struct gm_dev_desc desc = *good;
	struct toy *toy = toy_new();
	struct gm_dev *dev = NULL;
	struct toy_client client;
	int nid = -1;
	u64 got;

	if (!broken || !toy)
		goto out;
	broken->copy_from_dev = broken_copy;
	desc.mmu = broken;
	desc.dev_data = toy;
	if (gm_dev_create(&desc, &dev))
		goto out;
	nid = gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_PRIVATE);
	if (toy_open(&client, dev))
		goto out;
	got = 4;
	check(test, !toy_access(&client, va, &got, sizeof(got), GM_ACCESS_WRITE) &&
	      toy_maps_local(&client, va), "data is on a device that breaks");
	if (dead) {
		gm_dev_dead(dev);
		check(test, gm_dev_hnid(dev) == -ENODEV, "a dead device has no memory");
		check(test, gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_PRIVATE) == -ENODEV,
		      "and gets none");
		check(test, gm_dev_fault(client.ctx, va, PAGE_SIZE, GM_ACCESS_READ,
					 GM_FAULT_DEMAND) == -ENODEV, "its faults get -ENODEV");
		check(test, gm_dev_unregister_physmem(dev) == -ENODEV,
		      "nothing can be taken back from it");
		check(test, !cpu_sees(va, 4) && !cpu_sees(va, 0), "the data is lost");
	} else {
		check(test, gm_dev_unregister_physmem(dev) == -EIO,
		      "data that does not come home keeps the memory");
		check(test, gm_dev_hnid(dev) == nid, "the device works on");
	}
	toy_close(&client);
	check(test, !atomic_read(&toy->nr_pmaps), "detach ends the page table of such a device");
out:
	gm_dev_destroy(dev);
	/* Nobody reads these any more. */
	if (broken)
		memset(broken, 0, sizeof(*broken));
	kfree(broken);
	if (toy)
		toy_free(toy);
	check(test, nid >= 0 && node_online(nid), "the node of a lost page stays");
	check(test, !cpu_sees(va, 4) && !cpu_sees(va, 0), "a lost page is not readable");
	check(test, !cpu_store(va, 5), "nor writable");
	vm_munmap(va, SZ_64K);
	check(test, nid >= 0 && node_goes(nid), "the node goes after the last lost page");
}

/* A device whose addresses end in the middle of what else would come at once. */
static void check_reach(struct test *test, const struct gm_dev_desc *good)
{
	unsigned long area = area_new(2 * SZ_64K, PROT_READ | PROT_WRITE, MAP_PEER_SHARED);
	unsigned long va = ALIGN(area, SZ_64K);
	struct gm_dev_desc desc = *good;
	struct toy *toy = toy_new();
	struct gm_dev *dev = NULL;
	struct toy_client client;
	u64 got;

	desc.va_end = va + SZ_64K / 2;
	desc.dev_data = toy;
	if (toy && !gm_dev_create(&desc, &dev) && !toy_open(&client, dev)) {
		gm_dev_register_physmem(dev, TOY_SIZE, GM_MEMORY_PRIVATE);
		for (unsigned long at = va; at < va + SZ_64K; at += PAGE_SIZE)
			cpu_store(at, 8);
		check(test, !toy_access(&client, va, &got, sizeof(got), GM_ACCESS_READ) &&
		      got == 8 && toy_maps_local(&client, desc.va_end - PAGE_SIZE),
		      "what is around a page comes with it");
		check(test, !toy_entry(&client, desc.va_end) &&
		      toy_access(&client, desc.va_end, &got, sizeof(got),
				 GM_ACCESS_READ) == -EFAULT,
		      "as far as the device reaches");
		toy_close(&client);
	} else {
		check(test, false, "a device with a short reach is attached");
	}
	gm_dev_destroy(dev);
	if (toy)
		toy_free(toy);
	vm_munmap(area, 2 * SZ_64K);
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
		check_refaults(test);
		check_errors(test);
		check_eviction(test);
		check_end(test);
	}
	gm_dev_destroy(test->dev);
	check_reach(test, &desc);
	check_lost(test, &desc, false);
	check_lost(test, &desc, true);
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

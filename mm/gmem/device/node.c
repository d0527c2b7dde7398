// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nodes of device memory: their ids, and what makes a node of an id.
 */
#define pr_fmt(fmt) "gmem: " fmt

#include <linux/device.h>
#include <linux/gmem.h>
#include <linux/gmem_core.h>
#include <linux/gmem_numa.h>
#include <linux/init.h>
#include <linux/cpuset.h>
#include <linux/kstrtox.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/node.h>
#include <linux/sysfs.h>

/*
 * None, unless the kernel or its command line asks: who has no device does not pay
 * for nodes that are merely possible.
 */
static unsigned int nr_wanted __initdata = CONFIG_GMEM_NODES;
static nodemask_t reserved __ro_after_init;

static int __init gmem_nodes_setup(char *arg)
{
	return kstrtouint(arg, 0, &nr_wanted);
}
early_param("gmem.nodes", gmem_nodes_setup);

/*
 * Add ids behind those of the firmware's nodes.  Not to numa_nodes_parsed: some
 * architectures bring those online.
 *
 * Called more than once, before the ids are counted.
 */
void __init gmem_reserve_nodes(void)
{
	unsigned int nid = find_last_bit(node_possible_map.bits, MAX_NUMNODES) + 1;

	if (!gmem_enabled || !nodes_empty(reserved))
		return;
	for (; nr_wanted && nid < MAX_NUMNODES; nid++, nr_wanted--) {
		node_set(nid, reserved);
		node_set(nid, node_possible_map);
	}
}

/*
 * Bring a node of the reserve online: it has a directory in sysfs, and nothing
 * else.  Returns its id, -ENOSPC when all are taken, or -ENOMEM.
 */
int gmem_node_online(void)
{
	int nid, ret = -ENOSPC;

	lock_device_hotplug();
	for_each_node_mask(nid, reserved) {
		if (node_online(nid))
			continue;
		ret = try_online_node(nid);
		if (!ret)
			ret = nid;
		break;
	}
	unlock_device_hotplug();
	return ret;
}

/* Let cpusets have what changed. */
static void update_cpusets(void)
{
	cpus_read_lock();
	cpuset_update_active_cpus();
	cpus_read_unlock();
}

static ssize_t gmem_stat_show(struct device *node, struct device_attribute *attr,
			      char *buf)
{
	struct gm_dev_stats s = {};

	gmem_node_stats(node->id, &s);
	return sysfs_emit(buf,
			  "faults %llu\n"
			  "to_dev %llu\n"
			  "from_dev %llu\n"
			  "zeroed %llu\n"
			  "peer %llu\n"
			  "evicted %llu\n"
			  "invalidated %llu\n"
			  "remote %llu\n"
			  "duplicated %llu\n",
			  s.faults, s.to_dev, s.from_dev, s.zeroed, s.peer,
			  s.evicted, s.invalidated, s.remote, s.duplicated);
}
static DEVICE_ATTR_RO(gmem_stat);

/* The pages of the node are there: tell the world. */
void gmem_node_publish(int nid, struct device *dev,
		       unsigned int bandwidth, unsigned int latency)
{
	struct access_coordinate coord = {
		.read_bandwidth = bandwidth,
		.write_bandwidth = bandwidth,
		.read_latency = latency,
		.write_latency = latency,
	};
	struct device *node = &node_devices[nid]->dev;

	node_set_state(nid, N_HETEROGENEOUS);
	update_cpusets();
	if (bandwidth || latency)
		node_set_perf_attrs(nid, &coord, ACCESS_COORDINATE_LOCAL);
	if (dev && sysfs_create_link(&node->kobj, &dev->kobj, "device"))
		pr_warn("node %d has no link to its device\n", nid);
	if (device_create_file(node, &dev_attr_gmem_stat))
		pr_warn("node %d has no counters\n", nid);
	kobject_uevent(&node->kobj, KOBJ_CHANGE);
}

/* The pages of the node are about to go. */
void gmem_node_retract(int nid)
{
	node_clear_state(nid, N_HETEROGENEOUS);
	device_remove_file(&node_devices[nid]->dev, &dev_attr_gmem_stat);
	sysfs_remove_link(&node_devices[nid]->dev.kobj, "device");
	update_cpusets();
}

/* Give the id back.  The pages are gone. */
void gmem_node_offline(int nid)
{
	struct pglist_data *pgdat = NODE_DATA(nid);
	struct zone *zone = &pgdat->node_zones[ZONE_DEVICE];
	unsigned long flags;

	lock_device_hotplug();
	mem_hotplug_begin();
	/* The span of a device zone only ever grows, and a node that has one stays online. */
	pgdat_resize_lock(pgdat, &flags);
	zone_span_writelock(zone);
	zone->zone_start_pfn = 0;
	zone->spanned_pages = 0;
	zone_span_writeunlock(zone);
	pgdat->node_start_pfn = 0;
	pgdat->node_spanned_pages = 0;
	pgdat_resize_unlock(pgdat, &flags);
	try_offline_node(nid);
	mem_hotplug_done();
	unlock_device_hotplug();
}

/* The free and total pages of a node, if it is one of ours. */
void gmem_node_meminfo(int nid, unsigned long *total, unsigned long *free)
{
	if (gmem_is_hnode(nid))
		gmem_node_usage(nid, total, free);
}

/* May the current task use the node of a device? */
bool gmem_node_allowed(int nid)
{
	nodemask_t allowed = cpuset_hnodes_allowed(current);

	/* What is no node is in no cpuset either. */
	return nid >= MAX_NUMNODES || !gmem_is_hnode(nid) ||
	       node_isset(nid, allowed);
}

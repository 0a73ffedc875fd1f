// SPDX-License-Identifier: MIT OR Apache-2.0
/* Mappings of BARs. A BAR may be unmapped at any level: where iounmap cannot run, the work item of late.c does it. */
#include <linux/io.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include "kp.h"

#ifdef KP_IOMAP

struct kp_mapping {
	struct llist_node late;
	struct list_head all;
	void __iomem *base;
};

static LIST_HEAD(mappings);
static DEFINE_RAW_SPINLOCK(mappings_lock);
static LLIST_HEAD(late_unmaps);

static void kp_unmap_now(struct kp_mapping *mapping)
{
	iounmap(mapping->base);
	kfree(mapping);
	atomic_dec(&kp_live.mappings);
}

void kp_unmap_late(void)
{
	struct kp_mapping *mapping, *after;

	llist_for_each_entry_safe(mapping, after, llist_del_all(&late_unmaps), late)
		kp_unmap_now(mapping);
}

unsigned long kp_c_map(struct kp_device *device, u32 bar, size_t offset, size_t len, bool combine)
{
	resource_size_t start;
	struct kp_mapping *mapping;
	unsigned long flags;

	if (!device)
		return 0;
	mapping = kmalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return 0;
	start = pci_resource_start(device->pci, bar) + offset;
	mapping->base = combine ? ioremap_wc(start, len) : ioremap(start, len);
	if (!mapping->base) {
		kfree(mapping);
		return 0;
	}
	raw_spin_lock_irqsave(&mappings_lock, flags);
	list_add(&mapping->all, &mappings);
	raw_spin_unlock_irqrestore(&mappings_lock, flags);
	atomic_inc(&kp_live.mappings);
	return (unsigned long)mapping->base;
}

void kp_c_unmap(unsigned long base)
{
	struct kp_mapping *mapping, *found = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&mappings_lock, flags);
	list_for_each_entry(mapping, &mappings, all) {
		if ((unsigned long)mapping->base == base) {
			found = mapping;
			list_del(&mapping->all);
			break;
		}
	}
	raw_spin_unlock_irqrestore(&mappings_lock, flags);
	if (WARN_ON(!found))
		return;
	if (kp_may_free()) {
		kp_unmap_now(found);
	} else {
		llist_add(&found->late, &late_unmaps);
		kp_queue_late();
	}
}

#endif

// SPDX-License-Identifier: MIT OR Apache-2.0
/* Work items of a plugin's. */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "kp.h"

#ifdef KP_CALLS_kp_c_work_item_new

struct kp_work_item {
	struct work_struct work;
	const void *cookie;
};

/*
 * A queue of its own: for any CPU, since work may last, and a real-time thread may keep one for itself; and frozen as apps are, so that no
 * work is under way when the device is suspended.
 */
static struct workqueue_struct *work_queue;

int kp_work_start(void)
{
	work_queue = alloc_workqueue("%s", WQ_UNBOUND | WQ_FREEZABLE, 0, KBUILD_MODNAME);
	return work_queue ? 0 : -ENOMEM;
}

/* It waits for all work; and work that has panicked never ends. */
void kp_work_stop(void)
{
	if (!READ_ONCE(kp_rs_poisoned))
		destroy_workqueue(work_queue);
}

static void kp_work(struct work_struct *work)
{
	kp_rs_work(container_of(work, struct kp_work_item, work)->cookie);
}

void *kp_c_work_item_new(const void *cookie)
{
	struct kp_work_item *item = kmalloc(sizeof(*item), GFP_KERNEL_ACCOUNT);

	if (!item)
		return NULL;
	INIT_WORK(&item->work, kp_work);
	item->cookie = cookie;
	atomic_inc(&kp_live.allocations);
	return item;
}

void kp_c_work_item_free(void *item)
{
	cancel_work_sync(&((struct kp_work_item *)item)->work);
	atomic_dec(&kp_live.allocations);
	kfree(item);
}

void kp_c_work_item_queue(void *item)
{
	queue_work(work_queue, &((struct kp_work_item *)item)->work);
}

#elif defined(KP_CALLS_kp_c_work_item_free)

/* The plugin has timers alone: it makes no item, but what ends a device's timers would end its items too. */
void kp_c_work_item_free(void *item)
{
}

void kp_c_work_item_queue(void *item)
{
}

#endif

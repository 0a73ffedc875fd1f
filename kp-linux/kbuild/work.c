// SPDX-License-Identifier: MIT OR Apache-2.0
/* Work items of a plugin's. */
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "kp.h"

#ifdef KP_CALLS_kp_c_work_item_new

struct kp_work_item {
	struct work_struct work;
	const void *cookie;
	/* Who runs it. 0: nobody. */
	u32 task;
	struct list_head all;
};

static LIST_HEAD(items);
static DEFINE_MUTEX(items_lock);

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

/*
 * The plugin has panicked, and the module goes: work that lives ends first. None begins any more, and its sleeps have ended. Items come and
 * go with devices, of which none does either now.
 */
void kp_work_settle(void)
{
	struct kp_work_item *item;

	list_for_each_entry(item, &items, all)
		while (work_busy(&item->work) && !kp_c_is_dead(READ_ONCE(item->task)))
			msleep(20);
}

static void kp_work(struct work_struct *work)
{
	struct kp_work_item *item = container_of(work, struct kp_work_item, work);

	WRITE_ONCE(item->task, kp_c_task());
	kp_rs_work(item->cookie);
	WRITE_ONCE(item->task, 0);
}

void *kp_c_work_item_new(const void *cookie)
{
	struct kp_work_item *item = kmalloc(sizeof(*item), GFP_KERNEL_ACCOUNT);

	if (!item)
		return NULL;
	INIT_WORK(&item->work, kp_work);
	item->cookie = cookie;
	item->task = 0;
	mutex_lock(&items_lock);
	list_add(&item->all, &items);
	mutex_unlock(&items_lock);
	atomic_inc(&kp_live.allocations);
	return item;
}

void kp_c_work_item_free(void *raw)
{
	struct kp_work_item *item = raw;

	cancel_work_sync(&item->work);
	mutex_lock(&items_lock);
	list_del(&item->all);
	mutex_unlock(&items_lock);
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

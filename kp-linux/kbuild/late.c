// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * One work item for what the Rust side may ask for at any level and the kernel cannot do at each: freeing memory, locks and wait queues,
 * unmapping BARs and pages, and waking all sleepers after a panic. What is to be freed waits in a lock-free list, whose nodes are the freed memory
 * itself.
 */
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/workqueue.h>
#include "kp.h"

static LLIST_HEAD(late_frees);

static void kp_late(struct work_struct *work)
{
	struct llist_node *node, *next;

	if (READ_ONCE(kp_rs_poisoned))
		kp_wake_all();
	llist_for_each_safe(node, next, llist_del_all(&late_frees))
		kvfree(node);
	kp_free_late_wait_queues();
	kp_unmap_late();
	kp_coherent_late();
	kp_dma_unmap_late();
	kp_pages_late();
}
static DECLARE_WORK(late_work, kp_late);

/* For any CPU, not the caller's: kp_flush_late waits for it, and a real-time thread may keep a CPU for itself. */
void kp_queue_late(void)
{
	queue_work(system_unbound_wq, &late_work);
}

void kp_flush_late(void)
{
	flush_work(&late_work);
}

void kp_free_anywhere(void *memory)
{
	if (kp_may_free()) {
		kvfree(memory);
		return;
	}
	llist_add(memory, &late_frees);
	kp_queue_late();
}

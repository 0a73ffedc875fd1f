// SPDX-License-Identifier: MIT OR Apache-2.0
/* Wait queues. All are in one list, so that a panic wakes every sleeper. */
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>
#include "kp.h"

/* A sleeper that the freezer may leave asleep; older kernels have no such state. */
#ifndef TASK_FREEZABLE
#define TASK_FREEZABLE 0
#endif

struct kp_wait_queue {
	wait_queue_head_t queue; /* first: poll(2) waits on it */
	struct list_head all;
	struct llist_node late; /* freed where it could not be taken out of the list of all */
};

static LIST_HEAD(wait_queues);
static DEFINE_SPINLOCK(wait_queues_lock);
static LLIST_HEAD(late_wait_queues);

void *kp_c_wait_queue_new(void)
{
	struct kp_wait_queue *waitq = kmalloc(sizeof(*waitq), GFP_KERNEL_ACCOUNT);

	if (!waitq)
		return NULL;
	init_waitqueue_head(&waitq->queue);
	spin_lock(&wait_queues_lock);
	list_add(&waitq->all, &wait_queues);
	spin_unlock(&wait_queues_lock);
	atomic_inc(&kp_live.locks);
	return waitq;
}

static void kp_wait_queue_release(struct kp_wait_queue *waitq)
{
	spin_lock(&wait_queues_lock);
	list_del(&waitq->all);
	spin_unlock(&wait_queues_lock);
	kfree(waitq);
}

void kp_c_wait_queue_free(void *queue)
{
	struct kp_wait_queue *waitq = queue;

	atomic_dec(&kp_live.locks);
	if (kp_may_free()) {
		kp_wait_queue_release(waitq);
		return;
	}
	llist_add(&waitq->late, &late_wait_queues);
	kp_queue_late();
}

void kp_free_late_wait_queues(void)
{
	struct kp_wait_queue *waitq, *next;

	llist_for_each_entry_safe(waitq, next, llist_del_all(&late_wait_queues), late)
		kp_wait_queue_release(waitq);
}

void kp_wake_all(void)
{
	struct kp_wait_queue *waitq;

	spin_lock(&wait_queues_lock);
	list_for_each_entry(waitq, &wait_queues, all)
		wake_up_all(&waitq->queue);
	spin_unlock(&wait_queues_lock);
}

static bool kp_is_over(const u32 *word, u32 seen, u32 kind, u64 ns)
{
	/* Acquire: has what was written before the word changed. */
	if (smp_load_acquire(word) != seen)
		return true;
	/* A panic ends all but a tear-down's waits that have a limit. */
	return unlikely(READ_ONCE(kp_rs_poisoned)) && (kind != KP_WAIT_UNINTERRUPTIBLE || ns == U64_MAX);
}

static const unsigned int kp_wait_states[] = {
	/* Not to be frozen: a removal waits so, with the device's lock, which a resume takes before any task thaws. */
	[KP_WAIT_UNINTERRUPTIBLE] = TASK_UNINTERRUPTIBLE,
	/* Nor is this: a removal waits for the calls in the plugin. */
	[KP_WAIT_KILLABLE] = TASK_KILLABLE,
	[KP_WAIT_INTERRUPTIBLE] = TASK_INTERRUPTIBLE | TASK_FREEZABLE,
};

/* From here on a coarse limit is one of the timer wheel, as of wait_event_timeout: with a tick of 10 ms one of a tenth would be late by a third. */
#define KP_COARSE_NS (100 * NSEC_PER_MSEC)

u32 kp_c_wait_queue_wait(void *queue, const u32 *word, u32 seen, u64 ns, u32 kind, bool coarse)
{
	bool ends = ns < KTIME_MAX, is_late = false;
	struct kp_wait_queue *waitq = queue;
	long interrupted, ticks = 0;
	DEFINE_WAIT(entry);
	ktime_t until = 0;

	/* A timer costs as much as half of a wake-up; and an exact one as much again, with the clock that it is set by. */
	if (ends) {
		if (coarse && ns >= KP_COARSE_NS)
			ticks = div_u64(ns, TICK_NSEC) + 1;
		else
			until = ktime_add_safe(ktime_get(), ns_to_ktime(ns));
	}
	for (;;) {
		interrupted = prepare_to_wait_event(&waitq->queue, &entry, kp_wait_states[kind]);
		if (kp_is_over(word, seen, kind, ns)) {
			finish_wait(&waitq->queue, &entry);
			return KP_WOKEN_CHANGED;
		}
		if (interrupted)
			return KP_WOKEN_INTERRUPTED;
		if (is_late) {
			finish_wait(&waitq->queue, &entry);
			return KP_WOKEN_TIMEOUT;
		}
		if (ticks) {
			ticks = schedule_timeout(ticks);
			is_late = !ticks;
		} else if (ends) {
			is_late = !schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
		} else {
			schedule();
		}
		/* Who woke us has taken the entry off the queue: nothing to do with its lock. */
		if (kp_is_over(word, seen, kind, ns)) {
			finish_wait(&waitq->queue, &entry);
			return KP_WOKEN_CHANGED;
		}
	}
}

void kp_c_wait_queue_wake(void *queue)
{
	wake_up_all(&((struct kp_wait_queue *)queue)->queue);
}

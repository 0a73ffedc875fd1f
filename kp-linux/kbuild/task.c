// SPDX-License-Identifier: MIT OR Apache-2.0
/* The calling task: who it is, what is asked of it between the messages of a batch, and its record when it panics. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/freezer.h>
#include <linux/llist.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include "kp.h"

/* Reading one word between messages is less than a call; kp_c_cond_resched then looks properly. */
const unsigned long *kp_c_task_flags(unsigned long *mask)
{
	*mask = _TIF_NEED_RESCHED | _TIF_SIGPENDING;
#ifdef _TIF_NEED_RESCHED_LAZY
	*mask |= _TIF_NEED_RESCHED_LAZY;
#endif
	return &current_thread_info()->flags;
}

bool kp_c_cond_resched(void)
{
	if (unlikely(need_resched()))
		cond_resched();
	try_to_freeze(); /* a batch may last longer than the freezer waits */
	return fatal_signal_pending(current);
}

/* A task that panicked in plugin code. None is taken out before the module goes. */
struct kp_dead {
	struct llist_node next;
	struct task_struct *task;
};

static LLIST_HEAD(dead_tasks);

u32 kp_c_task(void)
{
	return task_pid_nr(current);
}

bool kp_c_is_dead(u32 task)
{
	struct kp_dead *dead;

	if (!task)
		return false;
	llist_for_each_entry(dead, READ_ONCE(dead_tasks.first), next)
		if (task_pid_nr(dead->task) == task)
			return true;
	return false;
}

#ifdef KP_CALLS_kp_c_panic
/* For those who panic where nothing can be allocated, and for the first ones anyhow. */
static struct kp_dead dead_reserve[64];
static atomic_t dead_reserved = ATOMIC_INIT(0);

static struct kp_dead *kp_dead_new(void)
{
	int at = atomic_fetch_add_unless(&dead_reserved, 1, ARRAY_SIZE(dead_reserve));

	if (at < ARRAY_SIZE(dead_reserve))
		return &dead_reserve[at];
	return kp_may_free() ? kmalloc(sizeof(struct kp_dead), GFP_ATOMIC | __GFP_NOWARN) : NULL;
}

static bool kp_is_reserve(struct kp_dead *dead)
{
	return dead >= dead_reserve && dead < dead_reserve + ARRAY_SIZE(dead_reserve);
}

void kp_forget_dead(void)
{
	struct kp_dead *dead, *after;

	llist_for_each_entry_safe(dead, after, llist_del_all(&dead_tasks), next) {
		put_task_struct(dead->task);
		if (!kp_is_reserve(dead))
			kfree(dead);
	}
}

/* Without room for a record, the task's robust mutexes stay locked: others wait for them until they are killed. */
void kp_c_panic(const char *text, size_t len)
{
	struct kp_dead *dead = kp_dead_new();

	if (dead) {
		/*
		 * A mutex that it holds names it as its owner forever. Calls that are inside already may still ask for that mutex, and the
		 * kernel then looks at the owner: whether it runs, and with real-time mutexes at who waits for it. So its struct stays.
		 */
		dead->task = get_task_struct(current);
		llist_add(&dead->next, &dead_tasks);
	}
	pr_emerg("%.*s\n", (int)len, text);
	kp_queue_late();
}
#endif

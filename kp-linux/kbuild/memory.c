// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Memory, wait queues, mappings, log and time. Everything made here is counted, and the counts are printed at unload.
 *
 * Free, lock_free and unmap are legal at any level. Where the kernel is in no position to do them, they go to a lock-free list
 * that a work item empties: the freed memory itself is the list's node. The same work item wakes everybody after a panic, which
 * too may come at any level.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/llist.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "kp.h"
#include "kp_plugin.h"

static atomic_t live_allocations = ATOMIC_INIT(0);
static atomic_t live_locks = ATOMIC_INIT(0);
static atomic_t live_mappings = ATOMIC_INIT(0);

void *kp_c_alloc(size_t size, size_t align);
void kp_c_free(void *memory);
void kp_c_log(const char *text, size_t len);
void kp_c_panic(const char *text, size_t len);
u32 kp_c_task(void);
bool kp_c_is_dead(u32 task);
u64 kp_c_now(void);
void kp_c_stall(u32 us);
void kp_c_sleep(u64 ns);
void *kp_c_wait_queue_new(void);
void kp_c_wait_queue_free(void *waitq);
u32 kp_c_wait_queue_wait(void *waitq, const u32 *word, u32 seen, u64 ns, u32 kind);
void kp_c_wait_queue_wake(void *waitq);
unsigned long kp_c_map(struct kp_device *device, u32 bar, size_t len);
void kp_c_unmap(unsigned long base);

/* ---- what cannot be freed here and now ---- */

static LLIST_HEAD(late_frees);
#if defined(KP_CALLS_kp_c_map) || defined(KP_CALLS_kp_c_unmap)
static LLIST_HEAD(late_unmaps);

struct kp_mapping {
	struct llist_node late;
	struct list_head all;
	void __iomem *base;
};

static void kp_unmap_now(struct kp_mapping *mapping)
{
	iounmap(mapping->base);
	kfree(mapping);
	atomic_dec(&live_mappings);
}

static void kp_unmap_late(void)
{
	struct kp_mapping *mapping, *after;

	llist_for_each_entry_safe(mapping, after, llist_del_all(&late_unmaps), late)
		kp_unmap_now(mapping);
}
#else
static void kp_unmap_late(void)
{
}
#endif

static void kp_wake_all(void);

static void kp_late(struct work_struct *work)
{
	struct llist_node *node, *next;

	if (READ_ONCE(kp_rs_poisoned))
		kp_wake_all();
	llist_for_each_safe(node, next, llist_del_all(&late_frees))
		kvfree(node);
	kp_unmap_late();
}
/* Always queued for any CPU: whoever frees, wherever a real-time thread runs, kp_flush_late waits for it. */
static DECLARE_WORK(late_work, kp_late);

/* May vfree and iounmap run here? */
static bool kp_may_free(void)
{
	return !irqs_disabled() && !in_interrupt();
}

void kp_flush_late(void)
{
	flush_work(&late_work);
}

void kp_count_allocation(int change)
{
	atomic_add(change, &live_allocations);
}

void kp_count_lock(int change)
{
	atomic_add(change, &live_locks);
}

void kp_report_live(void)
{
	pr_info("unloaded; live: %d allocations, %d locks, %d mappings\n", atomic_read(&live_allocations),
		atomic_read(&live_locks), atomic_read(&live_mappings));
}

void kp_free_anywhere(void *memory)
{
	if (kp_may_free()) {
		kvfree(memory);
		return;
	}
	llist_add(memory, &late_frees);
	queue_work(system_unbound_wq, &late_work);
}

/* ---- memory ---- */

void *kp_c_alloc(size_t size, size_t align)
{
	void *memory;

	if (align > PAGE_SIZE || size > INT_MAX)
		return NULL;
	/* kmalloc gives powers of two their own alignment, and kvmalloc whole pages. */
	if (align > ARCH_KMALLOC_MINALIGN)
		size = roundup_pow_of_two(max(size, align));
	memory = kvmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (memory)
		atomic_inc(&live_allocations);
	return memory;
}

void kp_c_free(void *memory)
{
	atomic_dec(&live_allocations);
	kp_free_anywhere(memory);
}

/* ---- log ---- */

void kp_c_log(const char *text, size_t len)
{
	pr_info("%.*s\n", (int)len, text);
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

/* Where there is no room for its record, the task's turn is not given up: others wait for it until they are killed. */
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
	queue_work(system_unbound_wq, &late_work);
}
#else
void kp_forget_dead(void)
{
}
#endif

/* ---- time ---- */

/*
 * Not the fast clock for NMIs, which may step back while the timekeeper is updated: a difference of two of its times may be negative.
 * This one reads again then. It takes no lock, so it is right in an interrupt handler; nothing of a plugin runs in an NMI.
 */
u64 kp_c_now(void)
{
	return ktime_get_ns();
}

#ifdef KP_CALLS_kp_c_stall
void kp_c_stall(u32 us)
{
	udelay(us);
}
#endif

#ifdef KP_CALLS_kp_c_sleep
void kp_c_sleep(u64 ns)
{
	ktime_t until = ktime_add_ns(ktime_get(), ns);

	do {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
	} while (ktime_before(ktime_get(), until));
}
#endif

/* ---- wait queues ---- */

/* A sleeper that the freezer may leave asleep; older kernels have no such state. */
#ifndef TASK_FREEZABLE
#define TASK_FREEZABLE 0
#endif

struct kp_wait_queue {
	wait_queue_head_t queue; /* first: poll(2) waits on it */
	struct list_head all;
};

static LIST_HEAD(wait_queues);
static DEFINE_SPINLOCK(wait_queues_lock);

void *kp_c_wait_queue_new(void)
{
	struct kp_wait_queue *waitq = kmalloc(sizeof(*waitq), GFP_KERNEL_ACCOUNT);

	if (!waitq)
		return NULL;
	init_waitqueue_head(&waitq->queue);
	spin_lock(&wait_queues_lock);
	list_add(&waitq->all, &wait_queues);
	spin_unlock(&wait_queues_lock);
	atomic_inc(&live_locks);
	return waitq;
}

void kp_c_wait_queue_free(void *raw)
{
	struct kp_wait_queue *waitq = raw;

	spin_lock(&wait_queues_lock);
	list_del(&waitq->all);
	spin_unlock(&wait_queues_lock);
	atomic_dec(&live_locks);
	kfree(waitq);
}

static void kp_wake_all(void)
{
	struct kp_wait_queue *waitq;

	spin_lock(&wait_queues_lock);
	list_for_each_entry(waitq, &wait_queues, all)
		wake_up_all(&waitq->queue);
	spin_unlock(&wait_queues_lock);
}

static u32 kp_wait(struct kp_wait_queue *waitq, const u32 *word, u32 seen, u64 ns, unsigned int state, bool panic_ends)
{
	bool ends = ns < KTIME_MAX, is_late = false;
	wait_queue_entry_t entry;
	ktime_t until = 0;
	long interrupted;

	/* A timer costs as much as half of a wake-up. */
	if (ends)
		until = ktime_add_safe(ktime_get(), ns_to_ktime(ns));
	init_wait_entry(&entry, 0);
	for (;;) {
		interrupted = prepare_to_wait_event(&waitq->queue, &entry, state);
		if (smp_load_acquire(word) != seen || (panic_ends && READ_ONCE(kp_rs_poisoned))) {
			finish_wait(&waitq->queue, &entry);
			return 0;
		}
		if (interrupted)
			return 2;
		if (is_late) {
			finish_wait(&waitq->queue, &entry);
			return 1;
		}
		if (ends)
			is_late = !schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
		else
			schedule();
	}
}

u32 kp_c_wait_queue_wait(void *waitq, const u32 *word, u32 seen, u64 ns, u32 kind)
{
	switch (kind) {
	case 0:
		/* Not to be frozen: a removal waits so, with the device's lock, which a resume takes before anybody thaws. */
		return kp_wait(waitq, word, seen, ns, TASK_UNINTERRUPTIBLE, ns == U64_MAX);
	case 1:
		/* Nor is this: a removal waits for the calls in the plugin. */
		return kp_wait(waitq, word, seen, ns, TASK_KILLABLE, true);
	default:
		return kp_wait(waitq, word, seen, ns, TASK_INTERRUPTIBLE | TASK_FREEZABLE, true);
	}
}

void kp_c_wait_queue_wake(void *waitq)
{
	wake_up_all(&((struct kp_wait_queue *)waitq)->queue);
}

/* ---- mappings ---- */

#if defined(KP_CALLS_kp_c_map) || defined(KP_CALLS_kp_c_unmap)

static LIST_HEAD(mappings);
static DEFINE_RAW_SPINLOCK(mappings_lock);

unsigned long kp_c_map(struct kp_device *device, u32 bar, size_t len)
{
	struct kp_mapping *mapping;
	unsigned long flags;

	if (!device)
		return 0;
	mapping = kmalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return 0;
	mapping->base = ioremap(pci_resource_start(device->pci, bar), len);
	if (!mapping->base) {
		kfree(mapping);
		return 0;
	}
	raw_spin_lock_irqsave(&mappings_lock, flags);
	list_add(&mapping->all, &mappings);
	raw_spin_unlock_irqrestore(&mappings_lock, flags);
	atomic_inc(&live_mappings);
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
		queue_work(system_unbound_wq, &late_work);
	}
}

#endif

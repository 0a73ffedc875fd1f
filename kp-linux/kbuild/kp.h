/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the C glue share. What the glue and the Rust side call each other with is in kp_calls.h. */
#ifndef KP_H
#define KP_H

#include <linux/atomic.h>
#include <linux/interrupt.h>
#include <linux/irqflags.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/preempt.h>
#include <linux/types.h>
#include "kp_calls.h"
/*
 * Written by `cargo kp build` from the plugin: KP_NAME, KP_LICENSE, KP_VERSION, KP_DEVICES if it drives any, and KP_CALLS_<name> for each
 * function of kp_calls.h that this plugin's Rust half calls. A plugin that does not call a function has its code left out.
 */
#include "kp_plugin.h"

/*
 * A kernel for one processor has no spin locks, only levels. Safe code that takes one twice would have its data twice there; elsewhere it
 * hangs, and that is its author's to find.
 */
#ifndef CONFIG_SMP
#error "kp needs a kernel built for several processors (CONFIG_SMP)"
#endif

/* One interrupt vector. */
struct kp_vector {
	struct kp_device *device;
	u32 index;
	int irq;
	bool connected;
	bool hinted; /* the kernel points to the mask of a CPU for it */
	struct tasklet_struct tasklet;
};

/* One bound PCI device: what `device` is on the Rust side. */
struct kp_device {
	struct pci_dev *pci;
	struct kp_node *node;
	const void *cookie; /* of the connected interrupt */
	struct kp_vector *vectors;
	u32 count;
	u32 kind;
	bool master; /* asked for by the plugin */
	bool messages; /* the device sends them, which are transfers too */
	struct mutex command; /* held around changes of the PCI command register */
	struct kp_dma_mapping *spare; /* the memory of a mapping that is over, for the next one */
};

/* kp.c: the module is being unloaded. */
extern bool kp_exiting;

/* node.c: /dev/kp/<name>, for a bound device. Between start and stop. */
struct device;
struct kp_node;
int kp_nodes_start(void);
void kp_nodes_stop(void);
struct kp_node *kp_node_new(struct kp_bound_device *bound, struct device *parent, u64 address);
struct kp_bound_device *kp_node_bound(struct kp_node *node);
void kp_node_hide(struct kp_node *node);
bool kp_node_free(struct kp_node *node, bool present);

/* pci.c, or kp.c for a plugin without a device: what the module does when it is loaded and unloaded. */
int kp_start(void);
void kp_stop(void);

/*
 * irq.c: frees the vectors that a dead task has left, when the module is unloaded; and waits for handlers and tasklets that have begun, where
 * nobody connects or disconnects, and a handler that begins now does nothing.
 */
#ifdef KP_CALLS_kp_c_irq_prepare
void kp_irq_abandon(struct kp_device *device);
void kp_irq_quiesce(struct kp_device *device);
#else
static inline void kp_irq_quiesce(struct kp_device *device)
{
}

static inline void kp_irq_abandon(struct kp_device *device)
{
}
#endif

/* log.c: how many of each the Rust side has, for the line at unload. */
struct kp_live {
	atomic_t allocations;
	atomic_t locks;
	atomic_t mappings;
	atomic_t dma;    /* what was made for a device's own transfers */
	atomic_t pinned; /* buffers of apps */
};
extern struct kp_live kp_live;
void kp_report_live(void);

/* late.c: its work item, and what it does. */
void kp_queue_late(void);
void kp_flush_late(void);
/* At any level. */
void kp_free_anywhere(void *memory);
/* May vfree and iounmap run here? */
static __always_inline bool kp_may_free(void)
{
	return !irqs_disabled() && !in_interrupt();
}

/* iomap.c: unmaps what could not be unmapped where it was asked for. */
#if defined(KP_CALLS_kp_c_map) || defined(KP_CALLS_kp_c_unmap)
#define KP_IOMAP
void kp_unmap_late(void);
#else
static inline void kp_unmap_late(void)
{
}
#endif

/* dma.c and pages.c: free what could not be freed where it was asked for. */
#if defined(KP_CALLS_kp_c_coherent_alloc) || defined(KP_CALLS_kp_c_coherent_free)
#define KP_COHERENT
void kp_coherent_late(void);
#else
static inline void kp_coherent_late(void)
{
}
#endif
#if defined(KP_CALLS_kp_c_dma_map) || defined(KP_CALLS_kp_c_dma_unmap)
#define KP_DMA_MAP
void kp_dma_unmap_late(void);
#else
static inline void kp_dma_unmap_late(void)
{
}
#endif
#if defined(KP_CALLS_kp_c_pages_alloc) || defined(KP_CALLS_kp_c_pages_pin) || defined(KP_CALLS_kp_c_pages_free) || defined(KP_DMA_MAP)
#define KP_PAGES
void kp_pages_late(void);
#else
static inline void kp_pages_late(void)
{
}
#endif

/* wait.c: wakes every sleeper; frees what could not be freed where it was asked for. */
void kp_wake_all(void);
void kp_free_late_wait_queues(void);

/* work.c: the queue of the plugin's work items. Between start and stop. Settled: after a panic only tasks that are dead are inside. */
#ifdef KP_CALLS_kp_c_work_item_new
int kp_work_start(void);
void kp_work_stop(void);
void kp_work_settle(void);
#else
static inline int kp_work_start(void)
{
	return 0;
}

static inline void kp_work_stop(void)
{
}

static inline void kp_work_settle(void)
{
}
#endif

/* task.c: frees the records of the tasks that panicked. */
#ifdef KP_CALLS_kp_c_panic
void kp_forget_dead(void);
#else
static inline void kp_forget_dead(void)
{
}
#endif

/* lock.c: all locks are freed. */
#ifdef CONFIG_LOCKDEP
void kp_locks_end(void);
#else
static inline void kp_locks_end(void)
{
}
#endif

/* mmap.c: what apps map. */
struct file;
int kp_mmap(struct file *file, struct vm_area_struct *vma);

#endif

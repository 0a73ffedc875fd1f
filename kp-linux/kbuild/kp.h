/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the C glue and the Rust side call each other with. The Rust halves: kp-linux/src/{c,entry}.rs. */
#ifndef KP_H
#define KP_H

#include <linux/types.h>
#include <linux/interrupt.h>
#include <linux/mutex.h>
#include <linux/pci.h>

/*
 * A kernel for one processor has no spin locks, only levels. Safe code that takes one twice would have its data twice there; elsewhere it
 * hangs, and that is its author's to find.
 */
#ifndef CONFIG_SMP
#error "kp needs a kernel built for several processors (CONFIG_SMP)"
#endif

/* Kinds of interrupt, as in the ABI. */
#define KP_KIND_LINE 1u
#define KP_KIND_MSI 2u
#define KP_KIND_MSIX 4u

/* Number of the direct form of CALL, as in the ABI. */
#define KP_NR_DIRECT 12

/* Status of a request that was not answered, as in the ABI. */
#define KP_NO_REPLY 0xffffffffu

/* Rust to C is called kp_c_*, C to Rust kp_rs_*. */
int kp_rs_bind(void *device, const u64 *bars, u64 bus_address, void **driver);
bool kp_rs_remove(void *driver, bool present);
void kp_rs_drop(void *driver);
void kp_rs_suspend(void *driver);
void kp_rs_resume(void *driver);
void kp_rs_reset_prepare(void *driver);
void kp_rs_reset_done(void *driver);
int kp_rs_open(void *driver, u32 process, bool admin, bool is_32bit, void **session);
void kp_rs_release(void *session);
long kp_rs_request(void *session, u32 nr, unsigned long address, u64 limit, u32 mode);
long kp_rs_direct(void *session, u32 message, unsigned long address, u64 limit, u32 mode);
u32 kp_rs_ready(void *session);
void *kp_rs_wait_queue(void *session);
int kp_rs_map(void *session, void *vma, u64 offset, unsigned long len, bool write);
/* Plugin code has panicked. */
extern unsigned int kp_rs_poisoned;
bool kp_rs_isr(void *cookie, u32 vector);
void kp_rs_dpc(void *cookie, u32 vector);

/* Bits of kp_rs_ready. */
#define KP_READY_NOTIFICATION 1u
#define KP_READY_OVER 2u

/* One interrupt vector. */
struct kp_vector {
	struct kp_device *device;
	u32 index;
	int irq;
	bool connected;
	struct tasklet_struct tasklet;
};

/* One bound device: what `device` is on the Rust side. */
struct kp_device {
	struct pci_dev *pci;
	struct kp_node *node;
	void *cookie; /* of the connected interrupt */
	struct kp_vector *vectors;
	u32 count;
	u32 kind;
	bool master; /* asked for by the plugin */
	struct mutex command; /* held around changes of the PCI command register */
};

/* kp.c: the module is unloaded. */
extern bool kp_exiting;

/* node.c: /dev/kp/<name>, for a bound driver. Between start and stop. */
struct device;
struct kp_node;
int kp_nodes_start(void);
void kp_nodes_stop(void);
struct kp_node *kp_node_new(void *driver, struct device *parent, u64 address);
void *kp_node_driver(struct kp_node *node);
void kp_node_hide(struct kp_node *node);
bool kp_node_free(struct kp_node *node, bool present);

/* irq.c: frees what nobody gave back, when the module goes. */
void kp_irq_abandon(struct kp_device *device);

/* pci.c, or kp.c for a plugin without a device: what the module does when it is loaded and unloaded. */
int kp_start(void);
void kp_stop(void);

/* memory.c: what is alive, for the line at unload. */
void kp_report_live(void);
void kp_forget_dead(void);
void kp_flush_late(void);
void kp_count_allocation(int change);
void kp_count_lock(int change);
/* At any level. */
void kp_free_anywhere(void *memory);

/* lock.c: all locks are freed. */
void kp_locks_end(void);

/* share.c: what apps map. */
struct file;
struct vm_area_struct;
int kp_mmap(struct file *file, struct vm_area_struct *vma);

#endif

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The calls between the C glue and the Rust side, each in one line, and the numbers in them. C's definitions are checked against these
 * lines by the compiler, Rust's declarations (kp-linux/src/c.rs) and entry points (`glue!` in kp-linux/src/lib.rs) by
 * cargo-kp/tests/calls.rs, the numbers by kp-linux/src/numbers.rs. What each function does is said in c.rs and entry.rs.
 */
#ifndef KP_CALLS_H
#define KP_CALLS_H

#include <linux/types.h>

struct kp_device;      /* the C glue's record of a bound device: what `device` is on the Rust side */
struct kp_bound_device;/* the Rust side's BoundDevice, which the C glue only passes on */
struct kp_session;     /* the Rust side's Session, which the C glue only passes on */
struct kp_pages;       /* the C glue's record of pages: a RawPages on the Rust side */
struct kp_dma_mapping; /* the C glue's record of a mapping for a device: a RawMapping on the Rust side, which reads a bool at its beginning */
struct vm_area_struct;

/* ---- numbers of the ABI ---- */

/* Kinds of interrupt. */
#define KP_KIND_LINE 1u
#define KP_KIND_MSI 2u
#define KP_KIND_MSIX 4u
/* Number of the direct form of CALL. */
#define KP_NR_DIRECT 12u
/* Size of the request that is made most, CALL. */
#define KP_CALL_SIZE 56u
/* What a direct call sends if its message has slices and no arguments. */
#define KP_SEGMENTS_SIZE 24u
/* Status of a request that was not answered. */
#define KP_NO_REPLY 0xffffffffu

/* ---- Rust calls C ---- */

/* alloc.c */
void *kp_c_alloc(size_t size, size_t align);
void kp_c_free(void *memory);

/* log.c */
void kp_c_log(const char *text, size_t len);

/* time.c */
u64 kp_c_now(void);
void kp_c_stall(u32 us);
void kp_c_sleep(u64 ns);

/* task.c */
void kp_c_panic(const char *text, size_t len);
u32 kp_c_task(void);
bool kp_c_is_dead(u32 task);
const unsigned long *kp_c_task_flags(unsigned long *mask);
bool kp_c_cond_resched(void);

/* mmap.c */
void *kp_c_alloc_mmap_pages(size_t len);
void kp_c_free_mmap_pages(void *memory);
int kp_c_shared_map(struct vm_area_struct *vma, void *memory, bool writable);

/* lock.c */
#define KP_LOCK_MUTEX 0u
#define KP_LOCK_BH 1u
#define KP_LOCK_IRQ 2u
#define KP_LOCK_ORDER 3u
void *kp_c_lock_new(u32 kind, const void *place, const char *file, size_t file_len, u32 line);
void kp_c_lock_free(void *lock, u32 kind);
void kp_c_mutex_lock(void *lock);
void kp_c_mutex_unlock(void *lock);
void kp_c_bh_lock(void *lock);
void kp_c_bh_unlock(void *lock);
unsigned long kp_c_irq_lock(void *lock);
void kp_c_irq_unlock(void *lock, unsigned long flags);
void kp_c_order_enter(void *lock);
void kp_c_order_leave(void *lock);

/* wait.c */
#define KP_WAIT_UNINTERRUPTIBLE 0u
#define KP_WAIT_KILLABLE 1u
#define KP_WAIT_INTERRUPTIBLE 2u
#define KP_WOKEN_CHANGED 0u
#define KP_WOKEN_TIMEOUT 1u
#define KP_WOKEN_INTERRUPTED 2u
void *kp_c_wait_queue_new(void);
void kp_c_wait_queue_free(void *queue);
u32 kp_c_wait_queue_wait(void *queue, const u32 *word, u32 seen, u64 ns, u32 kind, bool coarse);
void kp_c_wait_queue_wake(void *queue);

/* timer.c */
void *kp_c_timer_new(const void *cookie);
void kp_c_timer_free(void *timer);
void kp_c_timer_start(void *timer, u64 ns);
void kp_c_timer_stop(void *timer);

/* work.c */
void *kp_c_work_item_new(const void *cookie);
void kp_c_work_item_free(void *item);
void kp_c_work_item_queue(void *item);

/* iomap.c */
unsigned long kp_c_map(struct kp_device *device, u32 bar, size_t offset, size_t len, bool combine);
void kp_c_unmap(unsigned long base);

/* config.c */
bool kp_c_bus_master(struct kp_device *device, bool on);
u32 kp_c_config_read(struct kp_device *device, u32 offset, u32 width);
void kp_c_config_write(struct kp_device *device, u32 offset, u32 width, u32 value);

/* dma.c */
#define KP_DMA_TO_DEVICE 0u
#define KP_DMA_FROM_DEVICE 1u
#define KP_DMA_BOTH 2u
/* What a bus address is given for. */
#define KP_PAGE 4096u
int kp_c_dma_open(struct kp_device *device, u32 bits, u32 segment, u64 boundary);
void kp_c_dma_close(struct kp_device *device);
bool kp_c_dma_is_isolated(struct kp_device *device);
void *kp_c_coherent_alloc(struct kp_device *device, size_t len, u64 *bus);
void kp_c_coherent_free(struct kp_device *device, void *memory, size_t len, u64 bus);
void *kp_c_dma_map(struct kp_device *device, struct kp_pages *pages, size_t offset, size_t len, u32 direction, u64 *bus);
void kp_c_dma_unmap(struct kp_dma_mapping *mapping);
void kp_c_dma_sync(struct kp_dma_mapping *mapping, bool for_device);

/* pages.c */
void *kp_c_pages_alloc(size_t len);
int kp_c_pages_pin(unsigned long address, size_t len, bool write, void **pinned);
void kp_c_pages_free(struct kp_pages *pages);
void *kp_c_pages_map(struct kp_pages *pages);

/* irq.c */
int kp_c_irq_prepare(struct kp_device *device, u32 kinds, u32 min, u32 max, u32 *kind);
int kp_c_irq_connect(struct kp_device *device, const void *cookie);
void kp_c_irq_disconnect(struct kp_device *device);
void kp_c_irq_release(struct kp_device *device);
bool kp_c_irq_mask(struct kp_device *device, u32 vector);
void kp_c_irq_mask_vector(struct kp_device *device, u32 vector, bool mask);
void kp_c_irq_hint(struct kp_device *device, u32 vector, u32 cpu);
void kp_c_dpc_queue(struct kp_device *device, u32 vector);

/* user.c */
bool kp_c_user_take(void *to, unsigned long address, size_t len);
bool kp_c_user_begin(void *to, unsigned long address, size_t len);
bool kp_c_user_end(unsigned long address, const void *from, size_t len);
bool kp_c_user_fetch(void *to, unsigned long address, size_t len);
bool kp_c_user_store(unsigned long address, const void *from, size_t len);
bool kp_c_user_answer(unsigned long address, u64 answer);
bool kp_c_user_fetch_words(void *to, unsigned long address, size_t len);
void kp_c_user_vouch(const void *object, size_t len);
bool kp_c_user_fetch_vouched(void *to, unsigned long address, size_t len);
bool kp_c_user_reply_vouched(unsigned long address, const void *from, size_t len, unsigned long head, u64 answer);
bool kp_c_user_reply(unsigned long address, const void *from, size_t len, unsigned long head, u64 answer);

/* ---- C calls Rust ---- */

/* For each BAR: its length, or 0 for none; what it is; its first port. */
#define KP_BAR_MEMORY 0u
#define KP_BAR_PREFETCHABLE 1u
#define KP_BAR_PORTS 2u
int kp_rs_bind(struct kp_device *device, const u64 *bars, u64 bus_address, struct kp_bound_device **bound);
bool kp_rs_remove(struct kp_bound_device *bound, bool present);
void kp_rs_drop(struct kp_bound_device *bound);
void kp_rs_suspend(struct kp_bound_device *bound);
void kp_rs_resume(struct kp_bound_device *bound);
void kp_rs_reset_prepare(struct kp_bound_device *bound);
void kp_rs_reset_done(struct kp_bound_device *bound);
int kp_rs_open(struct kp_bound_device *bound, u32 process, bool admin, bool is_32bit, struct kp_session **session);
void kp_rs_release(struct kp_session *session);
u32 kp_rs_ready(struct kp_session *session);
#define KP_READY_NOTIFICATION 1u
#define KP_READY_OVER 2u
void *kp_rs_wait_queue(struct kp_session *session);
int kp_rs_map(struct kp_session *session, struct vm_area_struct *vma, u64 offset, size_t len, bool write);
long kp_rs_request(struct kp_session *session, u32 nr, unsigned long address, u64 limit, u32 mode);
long kp_rs_direct(struct kp_session *session, u32 message, unsigned long address, u64 limit, u32 mode);
bool kp_rs_isr(const void *cookie, u32 vector);
void kp_rs_dpc(const void *cookie, u32 vector);
void kp_rs_timer(const void *cookie);
void kp_rs_work(const void *cookie);

/* ---- and C reads this of Rust ---- */

/* 0, and 1 from the first panic in plugin code on. */
extern u32 kp_rs_poisoned;

#endif

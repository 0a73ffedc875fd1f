//! What the C glue gives to the Rust side. `kbuild/kp_calls.h` has each line once more as C's compiler sees it, and names the `.c` file
//! that it is in; a test of cargo-kp compares the two.
use core::{ffi::c_void, sync::atomic::AtomicUsize};

unsafe extern "C" {
    /// kvmalloc, charged to the caller's control group; null if there is none.
    pub safe fn kp_c_alloc(size: usize, align: usize) -> *mut u8;
    /// kvfree, later if it cannot be done here.
    pub fn kp_c_free(memory: *mut u8);
    /// One line of the kernel's log.
    pub fn kp_c_log(text: *const u8, len: usize);
    /// One line of the kernel's log, at its highest level; soon after, every wait that a panic ends is woken. Returns: the caller traps,
    /// so that the oops names it.
    pub fn kp_c_panic(text: *const u8, len: usize);
    /// current->pid.
    pub safe fn kp_c_task() -> u32;
    /// Whether the task with this pid has called kp_c_panic.
    pub safe fn kp_c_is_dead(task: u32) -> bool;
    /// ktime_get_ns.
    pub safe fn kp_c_now() -> u64;
    /// udelay.
    pub safe fn kp_c_stall(us: u32);
    /// Sleeps, whatever signals come.
    pub safe fn kp_c_sleep(ns: u64);

    /// Zeroed pages that can be mapped by apps; null if there are none.
    pub safe fn kp_c_alloc_mmap_pages(len: usize) -> *mut u8;
    /// vunmap; the pages go with their last mapping.
    pub fn kp_c_free_mmap_pages(memory: *mut u8);
    /// The calling task's thread flags, and to `mask` those for which kp_c_cond_resched is to be called.
    pub fn kp_c_task_flags(mask: *mut usize) -> *const AtomicUsize;
    /// cond_resched and try_to_freeze. Is a fatal signal pending?
    pub safe fn kp_c_cond_resched() -> bool;
    /// Maps memory of kp_c_alloc_mmap_pages into an app's vm_area_struct. 0, or a negative errno.
    pub fn kp_c_shared_map(vma: *mut c_void, memory: *mut u8, writable: bool) -> i32;

    /// A mutex, spinlock_t or raw_spinlock_t, or something for lockdep alone. `place`, a static, is what lockdep tells it from others by;
    /// file and line are its name there.
    pub fn kp_c_lock_new(kind: u32, place: *const c_void, file: *const u8, file_len: usize, line: u32) -> *mut c_void;
    /// Frees it, later if it cannot be done here.
    pub fn kp_c_lock_free(lock: *mut c_void, kind: u32);
    /// mutex_lock.
    pub fn kp_c_mutex_lock(lock: *mut c_void);
    /// mutex_unlock.
    pub fn kp_c_mutex_unlock(lock: *mut c_void);
    /// spin_lock_bh.
    pub fn kp_c_bh_lock(lock: *mut c_void);
    /// spin_unlock_bh.
    pub fn kp_c_bh_unlock(lock: *mut c_void);
    /// raw_spin_lock_irqsave.
    pub fn kp_c_irq_lock(lock: *mut c_void) -> usize;
    /// raw_spin_unlock_irqrestore.
    pub fn kp_c_irq_unlock(lock: *mut c_void, flags: usize);

    /// lock_map_acquire.
    pub fn kp_c_order_enter(lock: *mut c_void);
    /// lock_map_release.
    pub fn kp_c_order_leave(lock: *mut c_void);

    /// A wait queue.
    pub safe fn kp_c_wait_queue_new() -> *mut c_void;
    /// Frees it, later if it cannot be done here.
    pub fn kp_c_wait_queue_free(queue: *mut c_void);
    /// Waits until `*word != seen`, or a panic ends it. One of KP_WOKEN_*, which are `Woken`'s numbers.
    pub fn kp_c_wait_queue_wait(
        queue: *mut c_void,
        word: *const u32,
        seen: u32,
        ns: u64,
        kind: u32,
        coarse: bool,
    ) -> u32;
    /// wake_up_all.
    pub fn kp_c_wait_queue_wake(queue: *mut c_void);

    /// An hrtimer that calls kp_rs_timer with the cookie, in a softirq; null if there is no memory.
    pub fn kp_c_timer_new(cookie: *const ()) -> *mut c_void;
    /// hrtimer_cancel, and frees it.
    pub fn kp_c_timer_free(timer: *mut c_void);
    /// hrtimer_start.
    pub fn kp_c_timer_start(timer: *mut c_void, ns: u64);
    /// hrtimer_try_to_cancel.
    pub fn kp_c_timer_stop(timer: *mut c_void);

    /// A work item that calls kp_rs_work with the cookie; null if there is no memory.
    pub fn kp_c_work_item_new(cookie: *const ()) -> *mut c_void;
    /// cancel_work_sync, and frees it.
    pub fn kp_c_work_item_free(item: *mut c_void);
    /// queue_work.
    pub fn kp_c_work_item_queue(item: *mut c_void);

    /// ioremap, or ioremap_wc, of a part of a BAR; 0 if it cannot.
    pub safe fn kp_c_map(device: usize, bar: u32, offset: usize, len: usize, combine: bool) -> usize;
    /// iounmap, later if it cannot be done here.
    pub fn kp_c_unmap(base: usize);
    /// pci_set_master, pci_clear_master. Which it was: messages need the first.
    pub safe fn kp_c_bus_master(device: usize, on: bool) -> bool;
    /// pci_read_config_*.
    pub safe fn kp_c_config_read(device: usize, offset: u32, width: u32) -> u32;
    /// pci_write_config_*.
    pub safe fn kp_c_config_write(device: usize, offset: u32, width: u32, value: u32);

    /// dma_set_mask_and_coherent, dma_set_max_seg_size, dma_set_seg_boundary. 0, or a negative errno.
    pub safe fn kp_c_dma_open(device: usize, bits: u32, segment: u32, boundary: u64) -> i32;
    /// Frees what was put off.
    pub safe fn kp_c_dma_close(device: usize);
    /// Whether an IOMMU maps what the device reaches.
    pub safe fn kp_c_dma_is_isolated(device: usize) -> bool;
    /// dma_alloc_attrs; null if there is none. The bus address goes to `bus`.
    pub fn kp_c_coherent_alloc(device: usize, len: usize, bus: *mut u64) -> *mut u8;
    /// dma_free_coherent, later if it cannot be done here.
    pub fn kp_c_coherent_free(device: usize, memory: *mut u8, len: usize, bus: u64);
    /// dma_map_sg_attrs, with the addresses to `bus`: the record, or null. It begins with a bool: not dma_need_sync, for any of its pieces.
    pub fn kp_c_dma_map(
        device: usize,
        pages: *mut c_void,
        offset: usize,
        len: usize,
        direction: u32,
        bus: *mut u64,
    ) -> *mut c_void;
    /// dma_unmap_sg, later if it cannot be done here.
    pub fn kp_c_dma_unmap(mapping: *mut c_void);
    /// dma_sync_sg_for_device, dma_sync_sg_for_cpu.
    pub fn kp_c_dma_sync(mapping: *mut c_void, for_device: bool);

    /// Zeroed pages; null if there are none.
    pub safe fn kp_c_pages_alloc(len: usize) -> *mut c_void;
    /// pin_user_pages_fast, with the record to `pinned`. 0, or a negative errno: -EDQUOT for too many, -EOPNOTSUPP for a file's.
    pub fn kp_c_pages_pin(address: usize, len: usize, write: bool, pinned: *mut *mut c_void) -> i32;
    /// Gives pages up; they go with their last mapping, later if it cannot be done here.
    pub fn kp_c_pages_free(pages: *mut c_void);
    /// vmap, once; null if it cannot.
    pub fn kp_c_pages_map(pages: *mut c_void) -> *mut u8;

    /// pci_alloc_irq_vectors. The number of vectors, or a negative errno; the kind goes to `kind`.
    pub fn kp_c_irq_prepare(device: usize, kinds: u32, min: u32, max: u32, kind: *mut u32) -> i32;
    /// request_irq for each. 0, or a negative errno and nothing connected.
    pub fn kp_c_irq_connect(device: usize, cookie: *const ()) -> i32;
    /// free_irq and tasklet_kill for each.
    pub fn kp_c_irq_disconnect(device: usize);
    /// pci_free_irq_vectors.
    pub safe fn kp_c_irq_release(device: usize);
    /// disable_irq_nosync.
    pub safe fn kp_c_irq_mask(device: usize, vector: u32) -> bool;
    /// disable_irq_nosync, enable_irq.
    pub safe fn kp_c_irq_mask_vector(device: usize, vector: u32, mask: bool);
    /// irq_set_affinity_and_hint.
    pub safe fn kp_c_irq_hint(device: usize, vector: u32, cpu: u32);
    /// tasklet_schedule.
    pub safe fn kp_c_dpc_queue(device: usize, vector: u32);

    /// Copies `len` bytes (a multiple of 8) of a request, and stores NoReply at byte 8, in one user-access section.
    pub fn kp_c_user_take(to: *mut u8, address: usize, len: usize) -> bool;
    /// Copies `len` bytes that stand behind the answer of a direct call, and clears the answer, in one user-access section.
    pub fn kp_c_user_begin(to: *mut u8, address: usize, len: usize) -> bool;
    /// Stores `len` bytes, not 0, in one user-access section.
    pub fn kp_c_user_end(address: usize, from: *const u8, len: usize) -> bool;
    /// copy_from_user.
    pub fn kp_c_user_fetch(to: *mut u8, address: usize, len: usize) -> bool;
    /// copy_to_user.
    pub fn kp_c_user_store(address: usize, from: *const u8, len: usize) -> bool;
    /// One u64 to user memory.
    pub safe fn kp_c_user_answer(address: usize, answer: u64) -> bool;
    /// `kp_c_user_fetch` for few bytes.
    pub fn kp_c_user_fetch_words(to: *mut u8, address: usize, len: usize) -> bool;
    /// check_object_size: `len` bytes at `object` are one object's.
    pub fn kp_c_user_vouch(object: *const u8, len: usize);
    /// `kp_c_user_fetch` to bytes of an object that was vouched for.
    pub fn kp_c_user_fetch_vouched(to: *mut u8, address: usize, len: usize) -> bool;
    /// Bytes of an object that was vouched for to `address`, and then one u64 to `head`.
    pub fn kp_c_user_reply_vouched(address: usize, from: *const u8, len: usize, head: usize, answer: u64) -> bool;
    /// Few bytes to `address`, and then one u64 to `head`, in one user-access section.
    pub fn kp_c_user_reply(address: usize, from: *const u8, len: usize, head: usize, answer: u64) -> bool;
}

/// One line of the kernel's log.
pub fn log(text: &str) {
    // SAFETY: `text` is readable.
    unsafe { kp_c_log(text.as_ptr(), text.len()) }
}

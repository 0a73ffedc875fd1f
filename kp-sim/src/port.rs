//! The port: each kernel function, its level, and the machine's part that does it.
use crate::{
    context::{self, Context, DISPATCH, IRQL, PASSIVE},
    machine::{Channel, WordWait},
    memory::Late,
};
use kp_core::{
    Result,
    host::{IrqEntry, Kernel, RawLock, RawSignal, Vectors, Woken},
};
use std::{ptr, sync::atomic::AtomicU32};

struct Simulated;
kp_core::kernel!(Simulated);

/// One kernel call: checked, and a point at which others may run, before and after.
fn call<R>(what: &'static str, value: u64, highest: u8, f: impl FnOnce(&Context) -> R) -> R {
    let context = context::current();
    context.at_most(highest, what);
    context.machine.point(what, value);
    let answer = f(&context);
    context.machine.settle(&context);
    answer
}

/// What a [`RawSignal`] is here.
struct Signal {
    number: u32,
}

/// # Safety
/// `signal` came from `signal_new` and was not freed.
unsafe fn number(signal: *mut RawSignal) -> u32 {
    // SAFETY: the caller's promise: it points to a `Signal`.
    unsafe { &*signal.cast::<Signal>() }.number
}

macro_rules! registers {
    ($($read:ident $write:ident $type:ty;)*) => { $(
        unsafe fn $read(address: usize) -> $type {
            call("read", short(address), IRQL, |context| context.machine.bus.read(address, size_of::<$type>() as u8)) as $type
        }
        unsafe fn $write(address: usize, value: $type) {
            call("write", short(address), IRQL, |context| {
                context.machine.bus.write(address, size_of::<$type>() as u8, value.into());
            });
        }
    )* };
}

/// BAR and offset, for a trace.
fn short(address: usize) -> u64 {
    crate::bus::place(address)
}

// SAFETY: each function does what its line in `kp_core::host::Kernel` says, or panics; the modules named say how.
unsafe impl Kernel for Simulated {
    fn alloc(size: usize, align: usize) -> *mut u8 {
        call("alloc", size as u64, PASSIVE, |context| context.machine.allocate(size, align))
    }
    unsafe fn free(memory: *mut u8, size: usize, align: usize) {
        call("free", size as u64, IRQL, |context| {
            let address = memory.expose_provenance();
            context.machine.free_or_defer(context, Late::Memory { address, size, align });
        });
    }
    fn log(text: &str) {
        context::current().machine.write_log(text);
    }
    fn now_ns() -> u64 {
        context::current().machine.read_clock()
    }
    fn stall_us(us: u32) {
        call("stall", us.into(), IRQL, |context| context.machine.pass(u64::from(us) * 1000));
    }
    fn sleep_ns(ns: u64) {
        call("sleep", ns, PASSIVE, |context| context.machine.sleep(ns));
    }
    fn poisoned() -> bool {
        context::current().machine.is_poisoned()
    }

    fn lock_new(kind: u32) -> *mut RawLock {
        call("lock_new", kind.into(), PASSIVE, |context| context.machine.new_lock(kind))
    }
    unsafe fn lock_free(lock: *mut RawLock, _kind: u32) {
        call("lock_free", 0, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Lock(lock.expose_provenance()));
        });
    }
    unsafe fn lock_acquire(lock: *mut RawLock, kind: u32) -> usize {
        let context = context::current();
        // SAFETY: the caller's promise.
        unsafe { context.machine.acquire(&context, lock, kind) }
    }
    unsafe fn lock_release(lock: *mut RawLock, kind: u32, saved: usize) {
        let context = context::current();
        // SAFETY: the caller's promise.
        unsafe { context.machine.release(&context, lock, kind, saved) };
        context.machine.settle(&context);
    }

    fn signal_new() -> *mut RawSignal {
        call("signal_new", 0, PASSIVE, |context| {
            if context.machine.fails() {
                return ptr::null_mut();
            }
            let mut state = context.machine.state();
            state.signals += 1;
            state.next_signal += 1;
            Box::into_raw(Box::new(Signal { number: state.next_signal })).cast()
        })
    }
    unsafe fn signal_free(signal: *mut RawSignal) {
        call("signal_free", 0, PASSIVE, |context| {
            // SAFETY: the caller's promise: made by `signal_new`, nobody waits.
            drop(unsafe { Box::from_raw(signal.cast::<Signal>()) });
            context.machine.state().signals -= 1;
        });
    }
    unsafe fn signal_wait(signal: *mut RawSignal, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
        // SAFETY: the caller's promise.
        let signal = unsafe { number(signal) };
        call("wait", signal.into(), PASSIVE, |context| {
            context.machine.wait_word(WordWait { signal, word, seen, ns, kind })
        })
    }
    unsafe fn signal_wake(signal: *mut RawSignal) {
        // SAFETY: the caller's promise.
        let signal = unsafe { number(signal) };
        call("wake", signal.into(), DISPATCH, |context| {
            context.machine.wake(context.machine.channel(Channel::Signal, signal));
        });
    }

    registers! {
        mmio_read8 mmio_write8 u8;
        mmio_read16 mmio_write16 u16;
        mmio_read32 mmio_write32 u32;
        mmio_read64 mmio_write64 u64;
    }

    fn map(_device: usize, bar: usize, len: usize) -> usize {
        call(
            "map",
            bar as u64,
            PASSIVE,
            |context| {
                if context.machine.fails() { 0 } else { context.machine.bus.map(bar, len) }
            },
        )
    }
    unsafe fn unmap(base: usize, len: usize) {
        call("unmap", len as u64, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Mapping { base, len });
        });
    }
    fn bus_master(_device: usize, on: bool) {
        call("bus_master", on.into(), PASSIVE, |context| context.machine.bus.set_master(on));
    }
    fn config_read(_device: usize, offset: u32, width: u32) -> u32 {
        call("config_read", offset.into(), PASSIVE, |context| context.machine.bus.config_read(offset, width))
    }
    fn config_write(_device: usize, offset: u32, width: u32, value: u32) {
        call("config_write", offset.into(), PASSIVE, |context| {
            context.machine.bus.config_write(offset, width, value);
        });
    }

    fn irq_prepare(_device: usize, kinds: u32, min: u32, max: u32) -> Result<Vectors> {
        call("irq_prepare", kinds.into(), PASSIVE, |context| context.machine.prepare(kinds, min, max))
    }
    unsafe fn irq_connect(_device: usize, entry: IrqEntry) -> Result<()> {
        call("irq_connect", 0, PASSIVE, |context| context.machine.connect(entry))
    }
    unsafe fn irq_disconnect(_device: usize) {
        call("irq_disconnect", 0, PASSIVE, |context| context.machine.disconnect(context));
    }
    fn irq_release(_device: usize) {
        call("irq_release", 0, PASSIVE, |context| context.machine.release_vectors());
    }
    fn irq_mask(_device: usize, vector: u32) {
        call("irq_mask", vector.into(), IRQL, |context| context.machine.mask(vector));
    }
    fn dpc_queue(_device: usize, vector: u32) {
        call("dpc_queue", vector.into(), IRQL, |context| context.machine.queue_dpc(context, vector));
    }
}

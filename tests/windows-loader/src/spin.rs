//! Spin locks. A lock's word holds the number of the thread that has it, and is 0 when it is free.
use crate::{
    cpu::{self, Held},
    kernel::Kernel,
    rule::{Broken, Rule},
};
use std::{
    ptr,
    sync::atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Relaxed, Release},
    },
    thread,
};

fn word(lock: usize) -> &'static AtomicUsize {
    // SAFETY: an aligned word of the driver's, or of this crate's, that is there as long as the lock is used; every access is atomic.
    unsafe { AtomicUsize::from_ptr(ptr::with_exposed_provenance_mut(lock)) }
}

/// Takes a lock; the level is raised already, from `before` if this call has raised it. None: the run has ended.
pub(crate) fn acquire(kernel: &Kernel, lock: usize, before: Option<u8>) -> Option<()> {
    let me = cpu::thread_id();
    let mut spins = 0u32;
    while let Err(owner) = word(lock).compare_exchange_weak(0, me, AcqRel, Relaxed) {
        if owner == me {
            let what = format!("the spin lock {lock:#x} is taken by the thread that has it");
            kernel.stop(Rule::SpinLockOnce.broken(what).into());
        }
        if kernel.is_stopped() {
            return None;
        }
        spins += 1;
        if spins.is_multiple_of(64) { thread::yield_now() } else { std::hint::spin_loop() }
    }
    cpu::held(|held| held.push(Held { lock, before }));
    Some(())
}

/// Gives a lock back. `to` is the level to go back to, if the way it was taken has raised the level.
pub(crate) fn release(lock: usize, to: Option<u8>) -> Result<(), Broken> {
    if word(lock).load(Relaxed) != cpu::thread_id() {
        return Err(
            Rule::SpinLockOwned.broken(format!("the spin lock {lock:#x} is released by a thread that has not got it"))
        );
    }
    let held = cpu::held(|held| {
        let at = held.iter().rposition(|held| held.lock == lock)?;
        Some(held.remove(at))
    });
    let Some(Held { before, .. }) = held else {
        return Err(Rule::SpinLockOwned
            .broken(format!("the spin lock {lock:#x} is released in another call than the one that has taken it")));
    };
    if before != to {
        let name = |level: Option<u8>| level.map_or("as it is".to_owned(), |level| format!("from {level}"));
        return Err(Rule::SpinLockLevel.broken(format!(
            "the spin lock {lock:#x} was taken with the level raised {}, and is released with {}",
            name(before),
            name(to)
        )));
    }
    word(lock).store(0, Release);
    if let Some(to) = to {
        cpu::set_irql(to);
    }
    Ok(())
}

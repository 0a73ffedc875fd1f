//! Locks: who holds which, and in which order they are taken.
use kp_core::host::{LockKind, RawLock};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::Location,
    ptr::{self, NonNull},
    thread::ThreadId,
};

/// A [`RawLock`] here is no memory: its address is the number of the lock, with in the upper half that of the kernel that made it.
const KERNEL_SHIFT: u32 = usize::BITS / 2;

struct Lock {
    kind: LockKind,
    /// Where the source makes it.
    made: &'static Location<'static>,
    holder: Option<ThreadId>,
    /// Locks that were taken with this one held.
    after: BTreeSet<u32>,
}

/// All locks of a kernel, by number.
pub(crate) struct Locks {
    kernel: u64,
    locks: BTreeMap<u32, Lock>,
    made: u32,
}

impl Locks {
    /// For the kernel with this number in this process.
    pub(crate) fn new(kernel: u64) -> Self {
        Self { kernel, locks: BTreeMap::new(), made: 0 }
    }

    pub(crate) fn count(&self) -> usize {
        self.locks.len()
    }

    /// Is `to` taken, at the end of some chain, with `from` held?
    fn leads(&self, from: u32, to: u32) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(number) = open.pop() {
            if number == to {
                return true;
            }
            if seen.insert(number)
                && let Some(lock) = self.locks.get(&number)
            {
                open.extend(&lock.after);
            }
        }
        false
    }

    /// Notes that `number` is taken with `held` held. Wrong if the opposite was seen before.
    fn note_order(&mut self, held: u32, number: u32) -> Result<(), String> {
        let known = self.locks.get(&held).is_none_or(|lock| lock.after.contains(&number));
        if known {
            return Ok(());
        }
        if self.leads(number, held) {
            let (first, second) = (self.name(held), self.name(number));
            return Err(format!(
                "lock order: {second} is taken with {first} held, and the other way round was seen before: two threads can \
                 wait for each other forever; take them in one order everywhere"
            ));
        }
        if let Some(lock) = self.locks.get_mut(&held) {
            lock.after.insert(number);
        }
        Ok(())
    }

    fn name(&self, number: u32) -> String {
        let Some(lock) = self.locks.get(&number) else { return format!("lock #{number}") };
        let kind = match lock.kind {
            LockKind::Sleeping => "Mutex",
            LockKind::AtDispatch => "SpinLock<_, Dispatch>",
            LockKind::AtIrql => "SpinLock<_, Irql>",
            LockKind::Order => "robust mutex",
        };
        format!("lock #{number} ({kind}, made at {}:{})", lock.made.file(), lock.made.line())
    }

    pub(crate) fn make(&mut self, kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        self.made += 1;
        let number = self.made;
        self.locks.insert(number, Lock { kind, made, holder: None, after: BTreeSet::new() });
        NonNull::new(ptr::without_provenance_mut((self.kernel as usize) << KERNEL_SHIFT | number as usize))
    }

    /// A lock's number. Errors: another kernel has made it. In this one it would keep nobody out.
    pub(crate) fn number(&self, lock: NonNull<RawLock>) -> Result<u32, String> {
        let address = lock.addr().get();
        let number = (address & ((1 << KERNEL_SHIFT) - 1)) as u32;
        if address >> KERNEL_SHIFT == self.kernel as usize & (usize::MAX >> KERNEL_SHIFT) {
            return Ok(number);
        }
        Err(format!(
            "lock #{number} is of another simulated kernel: a static of a plugin is there once in a process, and its kernels are many"
        ))
    }

    /// Frees the lock with this number. Errors: it was held.
    pub(crate) fn free(&mut self, number: u32) -> Result<(), String> {
        let freed = self.locks.remove(&number);
        for other in self.locks.values_mut() {
            other.after.remove(&number);
        }
        match freed {
            Some(Lock { holder: None, .. }) => Ok(()),
            _ => Err(format!("lock #{number} was freed while it was held")),
        }
    }

    /// May this thread, which holds `held`, take the lock now? Errors: the thread holds it already, or locks that were taken
    /// after it once.
    pub(crate) fn check_order(&mut self, held: &[u32], me: ThreadId, number: u32) -> Result<(), String> {
        if held.contains(&number) || self.locks.get(&number).is_some_and(|lock| lock.holder == Some(me)) {
            return Err(format!("deadlock: this thread holds the lock already: {}", self.name(number)));
        }
        held.iter().try_for_each(|&held| self.note_order(held, number))
    }

    /// Takes the lock, if nobody has it.
    pub(crate) fn try_acquire(&mut self, number: u32, me: ThreadId) -> bool {
        let Some(lock) = self.locks.get_mut(&number).filter(|lock| lock.holder.is_none()) else { return false };
        lock.holder = Some(me);
        true
    }

    pub(crate) fn release(&mut self, number: u32) {
        if let Some(lock) = self.locks.get_mut(&number) {
            lock.holder = None;
        }
    }
}

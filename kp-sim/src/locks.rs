//! Locks: who holds which, and in which order they are taken.
use crate::port::lock_kind;
use crate::{
    context::{Context, PASSIVE},
    machine::{Channel, Machine},
    misuse::misuse,
};
use kp_core::host::RawLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::Location,
    ptr,
    sync::Arc,
    thread::{self, ThreadId},
};

/// What a [`RawLock`] is here.
struct Handle {
    number: u32,
    /// The kernel that made it, by its number in this process. Numbers of locks are a kernel's own.
    kernel: u64,
}

struct Lock {
    kind: u32,
    /// Where the source makes it.
    made: &'static Location<'static>,
    holder: Option<ThreadId>,
    /// Locks that were taken with this one held.
    after: BTreeSet<u32>,
}

/// All locks of a kernel, by number.
#[derive(Default)]
pub(crate) struct Locks {
    locks: BTreeMap<u32, Lock>,
    made: u32,
}

impl Locks {
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
            lock_kind::MUTEX => "Mutex",
            lock_kind::DISPATCH => "SpinLock<_, Dispatch>",
            lock_kind::IRQL => "SpinLock<_, Irql>",
            _ => "robust mutex",
        };
        format!("lock #{number} ({kind}, made at {}:{})", lock.made.file(), lock.made.line())
    }
}

/// # Safety
/// `lock` came from `new_lock` of some kernel and was not freed.
unsafe fn handle<'a>(lock: *mut RawLock) -> &'a Handle {
    // SAFETY: the caller's promise: it points to a `Handle`.
    unsafe { &*lock.cast::<Handle>() }
}

impl Machine {
    /// As `new_lock`, unless there is no memory for it.
    pub(crate) fn try_new_lock(&self, kind: u32, made: &'static Location<'static>) -> *mut RawLock {
        if self.fails() { ptr::null_mut() } else { self.new_lock(kind, made) }
    }

    pub(crate) fn new_lock(&self, kind: u32, made: &'static Location<'static>) -> *mut RawLock {
        let mut state = self.state();
        state.locks.made += 1;
        let number = state.locks.made;
        state.locks.locks.insert(number, Lock { kind, made, holder: None, after: BTreeSet::new() });
        Box::into_raw(Box::new(Handle { number, kernel: self.serial })).cast()
    }

    /// A lock's number, if this kernel made it. In another one it would keep nobody out.
    ///
    /// # Safety
    /// `lock` came from `new_lock` of some kernel and was not freed.
    unsafe fn number(&self, lock: *mut RawLock) -> u32 {
        // SAFETY: the caller's promise.
        let Handle { number, kernel } = *unsafe { handle(lock) };
        if kernel != self.serial {
            misuse(&format!(
                "lock #{number} is of another simulated kernel: a static of a plugin is there once in a process, and its kernels are many"
            ));
        }
        number
    }

    pub(crate) fn drop_lock(&self, address: usize) {
        let handle = ptr::with_exposed_provenance_mut::<Handle>(address);
        // SAFETY: made by `new_lock`, and not freed yet.
        let number = unsafe { self.number(handle.cast()) };
        // SAFETY: as above; the caller of `lock_free` has given it up.
        drop(unsafe { Box::from_raw(handle) });
        let mut state = self.state();
        let lock = state.locks.locks.remove(&number);
        for other in state.locks.locks.values_mut() {
            other.after.remove(&number);
        }
        drop(state);
        if lock.is_none_or(|lock| lock.holder.is_some()) && !thread::panicking() {
            misuse(&format!("lock #{number} was freed while it was held"));
        }
    }

    /// Takes a lock; the level before.
    ///
    /// # Safety
    /// `lock` came from `new_lock` and was not freed.
    pub(crate) unsafe fn acquire(self: &Arc<Self>, context: &Context, lock: *mut RawLock, kind: u32) -> usize {
        // SAFETY: the caller's promise.
        let number = unsafe { self.number(lock) };
        let me = thread::current().id();
        if kind == lock_kind::ORDER {
            context.at_most(PASSIVE, "lock_acquire");
            self.check_order(context, me, number);
            context.held.borrow_mut().push(number);
            return 0;
        }
        context.at_most(kind as u8, "lock_acquire");
        self.schedule_point("lock", number.into());
        self.check_order(context, me, number);
        let asleep = kind == lock_kind::MUTEX;
        self.wait_for(self.channel(Channel::Lock, number), None, asleep, |state| {
            let Some(lock) = state.locks.locks.get_mut(&number).filter(|lock| lock.holder.is_none()) else {
                return false;
            };
            lock.holder = Some(me);
            true
        });
        context.held.borrow_mut().push(number);
        let level = context.level.get();
        context.level.set(level.max(kind as u8));
        level.into()
    }

    /// Misuse, if this thread holds it, or locks that were taken after it once.
    fn check_order(&self, context: &Context, me: ThreadId, number: u32) {
        let mut state = self.state();
        let held = context.held.borrow();
        let wrong =
            if held.contains(&number) || state.locks.locks.get(&number).is_some_and(|lock| lock.holder == Some(me)) {
                Some(format!("deadlock: this thread holds the lock already: {}", state.locks.name(number)))
            } else {
                held.iter().find_map(|&held| state.locks.note_order(held, number).err())
            };
        drop((state, held));
        if let Some(wrong) = wrong
            && !thread::panicking()
        {
            misuse(&wrong);
        }
    }

    /// Releases a lock.
    ///
    /// # Safety
    /// `lock` came from `new_lock` and was not freed.
    pub(crate) unsafe fn release(self: &Arc<Self>, context: &Context, lock: *mut RawLock, kind: u32, saved: usize) {
        // SAFETY: the caller's promise.
        let number = unsafe { self.number(lock) };
        let last = context.held.borrow_mut().pop();
        if last != Some(number) && !thread::panicking() {
            misuse(&format!("lock #{number} was released, but it is not the one that was taken last"));
        }
        if kind == lock_kind::ORDER {
            return;
        }
        if let Some(lock) = self.state().locks.locks.get_mut(&number) {
            lock.holder = None;
        }
        if kind != lock_kind::MUTEX {
            context.level.set(u8::try_from(saved).unwrap_or(PASSIVE));
        }
        self.wake(self.channel(Channel::Lock, number));
        self.schedule_point("unlock", number.into());
    }
}

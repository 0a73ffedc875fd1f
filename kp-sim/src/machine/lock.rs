//! Locks: taken and released by the plugin's threads.
use super::{Channel, Machine};
use crate::{level::PASSIVE, misuse::misuse, task::Task};
use kp_core::host::{LockKind, RawLock};
use std::{
    panic::Location,
    ptr,
    thread::{self, ThreadId},
};

impl Machine {
    /// As `new_lock`, unless there is no memory for it.
    pub(crate) fn try_new_lock(&self, kind: LockKind, made: &'static Location<'static>) -> *mut RawLock {
        if self.fails() { ptr::null_mut() } else { self.new_lock(kind, made) }
    }

    pub(crate) fn new_lock(&self, kind: LockKind, made: &'static Location<'static>) -> *mut RawLock {
        self.state().locks.make(kind, made)
    }

    /// Takes a lock; the level before.
    ///
    /// # Safety
    /// `lock` came from `new_lock` and was not freed.
    pub(crate) unsafe fn acquire(&self, task: &Task, lock: *mut RawLock, kind: LockKind) -> usize {
        // SAFETY: `Locks::make` made it for `new_lock`, and it was not freed, by the caller's promise.
        let number = unsafe { self.state().locks.number(lock) }.unwrap_or_else(|wrong| misuse(&wrong));
        let me = thread::current().id();
        if kind == LockKind::Order {
            task.at_most(PASSIVE, "lock_acquire");
            self.check_order(task, me, number);
            task.held.borrow_mut().push(number);
            return 0;
        }
        task.at_most(kind as u8, "lock_acquire");
        self.schedule_point("lock", number.into());
        self.check_order(task, me, number);
        let asleep = kind == LockKind::Sleeping;
        self.wait_for(task, self.channel(Channel::Lock, number), None, asleep, |state| {
            state.locks.try_acquire(number, me)
        });
        task.held.borrow_mut().push(number);
        let level = task.level.get();
        task.level.set(level.max(kind as u8));
        level.into()
    }

    fn check_order(&self, task: &Task, me: ThreadId, number: u32) {
        let checked = self.state().locks.check_order(&task.held.borrow(), me, number);
        if let Err(wrong) = checked
            && !thread::panicking()
        {
            misuse(&wrong);
        }
    }

    /// Releases a lock.
    ///
    /// # Safety
    /// `lock` came from `new_lock` and was not freed.
    pub(crate) unsafe fn release(&self, task: &Task, lock: *mut RawLock, kind: LockKind, saved: usize) {
        // SAFETY: `Locks::make` made it for `new_lock`, and it was not freed, by the caller's promise.
        let number = unsafe { self.state().locks.number(lock) }.unwrap_or_else(|wrong| misuse(&wrong));
        let last = task.held.borrow_mut().pop();
        if last != Some(number) && !thread::panicking() {
            misuse(&format!("lock #{number} was released, but it is not the one that was taken last"));
        }
        if kind == LockKind::Order {
            return;
        }
        self.state().locks.release(number);
        if kind != LockKind::Sleeping {
            task.level.set(u8::try_from(saved).unwrap_or(PASSIVE));
        }
        self.wake(self.channel(Channel::Lock, number));
        self.schedule_point("unlock", number.into());
    }
}

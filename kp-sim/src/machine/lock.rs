//! Locks: taken and released by the plugin's threads.
use super::{Channel, Machine};
use crate::{level::PASSIVE, misuse::misuse, task::Task};
use kp_core::host::{LockKind, RawLock};
use std::{
    panic::Location,
    ptr::NonNull,
    thread::{self, ThreadId},
};

impl Machine {
    /// As `new_lock`, unless there is no memory for it.
    pub(crate) fn try_new_lock(&self, kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        if self.fails() { None } else { self.new_lock(kind, made) }
    }

    pub(crate) fn new_lock(&self, kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        self.state().locks.make(kind, made)
    }

    /// A lock's number.
    pub(crate) fn lock_number(&self, lock: NonNull<RawLock>) -> u32 {
        self.state().locks.number(lock).unwrap_or_else(|wrong| misuse(&wrong))
    }

    /// Takes a lock; the level before.
    pub(crate) fn acquire(&self, task: &Task, lock: NonNull<RawLock>, kind: LockKind) -> usize {
        let number = self.lock_number(lock);
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
    pub(crate) fn release(&self, task: &Task, lock: NonNull<RawLock>, kind: LockKind, saved: usize) {
        let number = self.lock_number(lock);
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

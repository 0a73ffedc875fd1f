//! A signal and a kernel in which nobody panics and no time passes.
use super::sync::{AtomicU32, Ordering::Acquire};
use crate::{Passive, Result};
use loom::sync::{Condvar, Mutex};

/// A wait that only a wake-up ends.
pub(crate) struct Signal {
    lock: Mutex<()>,
    woken: Condvar,
}

impl Signal {
    pub(crate) fn new(_: &mut Passive) -> Result<Self> {
        Ok(Self { lock: Mutex::new(()), woken: Condvar::new() })
    }

    pub(crate) fn wait(&self, word: &AtomicU32, seen: u32, _ns: u64, _kind: u32) -> Woken {
        let mut held = self.lock.lock().unwrap();
        while word.load(Acquire) == seen {
            held = self.woken.wait(held).unwrap();
        }
        Woken::Changed
    }

    pub(crate) fn wake(&self) {
        drop(self.lock.lock().unwrap());
        self.woken.notify_all();
    }
}

/// How a wait ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Woken {
    Changed,
    Timeout,
}

pub(crate) mod wait_kind {
    pub(crate) const UNINTERRUPTIBLE: u32 = 0;
}

pub(crate) mod kernel {
    pub(crate) fn poisoned() -> bool {
        false
    }
    pub(crate) fn is_dead(_task: u32) -> bool {
        false
    }
    pub(crate) fn task() -> u32 {
        1
    }
}

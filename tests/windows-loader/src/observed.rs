//! What a device has seen of its driver, for tests to ask.
use crate::{bus::Device, kernel::lock, rule::Rule};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

#[derive(Default)]
pub(crate) struct Observed {
    handlers: Mutex<Handlers>,
    /// How often drivers have written the command register.
    command_writes: AtomicUsize,
}

/// How a device's interrupt handlers have run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handlers {
    /// The most that ran at once.
    pub at_once: usize,
    /// The levels at which they ran.
    pub levels: BTreeSet<u8>,
}

impl Observed {
    /// The device is started.
    pub(crate) fn starts(&self) {
        *lock(&self.handlers) = Handlers::default();
    }

    /// A handler runs, beside others or alone.
    pub(crate) fn handler_runs(&self, at_once: usize, irql: u8) {
        let mut handlers = lock(&self.handlers);
        handlers.at_once = handlers.at_once.max(at_once);
        handlers.levels.insert(irql);
    }

    pub(crate) fn command_written(&self) {
        self.command_writes.fetch_add(1, Relaxed);
    }
}

impl Device {
    /// How its interrupt handlers have run since it was started.
    pub fn handlers(&self) -> Handlers {
        lock(&self.slot.observed.handlers).clone()
    }

    /// Does it raise its line, whether anybody listens to it or not?
    pub fn raises_its_line(&self) -> bool {
        self.slot.is_raised()
    }

    /// How often drivers have written its command register.
    pub fn command_writes(&self) -> usize {
        self.slot.observed.command_writes.load(Relaxed)
    }

    /// Drivers have given back what the device was assigned; this rule says when.
    pub(crate) fn has_released(&self, rule: Rule) {
        let what = match (self.kernel.mappings.has(&self.slot), self.kernel.interrupts.has(&self.slot)) {
            (true, _) => "registers of the device are mapped still",
            (_, true) => "an interrupt of the device is connected still",
            _ => return,
        };
        self.check(Err(rule.broken(what)));
    }
}

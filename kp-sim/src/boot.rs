//! Starts a kernel: what panics in it poisons it, and the world that it is in drives it.
use crate::{
    bus::Bus,
    context,
    level::PASSIVE,
    machine::{Machine, Options},
    panics::watch_panics,
    schedule::{Member, Schedule},
};
use std::sync::{Arc, Weak};

/// A kernel with this bus. It belongs to the world that the calling thread is in, if it is in one.
pub(crate) fn boot(bus: Bus, options: Options) -> Arc<Machine> {
    watch_panics();
    let machine = Arc::new(Machine::new(bus, options));
    if let Some(world) = Schedule::current() {
        let member: Weak<Machine> = Arc::downgrade(&machine);
        world.add_member(member);
    }
    machine
}

impl Member for Machine {
    fn advance(&self, ns: u64) {
        self.bus.advance(ns);
    }

    fn next_timer(&self) -> Option<u64> {
        self.state().timers.next()
    }

    fn is_due(&self) -> bool {
        self.due(PASSIVE).is_some()
    }

    fn deliver(self: Arc<Self>) {
        context::on_idle_cpu(&self, None, || {
            let task = context::current();
            while let Some(due) = self.due(PASSIVE) {
                self.run(&task, due);
            }
        });
    }
}

//! Who runs an interrupt's handler, and when.
use super::{Channel, Machine};
use crate::{
    level::{DISPATCH, IRQL, PASSIVE},
    misuse::{self, misuse},
    task::Task,
    vectors::{Due, Finished},
};
use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
};

/// Runs in a row after which an interrupt will not end by itself; the host masks it long before.
const ENDLESS: u32 = 1_000_000;

/// Something to run.
#[derive(Clone, Copy)]
pub(crate) enum Ready {
    Interrupt(Due),
    Timer(u32),
}

impl Machine {
    /// After a kernel call took effect: interrupts that the level lets through may come, and what was put off is done.
    pub(crate) fn deliver_pending(&self, task: &Task) {
        if std::thread::panicking() {
            return;
        }
        self.interrupts(task);
        if task.level.get() == PASSIVE {
            self.free_late();
        }
    }

    /// What is due at `level`, after a look at the hardware.
    pub(crate) fn due(&self, level: u8) -> Option<Ready> {
        if level == IRQL {
            return None;
        }
        let mut state = self.state();
        if state.vectors.is_connected() {
            let signals = self.bus.take_signals();
            state.vectors.note(&signals);
            if let Some(due) = state.vectors.due(level, signals.line) {
                return Some(Ready::Interrupt(due));
            }
        }
        if level < DISPATCH { state.timers.due(self.now()).map(Ready::Timer) } else { None }
    }

    /// Runs what the level lets through; in a seeded world only what its schedule wants now.
    pub(super) fn interrupts(&self, task: &Task) {
        let mut runs = 0;
        while let Some(due) = self.due(task.level.get()) {
            runs += 1;
            if runs > ENDLESS {
                misuse("an interrupt never ends, and the host has not masked it");
            }
            if let Some(world) = &self.world
                && !world.deliver_now()
            {
                return;
            }
            self.run(task, due);
        }
    }

    /// Runs it on the thread of this task.
    pub(crate) fn run(&self, task: &Task, ready: Ready) {
        match ready {
            Ready::Interrupt(due) => self.run_handler(task, due),
            Ready::Timer(number) => self.run_timer(task, number),
        }
    }

    fn run_timer(&self, task: &Task, number: u32) {
        let Some(entry) = self.state().timers.begin(number, self.now()) else { return };
        self.schedule_point("timer", number.into());
        // SAFETY: not freed, at Dispatch.
        let run = || unsafe { (entry.run)(entry.cookie) };
        let outcome = guarded(|| task.interrupted(DISPATCH, run));
        self.state().timers.end(number);
        self.wake(self.channel(Channel::Interrupt, 0));
        match outcome {
            Err(verdict) => panic::resume_unwind(verdict),
            Ok(()) => self.schedule_point("timer ends", number.into()),
        }
    }

    /// Runs an interrupt's handler on the thread of this task.
    pub(super) fn run_handler(&self, task: &Task, due: Due) {
        let Some(entry) = self.state().vectors.start(due) else { return };
        let number = due.vector();
        let outcome = match due {
            Due::Isr(_) => {
                self.schedule_point("isr", number.into());
                // SAFETY: connected, at Irql, and `Vectors::start` keeps a second one of this vector out.
                let run = || unsafe { (entry.isr)(entry.cookie, number) };
                guarded(|| task.interrupted(IRQL, run))
            }
            Due::Dpc(_) => {
                self.schedule_point("dpc", number.into());
                // SAFETY: connected, at Dispatch, and `Vectors::start` keeps a second one of this vector out.
                let run = || unsafe { (entry.dpc)(entry.cookie, number) };
                guarded(|| task.interrupted(DISPATCH, run)).map(|()| true)
            }
        };
        let claimed = *outcome.as_ref().unwrap_or(&true);
        let finished = self.state().vectors.finish(due, claimed);
        match finished {
            Finished::Claimed | Finished::Unclaimed => {}
            Finished::NobodyCared => self.write_log("the interrupt line stayed high and nobody cared: disabled"),
            Finished::ForeignMessage => {
                misuse("a message was answered as not the device's, and nobody else can have sent it")
            }
        }
        self.wake(self.channel(Channel::Interrupt, 0));
        match outcome {
            Err(verdict) => panic::resume_unwind(verdict),
            Ok(_) => {
                self.schedule_point(if matches!(due, Due::Isr(_)) { "isr ends" } else { "dpc ends" }, number.into())
            }
        }
    }
}

/// Runs a callback that no app has asked for. A panic of the plugin has poisoned its kernel and goes no further: the thread that was
/// interrupted has nothing to do with it. A verdict comes back.
pub(super) fn guarded<R: Default>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Err(payload) if misuse::is_verdict() => Err(payload),
        answer => Ok(answer.unwrap_or_default()),
    }
}

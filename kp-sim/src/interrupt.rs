//! Interrupts: which are pending, who runs them, and how they are ended.
use crate::{
    bus::Signals,
    context::{self, Context, DISPATCH, IRQL, PASSIVE, level_name},
    device::IrqKind,
    machine::{Channel, Machine, State},
    misuse::{self, misuse},
};
use kp_abi::request::kind;
use kp_core::{Result, Status, host};
use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

/// ISR runs of a line that nobody claimed, after which it is disabled, as Linux does.
const NOBODY_CARED: u32 = 100_000;

/// Runs in a row after which an interrupt will not end by itself; the host masks it long before.
const ENDLESS: u32 = 1_000_000;

/// The device's vectors, from `irq_prepare` to `irq_release`.
#[derive(Default)]
pub(crate) struct Vectors {
    taken: Option<(IrqKind, u16)>,
    /// Some while connected.
    entry: Option<host::IrqEntry>,
    /// No new ISR starts.
    ending: bool,
    /// Another device raises the line, until handlers have run so often.
    neighbour: u32,
    vectors: Vec<Vector>,
}

#[derive(Clone, Default)]
struct Vector {
    /// A message came that no ISR has seen; any number of them is one.
    message: bool,
    in_isr: bool,
    /// The device is kept from it.
    masked: bool,
    /// The kernel has turned the line off, for all its devices.
    disabled: bool,
    unclaimed: u32,
    queued: bool,
    in_dpc: bool,
}

/// Something to run.
#[derive(Clone, Copy)]
enum Due {
    Isr(u32),
    Dpc(u32),
}

impl Vectors {
    pub(crate) fn are_taken(&self) -> bool {
        self.taken.is_some()
    }

    fn is_line(&self) -> bool {
        self.taken.is_some_and(|(kind, _)| kind == IrqKind::Line)
    }

    fn note(&mut self, signals: &Signals) {
        if self.entry.is_none() || self.ending {
            return; // messages that come when nobody listens are lost
        }
        for &message in &signals.messages {
            if let Some(vector) = self.vectors.get_mut(usize::from(message)) {
                vector.message = true;
            }
        }
    }

    /// What may run at `level`: ISRs first. With `only_dpcs` the hardware is not looked at.
    fn due(&self, level: u8, line: bool) -> Option<Due> {
        self.entry?;
        let stray = self.neighbour > 0 && self.is_line();
        let isr = |vector: &Vector| {
            let raised = stray || !vector.masked && (vector.message || line);
            !self.ending && level < IRQL && !vector.in_isr && !vector.disabled && raised
        };
        let dpc = |vector: &Vector| level < DISPATCH && vector.queued && !vector.in_dpc;
        let find = |wanted: &dyn Fn(&Vector) -> bool| self.vectors.iter().position(wanted).map(|at| at as u32);
        find(&isr).map(Due::Isr).or_else(|| find(&dpc).map(Due::Dpc))
    }

    fn any(&self, what: impl Fn(&Vector) -> bool) -> bool {
        self.vectors.iter().any(what)
    }
}

fn kind_bit(signal: IrqKind) -> u32 {
    match signal {
        IrqKind::Line => kind::LINE,
        IrqKind::Msi => kind::MSI,
        IrqKind::MsiX => kind::MSIX,
    }
}

impl Machine {
    // What the kernel functions do.

    pub(crate) fn prepare(&self, wanted: host::IrqRequest) -> Result<host::Vectors> {
        if self.state().vectors.are_taken() {
            misuse("irq_prepare: the device's vectors are taken already");
        }
        if self.fails() {
            return Err(Status::NO_INTERRUPT.into());
        }
        let allowed = wanted.kinds.bits() & self.options().kinds;
        let mut offers = self.bus.kinds().into_iter();
        let offer = offers.find(|&(kind, count)| kind_bit(kind) & allowed != 0 && u32::from(count) >= wanted.min);
        let (kind, has) = offer.ok_or(Status::NO_INTERRUPT)?;
        let count = u32::from(has).min(wanted.max) as u16;
        let vectors = &mut self.state().vectors;
        vectors.taken = Some((kind, count));
        vectors.vectors = vec![Vector::default(); usize::from(count)];
        Ok(host::Vectors { kind, count: count.into() })
    }

    pub(crate) fn connect(&self, entry: host::IrqEntry) -> Result<()> {
        let taken = self.state().vectors.taken;
        let Some(taken) = taken else { misuse("irq_connect without irq_prepare") };
        if self.fails() {
            return Err(Status::CONNECT_FAILED.into());
        }
        let vectors = &mut self.state().vectors;
        vectors.entry = Some(entry);
        vectors.ending = false;
        self.bus.listen(Some(taken));
        Ok(())
    }

    /// Ends what runs, runs what is queued.
    pub(crate) fn disconnect(self: &Arc<Self>, context: &Context) {
        let mut state = self.state();
        if state.vectors.entry.is_none() {
            drop(state);
            // After a panic the host cannot know, and disconnects to be sure.
            if self.is_poisoned() {
                return;
            }
            misuse("irq_disconnect without irq_connect");
        }
        state.vectors.ending = true;
        drop(state);
        self.finish_handlers(context);
        let mut state = self.state();
        state.vectors.entry = None;
        state.vectors.ending = false;
        let count = state.vectors.vectors.len();
        state.vectors.vectors = vec![Vector::default(); count];
        self.bus.listen(None);
    }

    /// Waits for handlers that run, and runs those that are queued.
    pub(crate) fn finish_handlers(self: &Arc<Self>, context: &Context) {
        loop {
            self.wait_for(self.channel(Channel::Interrupt, 0), None, true, |state| {
                !state.vectors.any(|vector| vector.in_isr || vector.in_dpc)
            });
            let due = self.state().vectors.due(PASSIVE, false);
            let Some(due) = due else { break };
            self.run(context, due);
        }
    }

    pub(crate) fn release_vectors(&self) {
        let vectors = &mut self.state().vectors;
        vectors.taken = None;
        vectors.vectors.clear();
    }

    pub(crate) fn mask(&self, vector: u32) -> bool {
        let raises_line = self.bus.raises_line();
        let vectors = &mut self.state().vectors;
        let is_line = vectors.is_line();
        let Some(vector) = vectors.vectors.get_mut(vector as usize) else { return false };
        if is_line && (vector.masked || !raises_line) {
            return false; // another device's
        }
        vector.masked = true;
        true
    }

    /// Another device on the line raises it, until handlers have run so often.
    pub(crate) fn set_neighbour(&self, runs: u32) {
        self.state().vectors.neighbour = runs;
    }

    pub(crate) fn queue_dpc(&self, context: &Context, vector: u32) {
        let level = context.level.get();
        let mut state = self.state();
        let wrong = if level < DISPATCH {
            Some(format!("`dpc_queue` was called at {}; it is for Irql and Dispatch", level_name(level)))
        } else if state.vectors.entry.is_none() {
            Some("`dpc_queue` was called with no interrupt connected".to_owned())
        } else {
            match state.vectors.vectors.get_mut(vector as usize) {
                None => Some(format!("`dpc_queue`: there is no vector {vector}")),
                Some(vector) if vector.queued => Some("`dpc_queue`: it is queued already".to_owned()),
                Some(vector) => {
                    vector.queued = true;
                    None
                }
            }
        };
        drop(state);
        if let Some(wrong) = wrong {
            misuse(&wrong);
        }
    }

    // Delivery.

    /// Is there something to run on a processor that is idle?
    pub(crate) fn has_interrupts(&self) -> bool {
        self.look(PASSIVE).is_some()
    }

    /// What is due at `level`, after a look at the hardware.
    fn look(&self, level: u8) -> Option<Due> {
        if level == IRQL {
            return None;
        }
        let mut state = self.state();
        let state: &mut State = &mut state;
        state.vectors.entry?;
        let signals = self.bus.take_signals();
        state.vectors.note(&signals);
        state.vectors.due(level, signals.line)
    }

    /// Runs what the level lets through; in a seeded world only what its schedule wants now.
    pub(crate) fn interrupts(self: &Arc<Self>, context: &Context) {
        let mut runs = 0;
        while let Some(due) = self.look(context.level.get()) {
            runs += 1;
            if runs > ENDLESS {
                misuse("an interrupt never ends, and the host has not masked it");
            }
            if let Some(world) = &self.world
                && !world.deliver_now()
            {
                return;
            }
            self.run(context, due);
        }
    }

    /// A processor that has nothing else to do takes what is due, all of it.
    pub(crate) fn interrupt_idle(self: &Arc<Self>) {
        context::on_idle_cpu(self, None, || {
            let context = context::current();
            while let Some(due) = self.look(PASSIVE) {
                self.run(&context, due);
            }
        });
    }

    fn run(self: &Arc<Self>, context: &Context, due: Due) {
        let mut state = self.state();
        let vectors = &mut state.vectors;
        let Some(entry) = vectors.entry else { return };
        let (Due::Isr(number) | Due::Dpc(number)) = due;
        let is_line = vectors.is_line();
        let vector = &mut vectors.vectors[number as usize];
        // Another thread may have been faster between the look and here.
        match due {
            Due::Isr(_) if vector.in_isr || vectors.ending => return,
            Due::Isr(_) => {
                vector.in_isr = true;
                vector.message = false;
                vectors.neighbour = vectors.neighbour.saturating_sub(1);
            }
            Due::Dpc(_) if vector.in_dpc || !vector.queued => return,
            Due::Dpc(_) => {
                vector.in_dpc = true;
                vector.queued = false;
            }
        }
        drop(state);
        let outcome = match due {
            Due::Isr(_) => {
                self.schedule_point("isr", number.into());
                // SAFETY: connected, at Irql, and `in_isr` keeps a second one of this vector out.
                let run = || unsafe { (entry.isr)(entry.cookie, number) };
                guarded(|| context.interrupted(IRQL, run))
            }
            Due::Dpc(_) => {
                self.schedule_point("dpc", number.into());
                // SAFETY: connected, at Dispatch, and `in_dpc` keeps a second one of this vector out.
                let run = || unsafe { (entry.dpc)(entry.cookie, number) };
                guarded(|| context.interrupted(DISPATCH, run)).map(|()| true)
            }
        };
        let claimed = *outcome.as_ref().unwrap_or(&true);
        let mut state = self.state();
        let vector = &mut state.vectors.vectors[number as usize];
        match due {
            Due::Isr(_) => vector.in_isr = false,
            Due::Dpc(_) => vector.in_dpc = false,
        }
        if is_line && !claimed {
            vector.unclaimed += 1;
            if vector.unclaimed == NOBODY_CARED {
                vector.disabled = true;
                self.write_log("the interrupt line stayed high and nobody cared: disabled");
            }
        } else if !claimed {
            drop(state);
            misuse("a message was answered as not the device's, and nobody else can have sent it");
        } else {
            vector.unclaimed = 0;
        }
        drop(state);
        self.wake(self.channel(Channel::Interrupt, 0));
        match outcome {
            Err(verdict) => panic::resume_unwind(verdict),
            Ok(_) => {
                self.schedule_point(if matches!(due, Due::Isr(_)) { "isr ends" } else { "dpc ends" }, number.into())
            }
        }
    }
}

/// Runs an interrupt callback. A panic of the plugin has poisoned its kernel and goes no further: the thread that was
/// interrupted has nothing to do with it. A verdict comes back.
fn guarded<R: Default>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Err(payload) if misuse::is_verdict() => Err(payload),
        answer => Ok(answer.unwrap_or_default()),
    }
}

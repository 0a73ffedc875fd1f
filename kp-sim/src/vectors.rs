//! The device's interrupt vectors: which are pending, which run, and what is due next.
use crate::{
    bus::Signals,
    device::IrqKind,
    level::{DISPATCH, IRQL, level_name},
};
use kp_core::host::IrqEntry;

/// ISR runs of a line that nobody claimed, after which it is disabled, as Linux does.
const NOBODY_CARED: u32 = 100_000;

/// The device's vectors, from `irq_prepare` to `irq_release`.
#[derive(Default)]
pub(crate) struct Vectors {
    taken: Option<(IrqKind, u16)>,
    /// Some while connected.
    entry: Option<IrqEntry>,
    /// The host has masked one since they were connected.
    has_masked: bool,
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
    /// The device is kept from it, since it never ended.
    masked: bool,
    /// The plugin has masked it.
    held: bool,
    /// The processor that it best goes to.
    hint: Option<u32>,
    /// The kernel has turned the line off, for all its devices.
    disabled: bool,
    unclaimed: u32,
    queued: bool,
    in_dpc: bool,
}

/// Something to run.
#[derive(Clone, Copy)]
pub(crate) enum Due {
    Isr(u32),
    Dpc(u32),
}

impl Due {
    pub(crate) fn vector(self) -> u32 {
        let (Self::Isr(vector) | Self::Dpc(vector)) = self;
        vector
    }
}

/// What the end of a handler means.
pub(crate) enum Finished {
    Claimed,
    /// Another device's, on the same line.
    Unclaimed,
    /// Too many of a line that nobody claims: it is disabled now.
    NobodyCared,
    /// A message that was answered as another device's.
    ForeignMessage,
}

impl Vectors {
    /// Are the vectors given to a plugin?
    pub(crate) fn are_taken(&self) -> bool {
        self.taken.is_some()
    }

    pub(crate) fn is_line(&self) -> bool {
        self.taken.is_some_and(|(kind, _)| kind == IrqKind::Line)
    }

    /// Notes the messages that the device has sent.
    pub(crate) fn note(&mut self, signals: &Signals) {
        if self.entry.is_none() || self.ending {
            return; // messages that come when nobody listens are lost
        }
        for &message in &signals.messages {
            if let Some(vector) = self.vectors.get_mut(usize::from(message)) {
                vector.message = true;
            }
        }
    }

    /// What may run at `level`, ISRs first. `line`: the device raises its line.
    pub(crate) fn due(&self, level: u8, line: bool) -> Option<Due> {
        self.entry?;
        let stray = self.neighbour > 0 && self.is_line();
        let isr = |vector: &Vector| {
            let raised = stray || !vector.masked && !vector.held && (vector.message || line);
            !self.ending && level < IRQL && !vector.in_isr && !vector.disabled && raised
        };
        let dpc = |vector: &Vector| level < DISPATCH && vector.queued && !vector.in_dpc;
        let find = |wanted: &dyn Fn(&Vector) -> bool| self.vectors.iter().position(wanted).map(|at| at as u32);
        find(&isr).map(Due::Isr).or_else(|| find(&dpc).map(Due::Dpc))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.entry.is_some()
    }

    /// Is a handler running?
    pub(crate) fn any_running(&self) -> bool {
        self.vectors.iter().any(|vector| vector.in_isr || vector.in_dpc)
    }

    /// Gives the plugin so many vectors of a kind.
    pub(crate) fn take(&mut self, kind: IrqKind, count: u16) {
        self.taken = Some((kind, count));
        self.vectors = vec![Vector::default(); usize::from(count)];
    }

    /// The kind and number of vectors that the plugin has.
    pub(crate) fn taken(&self) -> Option<(IrqKind, u16)> {
        self.taken
    }

    pub(crate) fn connect(&mut self, entry: IrqEntry) {
        self.entry = Some(entry);
        self.has_masked = false;
        self.ending = false;
    }

    /// No new ISR starts from now on. Errors: how the host is wrong.
    pub(crate) fn start_ending(&mut self) -> Result<(), String> {
        self.ending = true;
        match self.vectors.iter().position(|vector| vector.held) {
            Some(vector) => Err(format!("`irq_disconnect`: vector {vector} is masked by `irq_mask_vector`")),
            None => Ok(()),
        }
    }

    /// Nothing runs any more: the entry is forgotten.
    pub(crate) fn disconnect(&mut self) {
        self.entry = None;
        self.ending = false;
        let count = self.vectors.len();
        self.vectors = vec![Vector::default(); count];
    }

    pub(crate) fn release(&mut self) {
        self.taken = None;
        self.vectors.clear();
    }

    /// Another device on the line raises it, until handlers have run so often.
    pub(crate) fn set_neighbour(&mut self, runs: u32) {
        self.neighbour = runs;
    }

    /// Is this the first that the host masks since they were connected?
    pub(crate) fn is_first_mask(&mut self) -> bool {
        !std::mem::replace(&mut self.has_masked, true)
    }

    /// Keeps the device from a vector. False: it is not the one that interrupts.
    pub(crate) fn mask(&mut self, vector: u32, raises_line: bool) -> bool {
        let is_line = self.is_line();
        let Some(vector) = self.vectors.get_mut(vector as usize) else { return false };
        if is_line && (vector.masked || !raises_line) {
            return false; // another device's
        }
        vector.masked = true;
        true
    }

    /// A vector that is connected. Errors: how the host is wrong.
    fn connected(&mut self, called: &str, vector: u32) -> Result<&mut Vector, String> {
        if self.entry.is_none() || self.ending {
            return Err(format!("`{called}` was called with no interrupt connected"));
        }
        self.vectors.get_mut(vector as usize).ok_or_else(|| format!("`{called}`: there is no vector {vector}"))
    }

    /// Keeps a vector back, or no more. Errors: how the host is wrong.
    pub(crate) fn mask_vector(&mut self, vector: u32, mask: bool) -> Result<(), String> {
        if self.taken.is_some_and(|(kind, _)| kind != IrqKind::MsiX) {
            return Err("`irq_mask_vector` is for MSI-X".to_owned());
        }
        let state = self.connected("irq_mask_vector", vector)?;
        if std::mem::replace(&mut state.held, mask) == mask {
            return Err(format!(
                "`irq_mask_vector`: vector {vector} is {}masked already",
                if mask { "" } else { "not " }
            ));
        }
        Ok(())
    }

    /// Notes where a vector best goes to. Errors: how the host is wrong.
    pub(crate) fn hint(&mut self, vector: u32, processor: u32) -> Result<(), String> {
        self.connected("irq_hint", vector)?.hint = Some(processor);
        Ok(())
    }

    /// The processor that a vector best goes to.
    pub(crate) fn hinted(&self, vector: u32) -> Option<u32> {
        self.vectors.get(vector as usize)?.hint
    }

    /// Queues a DPC. Errors: how the caller, at this level, is wrong.
    pub(crate) fn queue_dpc(&mut self, level: u8, vector: u32) -> Result<(), String> {
        if level < DISPATCH {
            return Err(format!("`dpc_queue` was called at {}; it is for Irql and Dispatch", level_name(level)));
        }
        if self.entry.is_none() {
            return Err("`dpc_queue` was called with no interrupt connected".to_owned());
        }
        match self.vectors.get_mut(vector as usize) {
            None => Err(format!("`dpc_queue`: there is no vector {vector}")),
            Some(vector) if vector.queued => Err("`dpc_queue`: it is queued already".to_owned()),
            Some(vector) => {
                vector.queued = true;
                Ok(())
            }
        }
    }

    /// Marks what is due as running. None: another thread was faster between the look and here.
    pub(crate) fn start(&mut self, due: Due) -> Option<IrqEntry> {
        let entry = self.entry?;
        let vector = &mut self.vectors[due.vector() as usize];
        match due {
            Due::Isr(_) if vector.in_isr || self.ending => return None,
            Due::Isr(_) => {
                vector.in_isr = true;
                vector.message = false;
                self.neighbour = self.neighbour.saturating_sub(1);
            }
            Due::Dpc(_) if vector.in_dpc || !vector.queued => return None,
            Due::Dpc(_) => {
                vector.in_dpc = true;
                vector.queued = false;
            }
        }
        Some(entry)
    }

    /// Marks it as not running. `claimed`: it was the device's.
    pub(crate) fn finish(&mut self, due: Due, claimed: bool) -> Finished {
        let is_line = self.is_line();
        let vector = &mut self.vectors[due.vector() as usize];
        match due {
            Due::Isr(_) => vector.in_isr = false,
            Due::Dpc(_) => vector.in_dpc = false,
        }
        if claimed {
            vector.unclaimed = 0;
            return Finished::Claimed;
        }
        if !is_line {
            return Finished::ForeignMessage;
        }
        vector.unclaimed += 1;
        if vector.unclaimed != NOBODY_CARED {
            return Finished::Unclaimed;
        }
        vector.disabled = true;
        Finished::NobodyCared
    }
}

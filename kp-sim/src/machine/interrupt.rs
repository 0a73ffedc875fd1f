//! What the kernel functions for interrupts do.
use super::{Channel, Machine};
use crate::{level::PASSIVE, misuse::misuse, task::Task};
use kp_core::{
    Result, Status,
    host::{IrqEntry, IrqRequest, PreparedVectors},
};

impl Machine {
    pub(crate) fn prepare(&self, wanted: IrqRequest) -> Result<PreparedVectors> {
        if self.state().vectors.are_taken() {
            misuse("irq_prepare: the device's vectors are taken already");
        }
        if self.fails() {
            return Err(Status::NO_INTERRUPT.into());
        }
        let allowed = wanted.kinds.bits() & self.options().kinds;
        let mut offers = self.bus.kinds().into_iter();
        let offer = offers.find(|&(kind, count)| kind.bit() & allowed != 0 && u32::from(count) >= wanted.min);
        let (kind, has) = offer.ok_or(Status::NO_INTERRUPT)?;
        let count = u32::from(has).min(wanted.max) as u16;
        self.state().vectors.take(kind, count);
        Ok(PreparedVectors { kind, count: count.into() })
    }

    pub(crate) fn connect(&self, entry: IrqEntry) -> Result<()> {
        let taken = self.state().vectors.taken();
        let Some(taken) = taken else { misuse("irq_connect without irq_prepare") };
        if self.fails() {
            return Err(Status::CONNECT_FAILED.into());
        }
        let mut state = self.state();
        state.vectors.connect(entry);
        self.bus.listen(Some(taken));
        Ok(())
    }

    /// Ends what runs, runs what is queued.
    pub(crate) fn disconnect(&self, task: &Task) {
        let mut state = self.state();
        if !state.vectors.is_connected() {
            drop(state);
            // After a panic the host cannot know, and disconnects to be sure.
            if self.is_poisoned() {
                return;
            }
            misuse("irq_disconnect without irq_connect");
        }
        let ending = state.vectors.start_ending();
        drop(state);
        ending.unwrap_or_else(|wrong| misuse(&wrong));
        self.finish_handlers(task);
        let mut state = self.state();
        state.vectors.disconnect();
        self.bus.listen(None);
    }

    pub(crate) fn release_vectors(&self) {
        self.state().vectors.release();
    }

    pub(crate) fn mask(&self, vector: u32) -> bool {
        let raises_line = self.bus.raises_line();
        let mut state = self.state();
        // One of a plugin that has panicked is no storm.
        if !self.is_poisoned() && state.vectors.is_first_mask() {
            state.storms += 1;
        }
        state.vectors.mask(vector, raises_line)
    }

    /// Keeps a message from interrupting, or no more.
    pub(crate) fn mask_vector(&self, vector: u32, mask: bool) {
        let masked = self.state().vectors.mask_vector(vector, mask);
        masked.unwrap_or_else(|wrong| misuse(&wrong));
    }

    /// Says where a message best goes to.
    pub(crate) fn hint(&self, vector: u32, processor: u32) {
        let hinted = self.state().vectors.hint(vector, processor);
        hinted.unwrap_or_else(|wrong| misuse(&wrong));
    }

    pub(crate) fn queue_dpc(&self, task: &Task, vector: u32) {
        let queued = self.state().vectors.queue_dpc(task.level.get(), vector);
        queued.unwrap_or_else(|wrong| misuse(&wrong));
    }

    /// Waits for handlers that run, and runs those that are queued.
    pub(crate) fn finish_handlers(&self, task: &Task) {
        loop {
            self.wait_for(task, self.channel(Channel::Interrupt, 0), None, true, |state| !state.vectors.any_running());
            let due = self.state().vectors.due(PASSIVE, false);
            let Some(due) = due else { break };
            self.run_handler(task, due);
        }
    }
}

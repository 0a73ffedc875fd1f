//! What the kernel functions for timers and work items do. A timer's entry runs as a DPC does; a work item has a thread of its own for each
//! run.
use super::{Channel, Machine, deliver::guarded};
use crate::{
    context,
    misuse::{self, misuse},
    task::Task,
};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

impl Machine {
    pub(crate) fn set_timer(&self, number: u32, due: Option<u64>) {
        let set = self.state().timers.set(number, due);
        set.unwrap_or_else(|wrong| misuse(&wrong));
        // A thread that lets time pass has to know of it.
        self.wake(self.channel(Channel::Timer, 0));
    }

    /// Waits for what runs of it.
    pub(crate) fn free_timer(&self, task: &Task, number: u32) {
        self.set_timer(number, None);
        let channel = self.channel(Channel::Interrupt, 0);
        self.wait_for(task, channel, None, true, |state| !state.timers.is_running(number));
        self.state().timers.remove(number);
    }

    pub(crate) fn queue_work(self: &Arc<Self>, number: u32) {
        let queued = self.state().work_items.queue(number);
        queued.unwrap_or_else(|wrong| misuse(&wrong));
        let machine = self.clone();
        let run = move || machine.run_work(number);
        match &self.world {
            Some(world) => {
                let (world, thread) = (world.clone(), world.add_kernel_thread("work"));
                thread::spawn(move || world.run_thread(thread, run));
            }
            None => _ = thread::spawn(run),
        }
    }

    /// On a thread of its own.
    fn run_work(self: Arc<Self>, number: u32) {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            context::enter(&self, None, || {
                let Some(entry) = self.state().work_items.begin(number) else { return };
                // SAFETY: queued, so it is not freed; `enter` refuses to nest, so no other level is on this stack.
                let outcome = guarded(|| unsafe { (entry.run)(entry.cookie) });
                self.state().work_items.end(number);
                outcome.unwrap_or_else(|verdict| panic::resume_unwind(verdict));
            });
        }));
        if let Err(payload) = outcome {
            misuse::take();
            let text = format!("a work item's thread panicked: {}", misuse::message(&*payload));
            if let Some(world) = &self.world {
                world.fail(&text);
            }
            self.state().work_items.failure.get_or_insert(text);
        }
        self.wake(self.channel(Channel::Work, number));
    }

    /// Waits for what runs of it, and for what is queued.
    pub(crate) fn free_work_item(&self, task: &Task, number: u32) {
        let channel = self.channel(Channel::Work, number);
        let ends = |state: &mut super::State| state.work_items.failure.is_some() || !state.work_items.is_busy(number);
        self.wait_for(task, channel, None, true, ends);
        self.state().work_items.remove(number);
        let failure = self.state().work_items.failure.take();
        if let Some(failure) = failure {
            misuse(&failure);
        }
    }
}

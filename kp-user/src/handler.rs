//! A thread that hands notifications to a handler.
use crate::{Connection, Interrupts, Notification};
use kp_abi::{
    Counters, Error, Result, Status,
    request::{ANY_VECTOR, NO_TIMEOUT},
};
use std::{
    panic,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// A thread that waits for notifications and hands them to a handler. From [`Interrupts::on_notify`].
///
/// Dropping it disables the interrupt and waits until the handler has returned; a panic of the handler is then lost. If
/// the handler itself drops it, nothing waits.
#[derive(Debug)]
pub struct HandlerThread {
    interrupts: Interrupts,
    thread: Option<JoinHandle<Error>>,
}

impl Interrupts {
    /// Hands every notification to `handler`, in a thread of its own, until the interrupt is disabled, the session
    /// closed, or the device gone. The handler gets all that have come together: [`Notification::got`] says how many.
    ///
    /// [`NO_MEMORY`](Status::NO_MEMORY) if there is no thread to be had; the interrupt is then disabled.
    pub fn on_notify(self, handler: impl FnMut(Notification) + Send + 'static) -> Result<HandlerThread> {
        HandlerThread::start(self, handler)
    }
}

impl HandlerThread {
    fn start(interrupts: Interrupts, mut handler: impl FnMut(Notification) + Send + 'static) -> Result<Self> {
        let connection: Arc<dyn Connection> = interrupts.connection().clone();
        let run = move || loop {
            match connection.int_wait(NO_TIMEOUT, ANY_VECTOR, u32::MAX) {
                Ok(notification) => handler(notification),
                Err(error) => return error,
            }
        };
        let thread = thread::Builder::new().name("kp-interrupt".into()).spawn(run).map_err(|_| Status::NO_MEMORY)?;
        Ok(Self { interrupts, thread: Some(thread) })
    }

    /// The interrupt, for its counters.
    pub fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Has the thread ended? [`join`](Self::join) then says why, at once.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Disables the interrupt, waits until the handler has returned, and reads the final counters. Panics if the
    /// handler panicked.
    pub fn disable(mut self) -> Result<Counters> {
        let counters = self.interrupts.disable_once();
        self.end();
        counters
    }

    /// Waits until the thread ends by itself, and says why: [`INT_DISABLED`](Status::INT_DISABLED),
    /// [`CLOSED`](Status::CLOSED), [`DEVICE_GONE`](Status::DEVICE_GONE), or another answer of a wait. Panics if the
    /// handler panicked.
    pub fn join(mut self) -> Error {
        self.end()
    }

    fn end(&mut self) -> Error {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(error)) => error,
            Some(Err(payload)) => panic::resume_unwind(payload),
            None => Status::INT_DISABLED.into(),
        }
    }
}

impl Drop for HandlerThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // As in the drop of `Interrupts`, which comes too late: the thread ends only when the interrupt is off.
        // One that has ended has seen its enabling end, and perhaps there is another by now.
        if !thread.is_finished() || self.interrupts.is_current() {
            let _ = self.interrupts.disable_once();
        }
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

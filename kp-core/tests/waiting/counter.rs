//! A plugin that gives out tickets, for which calls wait.
use kp_abi::interface;
use kp_core::*;
use std::sync::atomic::{AtomicU32, Ordering::*};

/// The plugin.
pub struct Counter {
    tickets: SpinLock<u32, Dispatch>,
    given: WaitQueue,
    /// How long `close` waits for what never comes.
    close_ms: AtomicU32,
    /// Which one call holds while it waits.
    held: Mutex<()>,
}

impl Init for Counter {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counter {
            tickets: SpinLock::new(cx, 0)?,
            given: WaitQueue::new(cx)?,
            close_ms: AtomicU32::new(0),
            held: Mutex::new(cx, ())?,
        })
    }
}

impl Open for Counter {
    fn open(&self, _: &mut Passive, _: &Caller, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn close(&self, cx: &mut Passive, (): ()) {
        let ms = self.close_ms.swap(0, Relaxed);
        if ms != 0
            && let Err(error) = self.given.wait_until(cx, ms, |_| false)
        {
            log!("the wait in close: {}", error.status.name());
        }
    }
}

interface! {
    pub mod messages, version 1 {
        /// Takes a ticket, when there is one.
        fn take(ms: u32) = 1;
        /// Gives some, and wakes all who wait.
        fn give(count: u32) = 2;
        /// The next `close` waits so long.
        fn wait_in_close(ms: u32) = 3;
        /// Panics.
        fn panic() = 4;
        /// Waits for what never comes, with a lock held.
        fn hold() = 5;
        /// Takes that lock.
        fn touch() = 6;
    }
}

impl messages::Handler<Passive> for Counter {
    fn take(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.given.wait_until(cx, ms, |cx| {
            self.tickets.with(cx, |tickets, _| {
                let has_one = *tickets > 0;
                *tickets -= u32::from(has_one);
                has_one
            })
        })
    }
    fn give(&self, cx: &mut Passive, _: &(), count: u32) -> Result<()> {
        for _ in 0..count {
            self.tickets.with(cx, |tickets, cx| {
                *tickets += 1;
                self.given.wake(cx);
            });
        }
        self.given.wake(cx);
        Ok(())
    }
    fn wait_in_close(&self, _: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.close_ms.store(ms, Relaxed);
        Ok(())
    }
    fn panic(&self, _: &mut Passive, _: &()) -> Result<()> {
        panic!("planted")
    }
    fn hold(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.held.with(cx, |(), cx| self.given.wait_until(cx, u32::MAX, |_| false))
    }
    fn touch(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.held.with(cx, |(), _| ());
        Ok(())
    }
}

plugin! { Counter { name: "counter", interface: messages, callbacks: [Open] } }

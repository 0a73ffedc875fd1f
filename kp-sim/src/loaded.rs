//! A kernel with a plugin in it: what apps and the simulator share.
use crate::{clock::STEP_NS, context, live::Live, machine::Machine, process::Process, sync::lock};
use kp_core::{
    Passive, Plugin,
    host::{BoundDevice, passive},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::*},
};

/// What apps and the simulator share.
pub(crate) struct Loaded<P: Plugin> {
    pub(crate) machine: Arc<Machine>,
    /// None once the plugin is unloaded.
    driver: Mutex<Option<BoundDevice<P>>>,
    removed: Mutex<bool>,
    /// Held while the driver is notified of a suspend, a resume, a reset or its removal: one of them at a time.
    device_lock: AtomicBool,
}

/// Runs `f` in the kernel, at Passive, for a process or for the kernel itself.
pub(crate) fn in_kernel<R>(machine: &Arc<Machine>, process: Option<&Process>, f: impl FnOnce(&mut Passive) -> R) -> R {
    // SAFETY: `enter` refuses to nest, so no other level is on this stack.
    context::enter(machine, process.cloned(), || unsafe { passive(f) })
}

/// What is left fails the test, unless a plugin that panicked has left it.
pub(crate) fn check_leaks(machine: &Machine) {
    machine.free_late();
    let live = machine.live();
    if live == Live::default() {
        return;
    }
    if machine.is_poisoned() {
        machine.write_log(&format!("left by a plugin that panicked: {live}"));
    } else {
        panic!("left at unload: {live}; something was not given back");
    }
}

/// An interrupt that never ended fails the test, unless the test has asked about it.
fn check_storms(machine: &Machine) {
    let storms = machine.state().storms;
    assert!(
        storms == 0,
        "an interrupt never ended, and the host has masked it: does `int_at_irql` quiet the device? A test that means it asks for \
         `Sim::storms`"
    );
}

/// Gives the device's lock back, after a panic too.
struct DeviceGuard<'a>(&'a AtomicBool);

impl Drop for DeviceGuard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

impl<P: Plugin> Loaded<P> {
    pub(crate) fn new(machine: Arc<Machine>, driver: BoundDevice<P>) -> Self {
        let driver = Mutex::new(Some(driver));
        Self { machine, driver, removed: Mutex::new(false), device_lock: AtomicBool::new(false) }
    }

    /// The driver, while the plugin is loaded.
    pub(crate) fn driver(&self) -> Option<BoundDevice<P>> {
        lock(&self.driver).clone()
    }

    /// Sends a process, or one thread of it, a signal.
    pub(crate) fn signal(&self, process: &Process, fatal: bool) {
        process.send_signal(fatal);
        context::enter(&self.machine, None, || self.machine.wake_all());
    }

    /// Runs `f` in the kernel, with the device's lock held.
    pub(crate) fn with_device_lock<R>(&self, f: impl FnOnce(&mut Passive) -> R) -> R {
        in_kernel(&self.machine, None, |cx| {
            while self.device_lock.swap(true, Acquire) {
                self.machine.sleep(&context::current(), STEP_NS);
            }
            let _guard = DeviceGuard(&self.device_lock);
            f(cx)
        })
    }

    pub(crate) fn remove(&self, present: bool) {
        if std::mem::replace(&mut *lock(&self.removed), true) {
            return;
        }
        let Some(driver) = self.driver() else { return };
        if !present {
            self.machine.bus.pull_out();
        }
        self.with_device_lock(|cx| {
            // SAFETY: the device's lock is held.
            unsafe { driver.remove(cx, present) };
            drop(driver);
        });
    }

    pub(crate) fn unload(&self) {
        self.remove(true);
        let driver = lock(&self.driver).take();
        if driver.is_some() {
            in_kernel(&self.machine, None, |_| drop(driver));
            check_leaks(&self.machine);
            check_storms(&self.machine);
        }
    }
}

impl<P: Plugin> Drop for Loaded<P> {
    fn drop(&mut self) {
        // A test that fails already is not to wait for anything; what it holds stays. Nobody can ask for the log any more.
        if std::thread::panicking() {
            self.machine.log_lines().iter().for_each(|line| eprintln!("{line}"));
            std::mem::forget(lock(&self.driver).take());
        } else {
            self.unload();
        }
    }
}

//! Where a thread is: in which kernel, for which process, at which level, with which locks.
use crate::{machine::Machine, misuse::misuse, user::Process};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

/// Passive, Dispatch, Irql: the numbers of [`kp_core::host::LockKind`].
pub(crate) const PASSIVE: u8 = 0;
pub(crate) const DISPATCH: u8 = 1;
pub(crate) const IRQL: u8 = 2;

/// A level's name.
pub(crate) fn level_name(level: u8) -> &'static str {
    ["Passive", "Dispatch", "Irql"][usize::from(level.min(IRQL))]
}

/// A thread inside a kernel.
pub(crate) struct Context {
    pub(crate) machine: Arc<Machine>,
    /// Whose call it is; none for `init`, removal, and the hardware.
    pub(crate) process: Option<Process>,
    pub(crate) level: Cell<u8>,
    /// Numbers of the locks that this code holds, in the order of their taking.
    pub(crate) held: RefCell<Vec<u32>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

/// The calling thread's kernel, if it is in one.
pub(crate) fn try_current() -> Option<Rc<Context>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The calling thread's kernel.
pub(crate) fn current() -> Rc<Context> {
    match try_current() {
        Some(context) => context,
        None => misuse("this thread is in no simulated kernel: go through an `App`, or wrap the code in `Sim::enter`"),
    }
}

/// Puts the thread back where it was, also by a panic.
struct RestoreContext(Option<Rc<Context>>);
impl Drop for RestoreContext {
    fn drop(&mut self) {
        CURRENT.with(|current| *current.borrow_mut() = self.0.take());
    }
}

/// Runs `f` in `machine`, at Passive.
pub(crate) fn enter<R>(machine: &Arc<Machine>, process: Option<Process>, f: impl FnOnce() -> R) -> R {
    if try_current().is_some() {
        // A second `Passive` in one thread would outlive a raise of the first.
        misuse("a system call from inside the kernel: plugin code must not call an `App` or a `Sim`");
    }
    machine.check_thread();
    on_idle_cpu(machine, process, || {
        machine.schedule_point("enter", 0);
        let answer = f();
        let context = current();
        machine.deliver_pending(&context);
        machine.schedule_point("leave", 0);
        let held = context.held.borrow().clone();
        if let Some(lock) = held.first() {
            misuse(&format!("lock #{lock} is still held at the return from the kernel"));
        }
        answer
    })
}

/// Runs `f` in `machine` whatever the thread was doing: a processor that was idle takes an interrupt.
pub(crate) fn on_idle_cpu<R>(machine: &Arc<Machine>, process: Option<Process>, f: impl FnOnce() -> R) -> R {
    let context = Context { machine: machine.clone(), process, level: Cell::new(PASSIVE), held: RefCell::default() };
    let _back = RestoreContext(CURRENT.with(|current| current.borrow_mut().replace(Rc::new(context))));
    f()
}

impl Context {
    /// Panics unless the thread runs at `highest` or below.
    pub(crate) fn at_most(&self, highest: u8, what: &str) {
        let level = self.level.get();
        if level > highest && !std::thread::panicking() {
            let (is, may) = (level_name(level), level_name(highest));
            misuse(&format!("`{what}` was called at {is}; it is allowed at {may} at most"));
        }
    }

    /// Runs `f` at `level`, as an interrupt does: what the thread holds is out of sight meanwhile.
    pub(crate) fn interrupted<R>(&self, level: u8, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Context, u8, Vec<u32>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.level.set(self.1);
                *self.0.held.borrow_mut() = std::mem::take(&mut self.2);
            }
        }
        let _restore = Restore(self, self.level.replace(level), std::mem::take(&mut *self.held.borrow_mut()));
        f()
    }
}

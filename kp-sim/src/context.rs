//! Where a thread is: in which kernel, and as what.
use crate::{machine::Machine, misuse::misuse, process::Process, task::Task};
use std::{cell::RefCell, ops::Deref, rc::Rc, sync::Arc};

/// A thread in its kernel.
pub(crate) struct Context {
    pub(crate) machine: Arc<Machine>,
    task: Task,
}

/// The kernel's parts ask for the task alone.
impl Deref for Context {
    type Target = Task;
    fn deref(&self) -> &Task {
        &self.task
    }
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
    let context = Context { machine: machine.clone(), task: Task::new(process) };
    let _back = RestoreContext(CURRENT.with(|current| current.borrow_mut().replace(Rc::new(context))));
    f()
}

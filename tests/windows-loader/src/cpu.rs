//! The thread that runs: its simulated processor's IRQL and locks, its process, and the ways into the driver and out of it.
//!
//! Every thread is a processor of its own, so nothing is ever preempted: what a level forbids on one processor is found by the checks,
//! and what it allows to happen on others does happen.
use crate::{
    kernel::Kernel,
    process::Process,
    rule::{Broken, Rule},
};
use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Interrupt request levels.
pub mod level {
    /// May sleep.
    pub const PASSIVE: u8 = 0;
    /// DPCs, and who holds a spin lock.
    pub const DISPATCH: u8 = 2;
    /// Nothing interrupts.
    pub const HIGH: u8 = 15;
}

/// A spin lock in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) lock: usize,
    /// The level before, if taking it has raised the level.
    pub(crate) before: Option<u8>,
}

#[derive(Default)]
struct Cpu {
    kernel: RefCell<Option<Arc<Kernel>>>,
    process: RefCell<Option<Arc<Process>>>,
    irql: Cell<u8>,
    /// In the order of their taking.
    held: RefCell<Vec<Held>>,
    critical_regions: Cell<u32>,
    in_power: Cell<bool>,
    /// Stack pointers of the calls into the driver that are under way.
    entries: RefCell<Vec<usize>>,
}

thread_local! {
    static CPU: Cpu = Cpu::default();
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0x10);
        NEXT.fetch_add(4, Relaxed)
    };
}

/// The thread's number, a multiple of four as in NT, and never 0.
pub(crate) fn thread_id() -> usize {
    THREAD.with(|id| *id)
}

/// The kernel that this thread is in.
///
/// # Panics
/// Outside of [`attached`].
pub(crate) fn kernel() -> Arc<Kernel> {
    try_kernel().expect("a driver runs only on threads of a simulated kernel")
}

/// The same, if there is one.
pub(crate) fn try_kernel() -> Option<Arc<Kernel>> {
    CPU.with(|cpu| cpu.kernel.borrow().clone())
}

/// The process whose memory this thread sees; None is the system's.
pub(crate) fn process() -> Option<Arc<Process>> {
    CPU.with(|cpu| cpu.process.borrow().clone())
}

/// Runs `f` as a thread of a process, or of the system.
pub(crate) fn attached<R>(kernel: &Arc<Kernel>, process: Option<&Arc<Process>>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<Kernel>>, Option<Arc<Process>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CPU.with(|cpu| {
                cpu.kernel.replace(self.0.take());
                cpu.process.replace(self.1.take());
            });
        }
    }
    let _restore =
        CPU.with(|cpu| Restore(cpu.kernel.replace(Some(kernel.clone())), cpu.process.replace(process.cloned())));
    f()
}

/// The current level.
pub(crate) fn irql() -> u8 {
    CPU.with(|cpu| cpu.irql.get())
}

/// Sets the level, and answers the one before.
pub(crate) fn set_irql(to: u8) -> u8 {
    CPU.with(|cpu| cpu.irql.replace(to))
}

/// The spin locks that this thread holds.
pub(crate) fn held<R>(f: impl FnOnce(&mut Vec<Held>) -> R) -> R {
    CPU.with(|cpu| f(&mut cpu.held.borrow_mut()))
}

/// Enters (1) or leaves (-1) a critical region. False: there was none to leave.
pub(crate) fn critical_region(by: i32) -> bool {
    CPU.with(|cpu| match cpu.critical_regions.get().checked_add_signed(by) {
        Some(regions) => {
            cpu.critical_regions.set(regions);
            true
        }
        None => false,
    })
}

/// Are normal kernel APCs off: and with them the end of a thread that waits?
pub(crate) fn in_critical_region() -> bool {
    CPU.with(|cpu| cpu.critical_regions.get() != 0)
}

/// Runs a power request's dispatch routine, or another.
pub(crate) fn dispatching<R>(power: bool, f: impl FnOnce() -> R) -> R {
    let before = CPU.with(|cpu| cpu.in_power.replace(power));
    let result = f();
    CPU.with(|cpu| cpu.in_power.set(before));
    result
}

/// Does a power request's dispatch routine run?
pub(crate) fn in_power_dispatch() -> bool {
    CPU.with(|cpu| cpu.in_power.get())
}

std::arch::global_asm!(
    r#"
    .text
    .globl windows_loader_enter
windows_loader_enter:                        # (rsp: &mut usize, f, arguments: &[usize; 6]) -> (answer, was left)
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 56                              # aligned; the callee's own 32 bytes, and two arguments
    mov [rdi], rsp
    mov rax, rsi
    mov r10, rdx
    mov rcx, [r10]
    mov rdx, [r10 + 8]
    mov r8, [r10 + 16]
    mov r9, [r10 + 24]
    mov r11, [r10 + 32]
    mov [rsp + 32], r11
    mov r11, [r10 + 40]
    mov [rsp + 40], r11
    call rax
    xor edx, edx
2:
    cld
    add rsp, 56
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
    .globl windows_loader_leave
windows_loader_leave:                        # (rsp): goes back to who entered
    mov rsp, rdi
    xor eax, eax
    mov edx, 1
    jmp 2b
"#
);

#[repr(C)]
struct Answer {
    value: usize,
    was_left: usize,
}

unsafe extern "sysv64" {
    fn windows_loader_enter(rsp: *mut usize, f: usize, arguments: &[usize; 6]) -> Answer;
    fn windows_loader_leave(rsp: usize) -> !;
}

/// Calls a function of the driver at the level `irql`, with up to six arguments. None: the kernel was stopped meanwhile.
///
/// The driver must come back as it was called: at the same level, with no spin lock and in no critical region.
pub(crate) fn call(what: &str, f: usize, irql: u8, arguments: &[usize]) -> Option<usize> {
    call_releasing(what, f, (irql, irql), 0, arguments)
}

/// As [`call`], of a function that comes back at another level, having released `locks` spin locks that its caller has taken.
pub(crate) fn call_releasing(
    what: &str,
    f: usize,
    (irql, irql_after): (u8, u8),
    locks: usize,
    arguments: &[usize],
) -> Option<usize> {
    if kernel().is_stopped() {
        return None;
    }
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    let before = set_irql(irql);
    let held_before = held(|held| held.len()) - locks;
    let regions = CPU.with(|cpu| cpu.critical_regions.get());
    let mut rsp = 0usize;
    let place = &raw mut rsp;
    CPU.with(|cpu| cpu.entries.borrow_mut().push(place.expose_provenance()));
    // SAFETY: a function of the driver, or of this crate, with the Microsoft calling convention; what it does is what is tested here.
    // `place` lives in this frame.
    let answer = unsafe { windows_loader_enter(place, f, &six) };
    CPU.with(|cpu| cpu.entries.borrow_mut().pop());
    let after = set_irql(before);
    let held_after = held(|held| {
        let after = held.len();
        held.truncate(held_before);
        after
    });
    let regions_after = CPU.with(|cpu| cpu.critical_regions.replace(regions));
    if answer.was_left != 0 {
        return None;
    }
    let wrong = if after != irql_after {
        Rule::IrqlKept.broken(format!("{what} was called at IRQL {irql} and returned at {after}"))
    } else if held_after != held_before {
        Rule::SpinLockKept.broken(format!("{what} returned with {held_after} spin locks held and not {held_before}"))
    } else if regions_after != regions {
        Rule::RegionKept.broken(format!("{what} returned in a critical region"))
    } else {
        return Some(answer.value);
    };
    fail(wrong)
}

/// Gives up the call into the driver that is under way on this thread: its frames are dropped as they are. Outside of the driver: panics
/// with the verdict.
///
/// Nobody on this thread may hold a lock of the loader.
pub(crate) fn abandon() -> ! {
    let place = CPU.with(|cpu| cpu.entries.borrow().last().copied());
    match place {
        Some(place) => {
            // SAFETY: written by `windows_loader_enter`, whose caller's frame is still there.
            let rsp = unsafe { std::ptr::with_exposed_provenance::<usize>(place).read() };
            // SAFETY: the stack of a call under way, on this thread. The frames above it are the driver's, and functions of this crate
            // that hold nothing that matters any more: the kernel is stopped for good.
            unsafe { windows_loader_leave(rsp) }
        }
        None => match try_kernel().and_then(|kernel| kernel.verdict()) {
            Some(verdict) => panic!("{verdict}"),
            None => panic!("abandoned without a verdict"),
        },
    }
}

/// Stops the kernel because the driver broke a rule.
pub(crate) fn fail(broken: Broken) -> ! {
    kernel().stop(broken.into());
    abandon()
}

/// The value, or the end of the run.
pub(crate) fn checked<T>(result: Result<T, Broken>) -> T {
    match result {
        Ok(value) => value,
        Err(broken) => fail(broken),
    }
}

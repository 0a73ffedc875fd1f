//! What the processor refuses: an access to memory that is not there becomes an exception in the driver, or an access to a device's
//! registers; in a guarded copy of the loader's own, a false answer. Anything else ends the run, or the process.
use crate::{
    cpu,
    kernel::{Kernel, Verdict},
    nt::{NtStatus, STATUS_ACCESS_VIOLATION, STATUS_DATATYPE_MISALIGNMENT},
    ports,
    space::PAGE,
    unwind::{self, RSP, Registers},
};
use libc::{REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RAX, REG_RBP, REG_RBX, REG_RCX};
use libc::{REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP, c_int, c_void, siginfo_t, ucontext_t};
use std::{
    mem::zeroed,
    ptr,
    sync::{Once, OnceLock},
};

/// The general registers by their number in machine code.
const GENERAL: [c_int; 16] = [
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12,
    REG_R13, REG_R14, REG_R15,
];

std::arch::global_asm!(
    r#"
    .text
    .globl windows_loader_copy, windows_loader_copy_at, windows_loader_copy_failed
windows_loader_copy:                         # (to, from, len): 0, or 1 after a fault
    mov rcx, rdx
windows_loader_copy_at:
    rep movsb
    xor eax, eax
    ret
windows_loader_copy_failed:
    mov eax, 1
    ret

    .globl windows_loader_probe_read, windows_loader_probe_write, windows_loader_raise
windows_loader_probe_read:
    sub rsp, 40
    call {read}
    jmp 2f
windows_loader_probe_write:
    sub rsp, 40
    call {write}
2:
    add rsp, 40
    test eax, eax
    jnz windows_loader_raise
    ret
windows_loader_raise:                        # eax: the exception's code; on the stack: where it is raised
    hlt
"#,
    read = sym probe_read,
    write = sym probe_write,
);

unsafe extern "sysv64" {
    fn windows_loader_copy(to: usize, from: usize, len: usize) -> u32;
    fn windows_loader_copy_at();
    fn windows_loader_copy_failed();
    fn windows_loader_probe_read();
    fn windows_loader_probe_write();
    fn windows_loader_raise();
}

fn address(f: unsafe extern "sysv64" fn()) -> usize {
    (f as *const ()).expose_provenance()
}

/// ProbeForRead and ProbeForWrite, as drivers call them.
pub(crate) fn probes() -> (usize, usize) {
    (address(windows_loader_probe_read), address(windows_loader_probe_write))
}

/// Copies bytes from or to addresses that nobody promises anything about. False: some of them are not there.
pub(crate) fn copy(to: usize, from: usize, len: usize) -> bool {
    install();
    // SAFETY: a fault in it is caught; memory that is there is the caller's to read and to write.
    unsafe { windows_loader_copy(to, from, len) == 0 }
}

fn probe(start: usize, len: usize, align: u32) -> NtStatus {
    if len == 0 {
        return 0;
    }
    if !start.is_multiple_of(align.max(1) as usize) {
        return STATUS_DATATYPE_MISALIGNMENT;
    }
    if cpu::kernel().space.is_user(start, len) { 0 } else { STATUS_ACCESS_VIOLATION }
}

extern "efiapi" fn probe_read(start: usize, len: usize, align: u32) -> NtStatus {
    probe(start, len, align)
}

/// Touches every page.
extern "efiapi" fn probe_write(start: usize, len: usize, align: u32) -> NtStatus {
    let refused = probe(start, len, align);
    if refused != 0 {
        return refused;
    }
    let mut at = start;
    while at < start + len {
        let mut byte = 0u8;
        let place = (&raw mut byte).expose_provenance();
        if !copy(place, at, 1) || !copy(at, place, 1) {
            return STATUS_ACCESS_VIOLATION;
        }
        at = (at + PAGE) / PAGE * PAGE;
    }
    0
}

static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Takes the signal over, once per process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all zeros are a valid sigaction.
        let mut before: libc::sigaction = unsafe { zeroed() };
        // SAFETY: as above.
        let mut ours: libc::sigaction = unsafe { zeroed() };
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_fault;
        ours.sa_sigaction = (handler as *const ()).expose_provenance();
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        // SAFETY: a handler of the right type, which hands on what is not its own.
        let result = unsafe { libc::sigaction(libc::SIGSEGV, &ours, &mut before) };
        assert_eq!(result, 0, "no handler for faults can be installed");
        // Called once.
        let _ = BEFORE.set(before);
    });
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes the interrupted context.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    let rip = context.uc_mcontext.gregs[REG_RIP as usize] as usize;
    if rip == address(windows_loader_copy_at) {
        context.uc_mcontext.gregs[REG_RIP as usize] = address(windows_loader_copy_failed) as i64;
        return;
    }
    // SAFETY: as above.
    let at = unsafe { (*info).si_addr() }.expose_provenance();
    let raised = rip == address(windows_loader_raise);
    if let Some(kernel) = cpu::try_kernel() {
        if raised || kernel.image_at(rip).is_some() {
            in_driver(&kernel, context, rip, at, raised);
            return;
        }
        if rip == at {
            nowhere(&kernel, context, rip);
        }
    }
    eprintln!(
        "windows-loader: a fault at {at:#x}, in the loader itself ({rip:#x}): a driver has passed a bad pointer, perhaps"
    );
    if let Some(before) = BEFORE.get() {
        // SAFETY: the handler that was there before; the access faults again, and meets it.
        unsafe { libc::sigaction(signal, before, ptr::null_mut()) };
    }
}

/// The processor was sent where there is no code: by the driver, if it is what has called.
fn nowhere(kernel: &Kernel, context: &ucontext_t, rip: usize) {
    let rsp = context.uc_mcontext.gregs[REG_RSP as usize] as usize;
    // SAFETY: the stack that was in use, which is mapped.
    let caller = unsafe { ptr::with_exposed_provenance::<usize>(rsp).read() };
    if let Some(image) = kernel.image_at(caller) {
        let place = format!("{}+{:#x}", image.name, caller - image.base);
        kernel.stop(Verdict::Fault(format!("{rip:#x} was called, where there is no code, from before {place}")));
        cpu::abandon();
    }
}

/// A fault of the driver's own instruction, or an exception that a kernel function raises in it.
fn in_driver(kernel: &Kernel, context: &mut ucontext_t, rip: usize, at: usize, raised: bool) {
    let mut registers = registers(context);
    let code = match raised {
        true => registers.general[0] as u32 as NtStatus,
        false => STATUS_ACCESS_VIOLATION,
    };
    if raised {
        // SAFETY: the return address of the driver's call, which is on top of the stack there.
        registers.rip = unsafe { ptr::with_exposed_provenance::<usize>(registers.general[RSP]).read() };
        registers.general[RSP] += 8;
    }
    if !raised {
        let accessed = match kernel.mappings.access(kernel, rip, at, &mut registers.general) {
            Ok(None) => ports::access(kernel, rip, &mut registers.general),
            accessed => accessed,
        };
        match accessed {
            Ok(None) => {}
            Ok(Some(len)) => {
                registers.rip += len;
                restore(context, &registers);
                return;
            }
            Err(broken) => cpu::fail(broken),
        }
    }
    let image = kernel.image_at(registers.rip);
    if let Some(handler) = image.as_ref().and_then(|image| unwind::handler(image, registers, !raised)) {
        restore(context, &handler);
        context.uc_mcontext.gregs[REG_RAX as usize] = i64::from(code as u32);
        return;
    }
    let place = image.map_or_else(|| format!("{rip:#x}"), |image| format!("{}+{:#x}", image.name, rip - image.base));
    let what = if raised { format!("the exception {code:#x} was raised") } else { format!("{at:#x} was touched") };
    kernel.stop(Verdict::Fault(format!("{what} at {place}, and no handler was there (IRQL {})", cpu::irql())));
    cpu::abandon();
}

fn registers(context: &ucontext_t) -> Registers {
    let gregs = &context.uc_mcontext.gregs;
    let mut xmm = [0; 16];
    // SAFETY: the system always saves them on x86-64.
    let saved = unsafe { &*context.uc_mcontext.fpregs };
    for (to, from) in xmm.iter_mut().zip(&saved._xmm) {
        let [a, b, c, d] = from.element.map(u128::from);
        *to = a | b << 32 | c << 64 | d << 96;
    }
    Registers {
        rip: gregs[REG_RIP as usize] as usize,
        general: GENERAL.map(|register| gregs[register as usize] as usize),
        xmm,
    }
}

fn restore(context: &mut ucontext_t, registers: &Registers) {
    let gregs = &mut context.uc_mcontext.gregs;
    gregs[REG_RIP as usize] = registers.rip as i64;
    for (register, value) in GENERAL.into_iter().zip(registers.general) {
        gregs[register as usize] = value as i64;
    }
    // SAFETY: as in `registers`.
    let saved = unsafe { &mut *context.uc_mcontext.fpregs };
    for (to, from) in saved._xmm.iter_mut().zip(registers.xmm) {
        to.element = [0, 32, 64, 96].map(|shift| (from >> shift) as u32);
    }
}

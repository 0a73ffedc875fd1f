//! The guest's ways out: the result port and the exit device.

use super::plan::{END_TAG, EXIT_PORT, OUTPUT_TAG, STEP_TAG, TROUBLE_TAG};
use anyhow::{Context, Result};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The second serial port, where results go.
pub(super) struct Port {
    file: File,
}

impl Port {
    /// Opens it, and turns off everything that a terminal does to its bytes.
    pub(super) fn open() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        let file = options.open("/dev/ttyS1").context("cannot open the result port")?;
        let mut settings = tcgetattr(&file).context("the result port is no terminal")?;
        settings.make_raw();
        tcsetattr(&file, OptionalActions::Now, &settings).context("cannot set up the result port")?;
        Ok(Port { file })
    }

    /// Sends a line that a program printed.
    pub(super) fn output(&self, line: &str) {
        self.send(OUTPUT_TAG, line);
    }

    /// Reports on a step.
    pub(super) fn step(&self, index: usize, result: Result<(), String>) {
        match result {
            Ok(()) => self.send(STEP_TAG, &format!("step {index}: ok")),
            Err(why) => self.send(STEP_TAG, &format!("step {index}: failed: {why}")),
        }
    }

    /// Reports trouble of the guest's own.
    pub(super) fn trouble(&self, line: &str) {
        self.send(TROUBLE_TAG, line);
    }

    /// Says what the guest ends with, and waits until that is out.
    pub(super) fn end(&self, code: u8) {
        self.send(END_TAG, &code.to_string());
        // The host then knows it by the exit device, or takes its absence for a failure.
        let _ = tcdrain(&self.file);
    }

    /// Waits for one byte from the host. The host ends a guest that takes too long.
    pub(super) fn wait_for_host(&self) -> Result<()> {
        (&self.file).read_exact(&mut [0]).context("the result port is closed")
    }

    fn send(&self, tag: char, line: &str) {
        if (&self.file).write_all(format!("{tag}{line}\n").as_bytes()).is_err() {
            // Without a result port nobody can be told; the exit code has to do.
            exit(super::plan::FAILURE_CODE);
        }
    }
}

/// Ends the virtual machine: QEMU's status becomes `code * 2 + 1`. A kernel that is locked down, or hardened, lets nobody use ports: then it is
/// switched off, and what [`Port::end`] has said counts.
#[cfg(target_arch = "x86_64")]
pub(super) fn exit(code: u8) -> ! {
    use std::arch::asm;
    /// The number of ioperm(2) on x86-64.
    const IOPERM: u64 = 173;
    let refused: u64;
    // SAFETY: ioperm(2) reads no memory; it lets this thread use the four ports from `EXIT_PORT`. `syscall` overwrites rcx and
    // r11, which are named.
    unsafe {
        asm!("syscall", inlateout("rax") IOPERM => refused, in("rdi") u64::from(EXIT_PORT), in("rsi") 4_u64, in("rdx") 1_u64,
            out("rcx") _, out("r11") _, options(nostack));
    }
    if refused != 0 {
        power_off();
    }
    // SAFETY: writing to the exit device ends the machine and touches no memory, and the port is this thread's to use. Were there no such device,
    // the write would do nothing.
    unsafe {
        asm!("out dx, eax", in("dx") EXIT_PORT, in("eax") u32::from(code), options(nostack, nomem, preserves_flags));
    }
    power_off()
}

/// Ends the virtual machine. Without an exit device the host takes it for a failure.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn exit(_code: u8) -> ! {
    power_off()
}

fn power_off() -> ! {
    // An error leaves the loop: the host's time limit ends it.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

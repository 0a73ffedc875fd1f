//! QEMU's edu as a process sees it: its registers, its configuration space, and a thread that has it interrupt.
use crate::clock;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread::JoinHandle,
};

const RAISE: usize = 0x60;
const ACKNOWLEDGE: usize = 0x64;
const SOURCE: usize = 0x80;
const TARGET: usize = 0x88;
const COUNT: usize = 0x90;
const COMMAND: usize = 0x98;
/// Of COMMAND.
const RUN: u64 = 1 << 0;
const TO_MEMORY: u64 = 1 << 1;
const INTERRUPT_WHEN_DONE: u64 = 1 << 2;
/// Where the card has its own memory.
const INSIDE: u64 = 0x4_0000;
/// The interrupt's bit for the end of a transfer.
pub const WHEN_DONE: u32 = 1 << 8;
/// High byte of the command register, where INTx is disabled.
const COMMAND_HIGH: u64 = 5;
const INTX_DISABLE: u8 = 1 << 2;

/// The device's folder in /sys.
pub fn folder() -> Result<PathBuf, String> {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let all = fs::read_dir("/sys/bus/pci/devices").map_err(|error| format!("no PCI bus: {error}"))?;
    all.flatten()
        .map(|entry| entry.path())
        .find(|path| read(path.join("vendor")).trim() == "0x1234" && read(path.join("device")).trim() == "0x11e8")
        .ok_or_else(|| "this guest has no edu".to_owned())
}

/// BAR 0, mapped.
#[derive(Clone, Copy)]
pub struct Registers(usize);

impl Registers {
    /// Maps them beside the driver that has the device, for good. The kernel has to be booted with `iomem=relaxed`.
    pub fn map() -> Result<Self, String> {
        let path = folder()?.join("resource0");
        let failed = |error| format!("{}: {error}", path.display());
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        Self::in_file(&file, 0).map_err(failed)
    }

    /// Maps what a file has at this offset, for good.
    pub fn in_file(file: &File, offset: u64) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let offset = offset as libc::off_t;
        // SAFETY: new memory at an address of the kernel's choice.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), offset) };
        if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(base.expose_provenance())) }
    }

    #[inline(always)]
    fn write(self, at: usize, value: u32) {
        let register = std::ptr::with_exposed_provenance_mut::<u32>(self.0 + at);
        // SAFETY: inside the page that `in_file` mapped and nobody unmaps.
        unsafe { register.write_volatile(value) }
    }

    /// Has the device interrupt.
    #[inline(always)]
    pub fn raise(self) {
        self.write(RAISE, 1);
    }

    /// Acknowledges the interrupt.
    #[inline(always)]
    pub fn acknowledge(self) {
        self.acknowledge_bits(1);
    }

    /// Acknowledges these bits of the interrupt.
    #[inline(always)]
    pub fn acknowledge_bits(self, bits: u32) {
        self.write(ACKNOWLEDGE, bits);
    }

    #[inline(always)]
    fn write_wide(self, at: usize, value: u64) {
        let register = std::ptr::with_exposed_provenance_mut::<u64>(self.0 + at);
        // SAFETY: inside the page that `in_file` mapped and nobody unmaps.
        unsafe { register.write_volatile(value) }
    }

    /// Has the card write so many bytes of its own memory, and interrupt then.
    #[inline(always)]
    pub fn write_memory(self, at: u64, len: u64) {
        self.transfer(INSIDE, at, len, TO_MEMORY);
    }

    /// Has the card read so many bytes into its own memory, and interrupt then.
    #[inline(always)]
    pub fn read_memory(self, at: u64, len: u64) {
        self.transfer(at, INSIDE, len, 0);
    }

    #[inline(always)]
    fn transfer(self, source: u64, target: u64, len: u64, direction: u64) {
        self.write_wide(SOURCE, source);
        self.write_wide(TARGET, target);
        self.write_wide(COUNT, len);
        self.write_wide(COMMAND, RUN | INTERRUPT_WHEN_DONE | direction);
    }
}

/// The device's INTx, on and off by its configuration space: how a UIO process takes the next interrupt.
pub struct Line {
    config: File,
    enabled: [u8; 1],
}

impl Line {
    /// With INTx enabled.
    pub fn enabled() -> Result<Self, String> {
        let path = folder()?.join("config");
        let failed = |error| format!("{}: {error}", path.display());
        let config = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let mut command = [0];
        config.read_exact_at(&mut command, COMMAND_HIGH).map_err(failed)?;
        let line = Self { config, enabled: [command[0] & !INTX_DISABLE] };
        line.enable();
        Ok(line)
    }

    /// Enables INTx again, which the kernel's handler has disabled.
    #[inline(always)]
    pub fn enable(&self) {
        let written = self.config.write_at(&self.enabled, COMMAND_HIGH);
        assert!(written.is_ok(), "the configuration space can be written");
    }
}

struct Shared {
    wanted: AtomicU64,
    at: AtomicU64,
    over: AtomicBool,
}

/// A thread that runs only when nothing else does, and then has the device interrupt: the waiter is blocked by then.
pub struct Raiser {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Raiser {
    /// Starts it.
    pub fn start(registers: Registers) -> Self {
        let shared = Arc::new(Shared { wanted: 0.into(), at: 0.into(), over: false.into() });
        let its = shared.clone();
        let thread = std::thread::spawn(move || {
            clock::run_when_idle();
            let mut done = 0;
            while !its.over.load(Relaxed) {
                let wanted = its.wanted.load(Acquire);
                if wanted != done {
                    done = wanted;
                    its.at.store(clock::now(), Relaxed);
                    registers.raise();
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// The next interrupt may come, as soon as the caller sleeps.
    #[inline(always)]
    pub fn arm(&self) {
        self.shared.wanted.fetch_add(1, Release);
    }

    /// When the last one was raised.
    #[inline(always)]
    pub fn raised_at(&self) -> u64 {
        self.shared.at.load(Relaxed)
    }
}

impl Drop for Raiser {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said what was wrong.
            let _ = thread.join();
        }
    }
}

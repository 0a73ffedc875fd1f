//! Raw requests of a simulated Windows process: this process's own memory, and the loader's DeviceIoControl.
use super::{Loader, path};
use crate::{
    Subject,
    buffers::{Buffers, Memory},
    codes::{self, Control, Opener},
    linux::raw_ioctl::ThisProcess,
    raw_ioctl::{Access, Handle, Process, register},
};
use kp_abi::{
    Status,
    request::{BufferRegister, Request, control_code},
    zerocopy::IntoBytes,
};
use kp_user::{DeviceControl, SharedMemory};
use std::sync::Mutex;
use windows_loader::{Buffer, Done, Mode, access};

/// A process that reaches both drivers.
pub struct LoaderProcess<'w> {
    world: &'w Loader,
    memory: ThisProcess,
    mapped: Mutex<Vec<Mapped>>,
}

#[derive(Clone, Copy)]
struct Mapped {
    start: u64,
    len: u64,
    access: Access,
}

impl<'w> LoaderProcess<'w> {
    /// Both drivers are loaded.
    pub fn new(world: &'w Loader) -> Self {
        Self { world, memory: ThisProcess::default(), mapped: Mutex::default() }
    }

    fn open(&self, plugin: &str, access: u32) -> Box<dyn Handle + '_> {
        let subject = if plugin == "echo" { Subject::Echo } else { Subject::Edu };
        let handle = self.world.get(subject).process.open(path(subject), access, Mode::Overlapped);
        Box::new(Device { process: self, handle: handle.unwrap_or_else(|status| panic!("{plugin}: {status:#x}")) })
    }
}

impl Process for LoaderProcess<'_> {
    fn map(&self, len: usize, access: Access) -> u64 {
        let start = self.memory.map(len, access);
        let len = len.next_multiple_of(crate::raw_ioctl::PAGE as usize) as u64;
        self.mapped.lock().expect("no panic holds this").push(Mapped { start, len, access });
        start
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        self.memory.read(address, bytes);
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.memory.write(address, bytes);
    }

    fn make_read_only(&self, address: u64, len: usize) {
        let mut mapped = self.mapped.lock().expect("no panic holds this");
        let here = mapped.iter_mut().find(|mapped| mapped.start == address && mapped.len == len as u64);
        here.expect("memory of `map`'s, as a whole").access = Access::ReadOnly;
        self.memory.make_read_only(address, len);
    }

    fn kernel_address(&self) -> u64 {
        self.world.get(Subject::Echo).machine.kernel_address() as u64
    }

    fn handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        self.open(plugin, access::READ | access::WRITE)
    }

    fn read_only_handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        self.open(plugin, access::READ)
    }

    fn sends_addresses(&self) -> bool {
        false
    }
}

impl Memory for LoaderProcess<'_> {
    fn has(&self, address: u64, len: usize, write: bool) -> bool {
        let mapped = self.mapped.lock().expect("no panic holds this");
        let here = mapped.iter().find(|mapped| (mapped.start..mapped.start + mapped.len).contains(&address));
        here.is_some_and(|mapped| {
            let room = mapped.len - (address - mapped.start);
            len as u64 <= room && !(write && mapped.access == Access::ReadOnly)
        })
    }
}

/// An open device.
struct Device<'p> {
    process: &'p LoaderProcess<'p>,
    handle: windows_loader::Handle,
}

impl Handle for Device<'_> {
    fn send(&self, nr: u32, address: u64) -> Result<(), Status> {
        let mut buffers = Buffers::new(self.process, nr, address);
        let (code, input) = (buffers.code, Buffer::input(&buffers.input));
        let written = answer_to(code, self.handle.control(code, input, Buffer::output(&mut buffers.output)))?;
        buffers.deliver(self.process, written);
        Ok(())
    }

    fn lend(&self, buffer: u32, len: usize) -> Result<SharedMemory, Status> {
        let at = self.process.map(len, Access::ReadWrite);
        let code = control_code(BufferRegister::NR).expect("it has a code");
        let memory = crate::raw_ioctl::shared(at, len);
        self.handle.keep(code, register(buffer, 0, len).as_bytes(), at, len as u64).map(|()| memory)
    }
}

/// A request's length, or the row of the transport that has failed.
///
/// # Panics
/// If it failed with what is no transport's failure.
pub fn answer(done: Done) -> Result<usize, Status> {
    answer_to(0, done)
}

/// The same, of the request with this code: one whose out-buffer is no answer fails with its own.
///
/// # Panics
/// As [`answer`].
pub fn answer_to(code: u32, done: Done) -> Result<usize, Status> {
    match done.status {
        0 => Ok(done.information),
        status => {
            let row = Status::from_ntstatus(status as u32).filter(|row| row.is_transport() || codes::is_direct(code));
            Err(row.unwrap_or_else(|| panic!("DeviceIoControl answers {status:#x}, which is no transport's failure")))
        }
    }
}

impl Opener for LoaderProcess<'_> {
    fn open(&self, path: &str) -> Option<Box<dyn Control + '_>> {
        let process = &self.world.get(Subject::Echo).process;
        let handle = process.open(path, access::READ | access::WRITE, Mode::Overlapped).ok()?;
        Some(Box::new(Opened(handle)))
    }
}

struct Opened(windows_loader::Handle);

impl Control for Opened {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        answer_to(code, self.0.control(code, Buffer::input(input), Buffer::output(output)))
    }
}

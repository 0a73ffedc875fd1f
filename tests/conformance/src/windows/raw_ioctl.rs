//! Raw requests of a Windows process: its own memory, and DeviceIoControl.
use crate::{
    buffers::{Buffers, Memory},
    codes::{self, Control, Opener},
    raw_ioctl::{Access, Handle, PAGE, Process, register, shared},
};
use kp_abi::{
    Status,
    request::{BufferRegister, Request, control_code},
    zerocopy::IntoBytes,
};
use kp_user::SharedMemory;
use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::io::AsRawHandle,
    ptr, slice,
    sync::Mutex,
};
use windows_sys::Win32::{
    Foundation::{GetLastError, RtlNtStatusToDosError},
    System::{
        IO::DeviceIoControl,
        Memory::{
            MEM_COMMIT, MEM_RESERVE, PAGE_NOACCESS, PAGE_PROTECTION_FLAGS, PAGE_READONLY, PAGE_READWRITE, VirtualAlloc,
            VirtualProtect,
        },
    },
};

/// This process, which reaches the plugins that drive no device.
#[derive(Default)]
pub struct ThisProcess {
    mapped: Mutex<Vec<Mapped>>,
}

#[derive(Clone, Copy)]
struct Mapped {
    start: u64,
    len: u64,
    access: Access,
}

impl Process for ThisProcess {
    fn map(&self, len: usize, access: Access) -> u64 {
        let len = len.next_multiple_of(PAGE as usize);
        let whole = len + 2 * PAGE as usize;
        // SAFETY: new memory, at an address of Windows' choice.
        let start = unsafe { VirtualAlloc(ptr::null(), whole, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS) };
        assert!(!start.is_null(), "memory: {}", io::Error::last_os_error());
        let start = start.expose_provenance() as u64 + PAGE;
        protect(start, len, if access == Access::ReadOnly { PAGE_READONLY } else { PAGE_READWRITE });
        self.mapped.lock().expect("no panic holds this").push(Mapped { start, len: len as u64, access });
        start
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the caller maps what it reads; volatile, for another thread may write meanwhile.
            *byte = unsafe { ptr::with_exposed_provenance::<u8>(address as usize + i).read_volatile() };
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let here = self.find(address).filter(|mapped| mapped.access == Access::ReadOnly);
        if let Some(Mapped { start, len, .. }) = here {
            protect(start, len as usize, PAGE_READWRITE);
        }
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: the caller maps what it writes; volatile, for another thread may read meanwhile.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(address as usize + i).write_volatile(byte) };
        }
        if let Some(Mapped { start, len, .. }) = here {
            protect(start, len as usize, PAGE_READONLY);
        }
    }

    fn make_read_only(&self, address: u64, len: usize) {
        let mut mapped = self.mapped.lock().expect("no panic holds this");
        let here = mapped.iter_mut().find(|mapped| mapped.start == address && mapped.len == len as u64);
        here.expect("memory of `map`'s, as a whole").access = Access::ReadOnly;
        protect(address, len, PAGE_READONLY);
    }

    fn kernel_address(&self) -> u64 {
        0xffff_8000_0000_1000 // Windows' own half starts a page before
    }

    fn handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        Box::new(Device { process: self, file: open(plugin, true) })
    }

    fn read_only_handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        Box::new(Device { process: self, file: open(plugin, false) })
    }

    fn sends_addresses(&self) -> bool {
        false
    }

    fn lends(&self) -> bool {
        false // Wine hands drivers no list of the out-buffer's pages
    }

    fn runs_requests_at_once(&self) -> bool {
        false // and Wine's kernel runs one at a time of all handles
    }

    fn has_device(&self) -> bool {
        false
    }
}

impl Memory for ThisProcess {
    fn has(&self, address: u64, len: usize, write: bool) -> bool {
        self.find(address).is_some_and(|mapped| {
            let room = mapped.len - (address - mapped.start);
            len as u64 <= room && !(write && mapped.access == Access::ReadOnly)
        })
    }
}

impl ThisProcess {
    fn find(&self, address: u64) -> Option<Mapped> {
        let mapped = self.mapped.lock().expect("no panic holds this");
        mapped.iter().copied().find(|mapped| (mapped.start..mapped.start + mapped.len).contains(&address))
    }
}

fn protect(start: u64, len: usize, access: PAGE_PROTECTION_FLAGS) {
    let mut old = 0;
    // SAFETY: memory that `map` made, to which no reference exists.
    let done = unsafe { VirtualProtect(ptr::with_exposed_provenance_mut(start as usize), len, access, &mut old) };
    assert_ne!(done, 0, "this memory's protection can be changed: {}", io::Error::last_os_error());
}

fn open(plugin: &str, write: bool) -> File {
    let path = format!(r"\\.\kp-{plugin}");
    let file = OpenOptions::new().read(true).write(write).open(&path);
    file.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An open device, for one request at a time.
struct Device<'p> {
    process: &'p ThisProcess,
    file: File,
}

impl Handle for Device<'_> {
    fn send(&self, nr: u32, address: u64) -> Result<(), Status> {
        let mut buffers = Buffers::new(self.process, nr, address);
        let written = control(&self.file, buffers.code, &buffers.input, &mut buffers.output)?;
        buffers.deliver(self.process, written);
        Ok(())
    }

    fn lend(&self, buffer: u32, len: usize) -> Result<SharedMemory, Status> {
        let at = self.process.map(len, Access::ReadWrite);
        let code = control_code(BufferRegister::NR).expect("it has a code");
        let memory = ptr::with_exposed_provenance_mut(at as usize);
        // SAFETY: so many bytes, mapped for good, which are used by words.
        let words = unsafe { slice::from_raw_parts_mut(memory, len) };
        control(&self.file, code, register(buffer, 0, len).as_bytes(), words).map(|_| shared(at, len))
    }
}

/// DeviceIoControl on a file that is not for overlapped use: the length of what was written to `output`.
pub fn control(file: &File, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
    let mut written = 0;
    // SAFETY: an open handle, two buffers with their lengths, and a place for a number.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            input.as_ptr().cast(),
            input.len() as u32,
            output.as_mut_ptr().cast(),
            output.len() as u32,
            &mut written,
            ptr::null_mut(),
        )
    };
    // SAFETY: reads this thread's last error.
    if done != 0 { Ok(written as usize) } else { Err(status(code, unsafe { GetLastError() })) }
}

/// The status of a transport's failure.
fn status(code: u32, error: u32) -> Status {
    // SAFETY: a look-up in a table.
    let is_it = |ntstatus: u32| unsafe { RtlNtStatusToDosError(ntstatus as i32) } == error;
    let row =
        Status::TABLE.iter().find(|row| (row.status.is_transport() || codes::is_direct(code)) && is_it(row.ntstatus));
    row.unwrap_or_else(|| panic!("DeviceIoControl answers error {error}, which is no transport's failure")).status
}

impl Opener for ThisProcess {
    fn open(&self, path: &str) -> Option<Box<dyn Control + '_>> {
        Some(Box::new(OpenOptions::new().read(true).write(true).open(path).ok()?))
    }
}

impl Control for File {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        control(self, code, input, output)
    }
}

//! Raw requests of a Linux process: its own memory, and ioctl.
use crate::raw_ioctl::{Access, Handle, PAGE, Process, register, shared};
use kp_abi::{
    Status, TransportStatus,
    request::{self, BufferRegister, Request},
};
use kp_user::SharedMemory;
use rustix::{
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl},
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap},
};
use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    ptr::{self, NonNull},
    sync::{Arc, Mutex},
};

/// This process.
#[derive(Default)]
pub struct ThisProcess {
    /// Start and length of what was mapped read-only.
    read_only: Mutex<Vec<(u64, usize)>>,
}

impl Process for ThisProcess {
    fn map(&self, len: usize, access: Access) -> u64 {
        let len = len.next_multiple_of(PAGE as usize);
        let whole = len + 2 * PAGE as usize;
        // SAFETY: new memory, at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), whole, ProtFlags::empty(), MapFlags::PRIVATE) };
        let start = start.expect("memory").expose_provenance() as u64 + PAGE;
        protect(start, len, MprotectFlags::READ | MprotectFlags::WRITE);
        if access == Access::ReadOnly {
            self.make_read_only(start, len);
        }
        start
    }

    fn make_read_only(&self, address: u64, len: usize) {
        protect(address, len, MprotectFlags::READ);
        self.read_only.lock().expect("no panic holds this").push((address, len));
    }

    fn read(&self, address: u64, bytes: &mut [u8]) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the caller maps what it reads; volatile, for another thread may write meanwhile.
            *byte = unsafe { ptr::with_exposed_provenance::<u8>(own(address) + i).read_volatile() };
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let read_only = self.read_only.lock().expect("no panic holds this");
        let here = read_only.iter().find(|(start, len)| (*start..start + *len as u64).contains(&address)).copied();
        drop(read_only);
        if let Some((start, len)) = here {
            protect(start, len, MprotectFlags::READ | MprotectFlags::WRITE);
        }
        for (i, &byte) in bytes.iter().enumerate() {
            // SAFETY: the caller maps what it writes; volatile, for the kernel may read meanwhile.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(own(address) + i).write_volatile(byte) };
        }
        if let Some((start, len)) = here {
            protect(start, len, MprotectFlags::READ);
        }
    }

    fn kernel_address(&self) -> u64 {
        0xffff_8880_0000_1000 // in the direct map of all memory
    }

    fn handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        open(plugin, true)
    }

    fn read_only_handle(&self, plugin: &str) -> Box<dyn Handle + '_> {
        open(plugin, false)
    }
}

/// An address as this process writes it: a 32-bit one cannot name more than its own 4 GiB.
fn own(address: u64) -> usize {
    usize::try_from(address).expect("an address that this process can name")
}

fn protect(start: u64, len: usize, flags: MprotectFlags) {
    let start = ptr::with_exposed_provenance_mut(own(start));
    // SAFETY: memory that `map` made, to which no reference exists.
    unsafe { mprotect(start, len, flags) }.expect("this memory's protection can be changed");
}

fn open(plugin: &str, write: bool) -> Box<dyn Handle> {
    let path = format!("/dev/kp/{plugin}{}", if plugin == "edu" { ".0" } else { "" });
    let file = OpenOptions::new().read(true).write(write).open(&path);
    Box::new(Node(file.unwrap_or_else(|error| panic!("{path}: {error}"))))
}

/// An open node.
struct Node(File);

impl Handle for Node {
    fn send(&self, nr: u32, address: u64) -> Result<(), Status> {
        let answer = send(&self.0, request::ioctl_number(nr), address)?;
        if [request::CALL_DIRECT, kp_abi::ring::ENTER_DIRECT].contains(&nr) && answer != 0 {
            return Err(Status(answer)); // these have no head
        }
        assert_eq!(answer, 0, "request {nr} has its status in its head");
        Ok(())
    }

    fn direct(&self, message: u32, address: u64) -> Result<Status, Status> {
        send(&self.0, request::direct_number(message), address).map(Status)
    }

    fn map(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory, Status> {
        let flags = if write { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: new pages, at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), len, flags, MapFlags::SHARED, &self.0, offset) };
        let start =
            start.map_err(
                |error| if error == Errno::ACCESS { TransportStatus::DENIED.status() } else { Status::BAD_FIELD },
            )?;
        let start = NonNull::new(start.cast()).ok_or(Status::BAD_FIELD)?;
        // SAFETY: the owner keeps them mapped, and the driver is not of this process.
        Ok(unsafe { SharedMemory::new(start, len, Arc::new(Unmap { start: start.as_ptr().expose_provenance(), len })) })
    }

    fn lend(&self, buffer: u32, len: usize) -> Result<SharedMemory, Status> {
        let at = ThisProcess::default().map(len, Access::ReadWrite);
        let mut register = register(buffer, at, len);
        self.send(BufferRegister::NR, ptr::from_mut(&mut register).expose_provenance() as u64)?;
        match Status(register.head.status) {
            Status::OK => Ok(shared(at, len)),
            status => Err(status),
        }
    }

    fn can_be_made_writable(&self, memory: &SharedMemory) -> bool {
        let start = ptr::from_ref(memory.word(0)).cast_mut().cast();
        // SAFETY: more may be done with it, but nothing is.
        unsafe { mprotect(start, memory.len(), MprotectFlags::READ | MprotectFlags::WRITE) }.is_ok()
    }
}

/// ioctl(2), until no signal interrupts it: its answer, or the status of the transport's failure.
pub(super) fn send(file: &File, number: u32, address: u64) -> Result<u32, Status> {
    loop {
        // SAFETY: the driver checks every address it is given; that is what is tested here, and where it fails, the test has.
        match unsafe { ioctl(file, Raw { number, address }) } {
            Ok(answer) => return Ok(answer),
            Err(Errno::INTR) => {}
            Err(error) => return Err(status(error)),
        }
    }
}

/// Unmaps when it is dropped.
struct Unmap {
    start: usize,
    len: usize,
}

impl Drop for Unmap {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody borrows it any more.
        let unmapped = unsafe { munmap(ptr::with_exposed_provenance_mut(self.start), self.len) };
        unmapped.expect("what was mapped can be unmapped");
    }
}

/// The status of a transport's failure.
fn status(error: Errno) -> Status {
    match error {
        Errno::NOTTY => TransportStatus::UNKNOWN_REQUEST.status(),
        Errno::FAULT => TransportStatus::FAULT.status(),
        Errno::ACCESS => TransportStatus::DENIED.status(),
        Errno::NOMEM => Status::NO_MEMORY,
        other => panic!("ioctl answers {other}, which is no transport's failure"),
    }
}

#[derive(Clone, Copy)]
struct Raw {
    number: u32,
    address: u64,
}

// SAFETY: the opcode is kp's own, and its argument an address that nobody promises anything about.
unsafe impl Ioctl for Raw {
    type Output = u32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.number
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::with_exposed_provenance_mut(own(self.address))
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        Ok(answer.cast_unsigned())
    }
}

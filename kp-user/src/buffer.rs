//! Memory of this process that a driver and its device may use.
use crate::{Connection, SharedMemory};
use kp_abi::{
    Result, Status,
    request::{self, Request, access},
};
use std::{
    fmt,
    ops::Deref,
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A page, in bytes: the unit of buffers.
const PAGE: usize = 4096;

/// Memory of this process that the driver and its device may read, and write unless it was registered for reading. Of
/// [`Plugin::buffer`](crate::Plugin::buffer).
///
/// Messages name it by its [`number`](Self::number). It is read and written by words, as whoever else uses it may change it at any moment: no
/// reference to its bytes exists. Dropping it releases it; a transfer that is under way keeps the memory, but not this process's view of it.
pub struct Buffer {
    memory: SharedMemory,
    number: u32,
    numbers: Arc<Numbers>,
    connection: Arc<dyn Connection>,
}

impl Buffer {
    pub(crate) fn new(
        connection: &Arc<dyn Connection>,
        numbers: &Arc<Numbers>,
        len: usize,
        access: Access,
    ) -> Result<Self> {
        let len = len.checked_next_multiple_of(PAGE).filter(|len| *len != 0).ok_or(Status::BAD_VALUE)?;
        let (address, memory) = connection.new_memory(len)?;
        Self::register(connection, numbers, address, memory, access)
    }

    /// # Safety
    /// As [`Plugin::buffer_over`](crate::Plugin::buffer_over).
    #[expect(unsafe_code, reason = "trusts its caller with a pointer")]
    pub(crate) unsafe fn over(
        connection: &Arc<dyn Connection>,
        numbers: &Arc<Numbers>,
        start: NonNull<u8>,
        len: usize,
        access: Access,
    ) -> Result<Self> {
        let address = start.as_ptr().expose_provenance() as u64;
        // SAFETY: the caller's promise; the memory needs no owner here.
        let memory = unsafe { SharedMemory::new(start, len, Arc::new(())) };
        Self::register(connection, numbers, address, memory, access)
    }

    fn register(
        connection: &Arc<dyn Connection>,
        numbers: &Arc<Numbers>,
        address: u64,
        memory: SharedMemory,
        access: Access,
    ) -> Result<Self> {
        let number = numbers.take().ok_or(Status::BUFFER_IN_USE)?;
        let access = access as u32;
        let len = memory.len() as u64;
        let registered = connection.buffer_register(&request::BufferRegister {
            addr: address,
            len,
            buffer: number,
            access,
            ..Request::new()
        });
        match registered {
            Ok(()) => Ok(Self { memory, number, numbers: numbers.clone(), connection: connection.clone() }),
            Err(error) => {
                numbers.give_back(number);
                Err(error)
            }
        }
    }

    /// What messages name it by.
    pub fn number(&self) -> kp_abi::Buffer {
        kp_abi::Buffer(self.number)
    }
}

impl Deref for Buffer {
    type Target = SharedMemory;
    fn deref(&self) -> &SharedMemory {
        &self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Once the session is over it is released already.
        let _ = self.connection.buffer_release(self.number);
        self.numbers.give_back(self.number);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("number", &self.number).field("len", &self.memory.len()).finish()
    }
}

/// What the driver and its device may do with a [`Buffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They read it.
    Read = access::READ as isize,
    /// They write it too.
    Write = access::WRITE as isize,
}

/// Which numbers a session's buffers have.
#[derive(Default)]
pub(crate) struct Numbers(Mutex<u64>);

impl Numbers {
    fn used(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest that is free.
    fn take(&self) -> Option<u32> {
        let mut used = self.used();
        let number = used.trailing_ones();
        if number >= kp_abi::limits::MAX_BUFFERS {
            return None;
        }
        *used |= 1 << number;
        Some(number)
    }

    /// Runs `f` with the highest that is free, for a ring's memory, which is never number 0. [`BUFFER_IN_USE`](Status::BUFFER_IN_USE).
    pub(crate) fn with_spare<R>(&self, f: impl FnOnce(u32) -> Result<R>) -> Result<R> {
        let number = {
            let mut used = self.used();
            let free = !*used & (u64::MAX >> (u64::BITS - kp_abi::limits::MAX_BUFFERS));
            let number = free.checked_ilog2().filter(|number| *number != 0).ok_or(Status::BUFFER_IN_USE)?;
            *used |= 1 << number;
            number
        };
        let result = f(number);
        self.give_back(number);
        result
    }

    fn give_back(&self, number: u32) {
        *self.used() &= !(1 << number);
    }
}

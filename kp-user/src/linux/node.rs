//! A connection through a device node.
#[cfg(test)]
mod tests;

use super::{
    direct,
    kernel::{Kernel, status},
    prepared::Prepared,
};
use crate::{Agreement, Connection, IntEnabled, Notification, SharedMemory};
use kp_abi::{
    Counters, Error, Interface, Result, Status,
    request::{self, Head, Request},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::BorrowedFd,
    path::Path,
};

/// Arguments, padded to 8, and data that together have up to this many bytes are gathered, so that the driver copies
/// once.
const GATHERED: usize = 256;

/// A plugin's open device node.
///
/// A signal does not end a wait: the driver keeps the remaining time, and the wait goes on. A program that this process
/// starts does not inherit the descriptor.
#[derive(Debug)]
pub struct Node<K = File> {
    kernel: K,
    agreement: Agreement,
}

impl Node {
    /// Opens a device node for reading and writing. Starts no session.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        // std opens everything with O_CLOEXEC.
        let kernel = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { kernel, agreement: Agreement::default() })
    }
}

impl<K: Kernel> Connection for Node<K> {
    fn query(&self, chain_at: u32) -> Result<request::Query> {
        let mut query = request::Query { chain_at, ..Request::new() };
        send(&self.kernel, Prepared::plain(&mut query))?;
        answer(&query.head)?;
        Ok(query)
    }

    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()> {
        let sent = *open;
        send(&self.kernel, Prepared::open(open, data))?;
        answer(&open.head)?;
        self.agreement.opened(&sent, open);
        Ok(())
    }

    fn agree(&self, interface: &Interface) {
        self.agreement.agree(interface);
    }

    #[inline]
    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        if flags == 0
            && let Some(shape) = self.agreement.shape(message, args.len(), data.len(), reply.len())
        {
            return direct::call(&self.kernel, shape, message, args, data, reply);
        }
        call_by_struct(&self.kernel, message, flags, args, data, reply)
    }

    fn close(&self) -> Result<()> {
        let mut close = request::Close::new();
        send(&self.kernel, Prepared::plain(&mut close))?;
        answer(&close.head)
    }

    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        let mut enable = request::IntEnable { kinds, min, max, ..Request::new() };
        send(&self.kernel, Prepared::int_enable(&mut enable, data))?;
        answer(&enable.head)?;
        Ok(IntEnabled { kind: enable.kind, count: enable.count, generation: enable.generation })
    }

    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        let mut wait = request::IntWait { timeout_ns, vector, max, ..Request::new() };
        while let Err(error) = send(&self.kernel, Prepared::plain(&mut wait)) {
            if error != Status::INTERRUPTED {
                return Err(error);
            }
            // The driver has left the rest of the time in `wait`.
        }
        answer(&wait.head)?;
        Ok(Notification {
            vector: wait.got_vector,
            got: wait.got,
            available: wait.available,
            generation: wait.generation,
        })
    }

    fn int_count(&self, vector: u32) -> Result<(u64, Counters)> {
        let mut count = request::IntCount { vector, ..Request::new() };
        send(&self.kernel, Prepared::plain(&mut count))?;
        answer(&count.head)?;
        Ok((count.generation, count.counters))
    }

    fn int_disable(&self) -> Result<(u64, Counters)> {
        let mut disable = request::IntDisable::new();
        send(&self.kernel, Prepared::plain(&mut disable))?;
        answer(&disable.head)?;
        Ok((disable.generation, disable.counters))
    }

    fn ring_setup(&self, setup: &mut request::RingSetup) -> Result<()> {
        send(&self.kernel, Prepared::plain(setup))?;
        answer(&setup.head)
    }

    #[inline]
    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        match self.kernel.enter(to_submit) {
            Ok(0) => Ok(()),
            Ok(other) => Err(Status(other).into()),
            Err(errno) => Err(status(errno).into()),
        }
    }

    fn ring_teardown(&self) -> Result<()> {
        let mut teardown = request::RingTeardown::new();
        send(&self.kernel, Prepared::plain(&mut teardown))?;
        answer(&teardown.head)
    }

    fn buffer_register(&self, register: &request::BufferRegister) -> Result<()> {
        let mut register = *register;
        send(&self.kernel, Prepared::buffer_register(&mut register))?;
        answer(&register.head)
    }

    fn buffer_release(&self, buffer: u32) -> Result<()> {
        let mut release = request::BufferRelease { buffer, ..Request::new() };
        send(&self.kernel, Prepared::plain(&mut release))?;
        answer(&release.head)
    }

    fn schema(&self, offset: u32, room: &mut [u8]) -> Result<request::Schema> {
        let mut schema = request::Schema { offset, ..Request::new() };
        send(&self.kernel, Prepared::schema(&mut schema, room))?;
        answer(&schema.head)?;
        Ok(schema)
    }

    fn map_shared(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory> {
        self.kernel.map(offset, len, write).map_err(|errno| match errno {
            libc::EINVAL => Status::BAD_FIELD.into(),
            libc::EBUSY => Status::BUSY.into(),
            other => status(other).into(),
        })
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.kernel.as_fd()
    }
}

/// CALL itself, with its struct.
#[inline(never)]
fn call_by_struct(
    kernel: &impl Kernel,
    message: u32,
    flags: u32,
    args: &[u8],
    data: &[u8],
    reply: &mut [u8],
) -> Result<usize> {
    let mut call = request::Call { message, ..Request::new() };
    call.head.flags = flags;
    let room = reply.len();
    let data_at = args.len().next_multiple_of(8);
    if args.is_empty() || data.is_empty() || data_at + data.len() > GATHERED {
        send(kernel, Prepared::call(&mut call, args, data, reply))?;
    } else {
        let mut gathered = [0; GATHERED];
        let (first, second) = gathered.split_at_mut(data_at);
        let (first, second) = (&mut first[..args.len()], &mut second[..data.len()]);
        first.copy_from_slice(args);
        second.copy_from_slice(data);
        send(kernel, Prepared::call(&mut call, first, second, reply))?;
    }
    answer(&call.head)?;
    let written = call.head.detail as usize;
    if written <= room { Ok(written) } else { Err(Status::PROTOCOL.into()) }
}

/// Sends a request; its head then has the answer.
#[inline]
fn send(kernel: &impl Kernel, request: Prepared<'_>) -> Result<()> {
    kernel.ioctl(request).map(|_| ()).map_err(|errno| status(errno).into())
}

/// What the head says.
#[inline]
fn answer(head: &Head) -> Result<()> {
    if head.status == Status::OK.0 { Ok(()) } else { Err(Error::new(Status(head.status), head.detail)) }
}

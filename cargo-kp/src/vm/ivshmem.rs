//! The server that QEMU's ivshmem-doorbell asks for its vectors, as QEMU's `docs/specs/ivshmem-spec` describes it.
//!
//! There is one device and no peer. The server gives the device its number, a piece of shared memory, and one eventfd for each
//! vector: a device that rings its own doorbell finds its own eventfds there, and so interrupts itself.

use super::Vm;
use crate::temporary::TempFile;
use anyhow::{Context, Result};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::{MemfdFlags, ftruncate, memfd_create},
    io::{IoSlice, write},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use std::{
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
    thread::JoinHandle,
};

/// The protocol's version.
const VERSION: i64 = 0;
/// The device's number among its peers. Not 0, so that a register which reads 0 shows.
const DEVICE: i64 = 5;
/// Announces the shared memory.
const MEMORY: i64 = -1;
/// Bytes of shared memory. The device needs some; nothing here uses it.
const MEMORY_LEN: u64 = 4096;

/// A server for one device, listening. It ends when this value is dropped, whether a device came or not.
pub struct Server {
    socket: TempFile,
    vectors: u16,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server for a device with this many vectors. Fails if there can be no socket in the temporary directory.
    pub fn start(vectors: u16) -> Result<Self> {
        let socket = TempFile::unused();
        let listener = UnixListener::bind(&socket.path)
            .with_context(|| format!("cannot listen at {}: may you write there?", socket.path.display()))?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("no eventfd")?);
        let mut server = Server { socket, vectors, stop: stop.clone(), thread: None };
        let thread = move || {
            if let Err(error) = serve(&listener, vectors, stop.as_fd()) {
                eprintln!("the ivshmem server failed: {error:#}");
            }
        };
        server.thread = Some(std::thread::Builder::new().spawn(thread).context("cannot start a thread")?);
        Ok(server)
    }

    /// The server for a device as `--device` names it, if it is QEMU's ivshmem-doorbell and names no server of its own.
    pub fn wanted(device: &str) -> Result<Option<Self>> {
        let mut words = device.split(',');
        if words.next() != Some("ivshmem-doorbell") || device.contains("chardev=") {
            return Ok(None);
        }
        let vectors = words.find_map(|word| word.strip_prefix("vectors=")).unwrap_or("1");
        let count = vectors.parse().with_context(|| format!("--device {device}: vectors={vectors} is no number"))?;
        Self::start(count).map(Some)
    }

    /// Gives the guest the device. The server has to outlive the guest.
    pub fn attach(&self, vm: Vm) -> Vm {
        self.arguments().iter().fold(vm, |vm, argument| vm.qemu_arg(argument))
    }

    /// What QEMU is told of the device.
    pub fn arguments(&self) -> Vec<String> {
        let server = format!("socket,id=ivshmem,path={}", self.socket.path.display());
        let device = format!("ivshmem-doorbell,vectors={},chardev=ivshmem", self.vectors);
        ["-chardev".to_owned(), server, "-device".to_owned(), device].into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Counting an eventfd of 0 up to 1 cannot fail.
        let _ = write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for the device, gives it what is its own, and keeps the connection until told to stop: to a device its end would be the
/// loss of the server. A machine that is booted anew has the device anew, which waits for its part before the machine runs.
fn serve(listener: &UnixListener, vectors: u16, stop: BorrowedFd<'_>) -> Result<()> {
    let mut devices = Vec::new();
    while comes_first(listener.as_fd(), stop)? {
        let (device, _) = listener.accept()?;
        match introduce(&device, vectors) {
            Ok(()) => devices.push(device),
            // Without its vectors the device raises none, and the guest's test says so.
            Err(error) => eprintln!("the ivshmem server lost its device: {error:#}"),
        }
    }
    Ok(())
}

/// Waits for either, and says whether `wanted` has something and `stop` has not.
fn comes_first(wanted: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> Result<bool> {
    let mut both = [PollFd::from_borrowed_fd(wanted, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
    poll(&mut both, None)?;
    Ok(both[1].revents().is_empty())
}

/// All that a device without peers is told.
fn introduce(device: &UnixStream, vectors: u16) -> Result<()> {
    let memory = memfd_create("kp-ivshmem", MemfdFlags::CLOEXEC)?;
    ftruncate(&memory, MEMORY_LEN)?;
    tell(device, VERSION, None)?;
    tell(device, DEVICE, None)?;
    tell(device, MEMORY, Some(memory.as_fd()))?;
    for _ in 0..vectors {
        let vector = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        tell(device, DEVICE, Some(vector.as_fd()))?;
    }
    Ok(())
}

/// Sends one number, and with it perhaps a descriptor.
fn tell(device: &UnixStream, number: i64, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let Some(descriptor) = &descriptor {
        ancillary.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
    }
    let bytes = number.to_le_bytes();
    // Eight bytes are far below what a socket takes at once.
    sendmsg(device, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::{io::IoSliceMut, time::Duration};

    /// The number that comes next, and its descriptor.
    fn hear(server: &UnixStream) -> (i64, Option<OwnedFd>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 8];
        let got = recvmsg(server, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::empty()).unwrap();
        assert_eq!(got.bytes, 8, "a whole number");
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (i64::from_le_bytes(bytes), descriptor)
    }

    /// Connects a device. If nobody talks to it, hearing fails.
    fn connect(server: &Server) -> UnixStream {
        let device = UnixStream::connect(&server.socket.path).unwrap();
        device.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        device
    }

    /// Hears all that there is for a device with four vectors.
    fn hear_all(device: &UnixStream) {
        assert!(matches!(hear(device), (0, None)));
        assert!(matches!(hear(device), (DEVICE, None)));
        let (number, memory) = hear(device);
        assert_eq!(number, -1);
        assert_eq!(rustix::fs::fstat(memory.unwrap()).unwrap().st_size as u64, MEMORY_LEN);
        for vector in 0..4 {
            let (number, eventfd) = hear(device);
            assert_eq!(number, DEVICE, "vector {vector}");
            assert_eq!(write(eventfd.unwrap(), &1u64.to_ne_bytes()), Ok(8), "vector {vector}");
        }
    }

    #[test]
    fn a_device_is_told_version_number_memory_and_its_vectors_in_this_order() {
        hear_all(&connect(&Server::start(4).unwrap()));
    }

    #[test]
    fn a_machine_that_is_booted_anew_has_its_device_anew() {
        let server = Server::start(4).unwrap();
        drop(connect(&server));
        for _ in 0..2 {
            hear_all(&connect(&server));
        }
    }

    #[test]
    fn a_server_ends_and_leaves_nothing_whether_a_device_came_or_not() {
        let server = Server::start(1).unwrap();
        let path = server.socket.path.clone();
        drop(server);
        assert!(!path.exists());
        let server = Server::start(1).unwrap();
        let device = connect(&server);
        hear(&device);
        drop(server);
    }
}

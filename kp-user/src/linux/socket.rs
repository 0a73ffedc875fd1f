//! A socket that stands in for a device node: a process with the plugin and a model of its device in it answers there. `docs/socket.md` has the
//! protocol.
use crate::{Cause, DeviceControl};
use kp_abi::{
    Error, Status,
    request::{IntWait, Request, control_code},
    socket::{Hello, MAGIC, MAX_BUFFER, ReplyFrame, RequestFrame, VARIABLE, Welcome, kind},
    zerocopy::{FromZeros, IntoBytes},
};
use std::{
    env,
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{self, Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// How long whoever listens may take for its first words, and for the end of a handle.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a socket's path at most: what `sockaddr_un` has, but for a zero.
const LONGEST_PATH: usize = 107;

/// The socket that the environment names. Not to a program with more rights than who has started it.
pub fn named() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|path| !path.is_empty() && !is_secure()).map(PathBuf::from)
}

/// Was the program started with more rights than its starter has: set-uid, say?
#[expect(unsafe_code, reason = "std does not tell")]
fn is_secure() -> bool {
    // SAFETY: reads a word that the kernel has given this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A plugin's device behind a socket, as `KP_NODE` names one, opened as a [`Node`](crate::Node) is. Each request that is under way has a connection of its
/// own.
///
/// A [`ControlNode`](crate::ControlNode) over it is a connection. Dropping it returns when the session is released, as close(2) does.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    handle: u64,
    /// The connection that the handle lives as long as.
    first: UnixStream,
    /// Connections that no request uses now; the first one among them.
    idle: Mutex<Vec<UnixStream>>,
    /// For poll(2), once it was asked for.
    poll: OnceLock<Option<UnixStream>>,
}

impl Socket {
    /// Opens the plugin that is behind this socket. Starts no session. [`Cause::NoSocket`]: none answers there; [`Cause::Refused`].
    pub fn open(path: &Path) -> Result<Self, Cause> {
        let (stream, handle) = connect(path, kind::OPEN, 0).map_err(Cause::NoSocket)?;
        let handle = handle.map_err(|status| Cause::Refused(Error::from(status)))?;
        let first = stream.try_clone().map_err(Cause::Io)?;
        // An app may go to another folder; a path may only be so long.
        let whole = path::absolute(path).ok().filter(|path| path.as_os_str().len() <= LONGEST_PATH);
        let path = whole.unwrap_or_else(|| path.to_owned());
        Ok(Self { path, handle, first, idle: Mutex::new(vec![stream]), poll: OnceLock::new() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection of this handle.
    fn more(&self, kind: u32) -> Result<UnixStream, Status> {
        match connect(&self.path, kind, self.handle) {
            Ok((stream, answer)) => answer.map(|_| stream),
            Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(Status::NO_MEMORY),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Err(Status::NO_MEMORY),
            // Who had the plugin has ended.
            Err(_) => Err(Status::DEVICE_GONE),
        }
    }

    /// The descriptor for poll(2) says nothing that was before.
    fn empty_poll(&self) {
        if let Some(Some(mut poll)) = self.poll.get().map(Option::as_ref) {
            while poll.read(&mut [0; 64]).is_ok_and(|read| read != 0) {}
        }
    }
}

impl DeviceControl for Socket {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        const INT_WAIT: Option<u32> = control_code(<IntWait as Request>::NR);
        if input.len() > MAX_BUFFER as usize {
            return Err(Status::PAYLOAD_TOO_LARGE); // as its driver would
        }
        if Some(code) == INT_WAIT {
            self.empty_poll();
        }
        let idle = self.idle().pop();
        let stream = idle.map_or_else(|| self.more(kind::MORE), Ok)?;
        // One that fails is gone. So is the plugin, or this handle.
        let answer = exchange(&stream, code, input, output).map_err(|_| Status::DEVICE_GONE)?;
        self.idle().push(stream);
        answer
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        let made = self.poll.get_or_init(|| {
            let stream = self.more(kind::POLL).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        });
        made.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.idle().clear();
        let _ = self.first.shutdown(Shutdown::Write);
        let _ = self.first.set_read_timeout(Some(PATIENCE));
        while self.first.read(&mut [0; 64]).is_ok_and(|read| read != 0) {}
    }
}

/// A connection, and what was said to it: a handle, or why not. Err: nobody answers, or not in this protocol.
fn connect(path: &Path, kind: u32, handle: u64) -> io::Result<(UnixStream, Result<u64, Status>)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(Hello { magic: MAGIC, kind, handle }.as_bytes())?;
    let mut welcome = Welcome::new_zeroed();
    stream.read_exact(welcome.as_mut_bytes())?;
    if welcome.magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "it speaks another protocol"));
    }
    stream.set_read_timeout(None)?;
    let answer = if welcome.status == Status::OK.0 { Ok(welcome.handle) } else { Err(Status(welcome.status)) };
    Ok((stream, answer))
}

/// Sends one request, and waits for its answer. Err: the connection is lost.
fn exchange(mut stream: &UnixStream, code: u32, input: &[u8], output: &mut [u8]) -> io::Result<Result<usize, Status>> {
    // A driver refuses a longer reply, and needs no room for it.
    let room = output.len().min(MAX_BUFFER as usize);
    let frame = RequestFrame { code, in_len: input.len() as u32, out_len: room as u32, reserved: 0 };
    stream.write_all(&[frame.as_bytes(), input].concat())?;
    let mut reply = ReplyFrame::new_zeroed();
    stream.read_exact(reply.as_mut_bytes())?;
    let written = reply.out_len as usize;
    let part = output.get_mut(..written).filter(|_| written <= room);
    let part = part.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
    stream.read_exact(part)?;
    Ok(if reply.status == Status::OK.0 { Ok(written) } else { Err(Status(reply.status)) })
}

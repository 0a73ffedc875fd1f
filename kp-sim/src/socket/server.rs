//! Who connects, and what becomes of it.
use super::{
    connection::Connection,
    frame::{read_hello, write_welcome},
    handle::Handle,
    linux::{Peer, peer},
    poll,
    record::Record,
    requests,
};
use crate::{Builder, Live, Mode, Process, Sim, sync::lock};
use kp_abi::{
    Error, Status, TransportStatus,
    socket::{Hello, kind},
};
use kp_core::Plugin;
use std::{
    collections::BTreeMap,
    fmt, fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, ErrorKind},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::*},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Connections at once, of all clients. Each takes a descriptor and two threads.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take for its first words.
const PATIENCE: Duration = Duration::from_secs(5);

/// A plugin in a simulated kernel, open to the apps that find its socket.
///
/// Time is real: the clock goes on, and interrupts come, whatever apps do. What the plugin logs goes to standard error. The kernel has no memory
/// that apps map.
pub struct Server<P: Plugin> {
    shared: Arc<Shared<P>>,
    path: PathBuf,
    /// The clock, and who takes connections.
    threads: Vec<JoinHandle<()>>,
}

/// What is seen of a server from outside.
pub(super) struct Watch<P: Plugin>(Arc<Shared<P>>);

impl<P: Plugin> Clone for Watch<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Plugin> Watch<P> {
    /// The kernel with the plugin, and its device.
    pub(super) fn sim(&self) -> &Sim<P> {
        &self.0.sim
    }

    /// Waits until somebody has connected: the number of that process. None: a thread has panicked.
    pub(super) fn first_app(&self) -> Option<u32> {
        let state = self.0.wait_until(|state| state.has_failed || state.first.is_some());
        state.first.filter(|_| !state.has_failed)
    }

    /// Waits until a thread panics.
    pub(super) fn failed(&self) {
        drop(self.0.wait_until(|state| state.has_failed));
    }

    /// Runs `f`. False: it has panicked, and the server has failed.
    pub(super) fn guard(&self, f: impl FnOnce()) -> bool {
        self.0.guard(f)
    }
}

/// Why a server was not started.
#[derive(Debug)]
pub enum StartError {
    /// The plugin's `init` has refused, or the kernel has no memory.
    Init(Error),
    /// Somebody listens at the socket already, or the path is something else.
    Exists,
    /// The socket, or the record, cannot be made.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(error) => write!(f, "`init` refused: {error}"),
            Self::Exists => {
                f.write_str("the socket is there already: end who listens there, or name another with --listen")
            }
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}
impl std::error::Error for StartError {}

/// What the threads of a server share.
struct Shared<P: Plugin> {
    sim: Sim<P>,
    record: Option<Record>,
    state: Mutex<State<P>>,
    changed: Condvar,
    /// The clock is to stop.
    is_stopping: AtomicBool,
}

struct State<P: Plugin> {
    is_ending: bool,
    next: u64,
    connections: BTreeMap<u64, Arc<UnixStream>>,
    handles: BTreeMap<u64, Arc<Handle<P>>>,
    /// Who has connected first.
    first: Option<u32>,
    /// A thread has panicked: a rule of the kernel was broken.
    has_failed: bool,
}

impl<P: Plugin> Server<P> {
    /// Loads the plugin, and listens at `path`. `record`: a file that gets a line of JSON for each request.
    ///
    /// A socket at which nobody listens any more is replaced. Only the user who starts this may connect, and root.
    pub fn start(builder: Builder<P>, path: &Path, record: Option<&Path>) -> Result<Self, StartError> {
        remove_stale(path)?;
        let record = record.map(Record::create).transpose().map_err(StartError::Io)?;
        let sim = builder.no_mmap().prints_log().build().map_err(StartError::Init)?;
        let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => StartError::Exists,
            _ => StartError::Io(error),
        })?;
        let state = State {
            is_ending: false,
            next: 0,
            connections: BTreeMap::new(),
            handles: BTreeMap::new(),
            first: None,
            has_failed: false,
        };
        let shared = Arc::new(Shared {
            sim,
            record,
            state: Mutex::new(state),
            changed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        });
        let mut server = Self { shared: shared.clone(), path: path.to_owned(), threads: Vec::new() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(StartError::Io)?;
        let of_clock = shared.clone();
        let tick = move || {
            of_clock.guard(|| {
                while !of_clock.is_stopping.load(Acquire) {
                    of_clock.sim.tick();
                }
            });
        };
        server.threads.push(thread::Builder::new().name("clock".into()).spawn(tick).map_err(StartError::Io)?);
        let accept = move || accept_all(&shared, &listener);
        server.threads.push(thread::Builder::new().name("accept".into()).spawn(accept).map_err(StartError::Io)?);
        Ok(server)
    }

    /// The kernel with the plugin, and its device.
    pub fn sim(&self) -> &Sim<P> {
        &self.shared.sim
    }

    /// For other threads than the server's own.
    pub(super) fn watch(&self) -> Watch<P> {
        Watch(self.shared.clone())
    }

    /// Ends each connection, and each request with it; then unloads the plugin. What it leaves, or has done wrong before, fails the test. What is
    /// left: nothing.
    pub fn end(mut self) -> Live {
        self.finish();
        assert!(!lock(&self.shared.state).has_failed, "a rule of the kernel was broken; a thread's panic said which");
        if let Err(crate::Busy) = self.shared.sim.unload() {
            panic!("a handle is left, though each connection has ended");
        }
        self.shared.sim.live()
    }

    /// Nobody connects any more, nobody is connected, and the clock has stopped.
    fn finish(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        if threads.is_empty() {
            return;
        }
        {
            let mut state = lock(&self.shared.state);
            state.is_ending = true;
            state.connections.values().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
        }
        let is_told = UnixStream::connect(&self.path).is_ok();
        let _ = fs::remove_file(&self.path);
        drop(self.shared.wait_until(|state| state.connections.is_empty() || state.has_failed));
        self.shared.is_stopping.store(true, Release);
        // Else who takes connections waits for one at a socket that nobody finds.
        if is_told {
            threads.into_iter().for_each(|thread| _ = thread.join());
        }
    }
}

impl<P: Plugin> Drop for Server<P> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = fs::remove_file(&self.path); // a test that fails already is not to wait for anything
        } else {
            self.finish();
        }
    }
}

impl<P: Plugin> Shared<P> {
    fn wait_until(&self, mut done: impl FnMut(&State<P>) -> bool) -> std::sync::MutexGuard<'_, State<P>> {
        let state = lock(&self.state);
        self.changed.wait_while(state, |state| !done(state)).unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f`. False: it has panicked, and the server has failed.
    fn guard(&self, f: impl FnOnce()) -> bool {
        let is_well = panic::catch_unwind(AssertUnwindSafe(f)).is_ok();
        if !is_well {
            lock(&self.state).has_failed = true;
            self.changed.notify_all();
        }
        is_well
    }
}

/// Takes away a socket that was left behind by a server that was killed.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_stale = metadata.file_type().is_socket()
        && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    if is_stale { fs::remove_file(path).map_err(StartError::Io) } else { Err(StartError::Exists) }
}

fn accept_all<P: Plugin>(shared: &Arc<Shared<P>>, listener: &UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(10)); // no descriptor is left: one may come back
            continue;
        };
        let stream = Arc::new(stream);
        let id = {
            let mut state = lock(&shared.state);
            if state.is_ending {
                return;
            }
            if state.connections.len() >= MAX_CONNECTIONS {
                let _ = write_welcome(&stream, Err(Status::NO_MEMORY));
                continue;
            }
            state.next += 1;
            let id = state.next;
            state.connections.insert(id, stream.clone());
            id
        };
        let of_thread = shared.clone();
        let serve = move || {
            of_thread.guard(|| serve(&of_thread, &stream));
            let _ = stream.shutdown(Shutdown::Both);
            of_thread.forget(id);
        };
        if thread::Builder::new().name("connection".into()).spawn(serve).is_err() {
            shared.forget(id);
        }
    }
}

impl<P: Plugin> Shared<P> {
    /// A connection of this handle's.
    fn connection<'a>(&'a self, handle: &'a Handle<P>, stream: &'a UnixStream) -> Connection<'a, P> {
        Connection { sim: &self.sim, handle, thread: handle.thread(), stream, record: self.record.as_ref() }
    }

    fn forget(&self, id: u64) {
        lock(&self.state).connections.remove(&id);
        self.changed.notify_all();
    }
}

/// One connection, from its first words on.
fn serve<P: Plugin>(shared: &Shared<P>, stream: &Arc<UnixStream>) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let Ok(hello) = read_hello(stream) else { return };
    let _ = stream.set_read_timeout(None);
    match hello {
        Hello { kind: kind::OPEN, handle: 0, .. } => open(shared, stream),
        Hello { kind: kind::MORE | kind::POLL, handle, .. } => join(shared, stream, handle, hello.kind == kind::POLL),
        _ => _ = write_welcome(stream, Err(TransportStatus::UNKNOWN_REQUEST.status())),
    }
}

/// A connection that makes a handle, and lives as long as it.
fn open<P: Plugin>(shared: &Shared<P>, stream: &UnixStream) {
    let Peer { process: number, is_root } = peer(stream);
    let process = if is_root { Process::new(number).admin() } else { Process::new(number) };
    {
        let mut state = lock(&shared.state);
        state.first.get_or_insert(number);
        shared.changed.notify_all();
    }
    let handle = match shared.sim.open_in(&process, Mode::ReadWrite) {
        Ok(app) => Arc::new(Handle::new(app, process)),
        Err(error) => {
            let _ = write_welcome(stream, Err(error.status));
            return;
        }
    };
    let number = loop {
        // Its hasher's seed is random, and secret.
        let number = RandomState::new().build_hasher().finish();
        let mut state = lock(&shared.state);
        if number != 0 && !state.handles.contains_key(&number) {
            state.handles.insert(number, handle.clone());
            break number;
        }
    };
    if write_welcome(stream, Ok(number)).is_ok() {
        requests::serve(&shared.connection(&handle, stream));
    }
    lock(&shared.state).handles.remove(&number);
    handle.close();
}

/// A connection more for a handle.
fn join<P: Plugin>(shared: &Shared<P>, stream: &Arc<UnixStream>, number: u64, is_poll: bool) {
    let closed = |stream| _ = write_welcome(stream, Err(Status::CLOSED));
    let Some(handle) = lock(&shared.state).handles.get(&number).cloned() else { return closed(stream) };
    if write_welcome(stream, Ok(number)).is_err() {
        return;
    }
    // From here on it is told, so not before the welcome.
    let Some(id) = handle.join(stream, is_poll) else { return };
    let connection = shared.connection(&handle, stream);
    if is_poll {
        poll::serve(&connection)
    } else {
        requests::serve(&connection)
    }
    handle.leave(id);
}

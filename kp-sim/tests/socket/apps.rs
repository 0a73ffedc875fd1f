//! Apps that use kp-user, and know nothing of sockets: `KP_NODE` is in their environment.
use crate::{
    client::{Place, server, until},
    test_plugin::messages,
};
use kp_abi::{Status, TransportStatus};
use kp_sim::Live;
use kp_user::{ControlNode, Enable, OpenOptions, Plugin, Socket};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// Each of these is a test of this program's which does nothing unless it is started as an app.
const VARIABLE: &str = "KP_SOCKET_TEST";

/// This program, as an app that runs one of its tests. Killed at the end.
struct App {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl App {
    fn start(place: &Place, test: &str) -> Self {
        Self::run(&env::current_exe().unwrap(), place, test)
    }

    fn run(program: &Path, place: &Place, test: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["--exact", test, "--nocapture"]).env("KP_NODE", place.path()).env(VARIABLE, "1");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Reads what it says, up to a line that has these words.
    fn until(&mut self, words: &str) {
        assert!(self.said.by_ref().lines().map(Result::unwrap).any(|line| line.contains(words)), "{words}");
    }

    /// Its end: it has to have passed.
    fn passes(mut self) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn is_app() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Its session, whatever it asks for.
fn open() -> Plugin {
    Plugin::open_interface("whatever.7", messages::INTERFACE, &[]).unwrap()
}

/// Can it be read now, and is it hung up?
fn poll(fd: BorrowedFd<'_>) -> (bool, bool) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one `pollfd`, which is borrowed meanwhile.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    assert!(ready >= 0);
    (poll.revents & libc::POLLIN != 0, poll.revents & libc::POLLHUP != 0)
}

#[test]
fn an_app_that_does_everything() {
    if !is_app() {
        return;
    }
    // What there is.
    let listed: Vec<String> = Plugin::list().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["test.0 at 0000:00:04.0"]);
    drop(Plugin::open_at("00:04.0").unwrap());
    let elsewhere = OpenOptions::new().open_at("00:05.0").map(|_| ()).unwrap_err();
    assert!(elsewhere.to_string().contains("0000:00:04.0"), "{elsewhere}");
    assert!(Plugin::open("../card").is_err());

    // A thread that is handed notifications, while this one calls.
    let plugin = open();
    let client = messages::Client(&plugin);
    let (tell, told) = mpsc::channel();
    let thread = plugin.interrupts(Enable::any()).unwrap().on_notify(move |it| tell.send(it.got).unwrap()).unwrap();
    for _ in 0..50 {
        client.raise(1).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(1));
    }
    let counters = thread.disable().unwrap();
    assert_eq!((counters.received, counters.delivered, counters.lost), (50, 50, 0));

    // Many threads at once, of which some sleep in the plugin.
    thread::scope(|scope| {
        for n in 1..=8 {
            let client = messages::Client(&plugin);
            scope.spawn(move || {
                client.nap(20).unwrap();
                assert_eq!(client.factorial(n), Ok((1..=n).product()));
            });
        }
    });

    // A descriptor for poll(2).
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    let fd = plugin.as_fd().expect("it has one");
    assert_eq!(poll(fd), (false, false));
    client.raise(1).unwrap();
    client.raise(1).unwrap();
    until("both have come", || interrupts.counters().unwrap().available == 2);
    until("it can be read", || poll(fd).0);
    interrupts.try_take().unwrap();
    assert!(poll(fd).0, "one is left");
    interrupts.try_take().unwrap();
    assert_eq!(interrupts.try_take().map(|_| ()), Err(Status::TIMEOUT.into()));
    assert_eq!(poll(fd), (false, false));

    // What is not there.
    assert!(!plugin.has_buffers());
    let mut batch = client.batch().unwrap();
    assert_eq!(batch.factorial(5).map(|_| ()), Err(TransportStatus::UNKNOWN_REQUEST.status().into()));
    drop(batch);

    // The end of the session ends the wait of another thread, and hangs up.
    let connection = plugin.connection().clone();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| interrupts.wait(Duration::MAX));
        until("it waits", || plugin.query().unwrap().waits == 1);
        connection.close().unwrap();
        assert_eq!(waiter.join().unwrap().map(|_| ()), Err(Status::CLOSED.into()));
    });
    until("it is hung up", || poll(fd).1);
}

#[test]
fn an_app_that_goes_elsewhere() {
    if !is_app() {
        return;
    }
    let place = PathBuf::from(env::var_os("KP_NODE").unwrap());
    env::set_current_dir(place.parent().unwrap()).unwrap();
    let socket = Socket::open(Path::new(place.file_name().unwrap())).unwrap();
    let plugin = Plugin::over(Arc::new(ControlNode::over(socket)), messages::INTERFACE, &[]).unwrap();
    env::set_current_dir("/").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| messages::Client(&plugin).nap(20).unwrap());
        }
    });
}

#[test]
fn an_app_that_waits() {
    if !is_app() {
        return;
    }
    let plugin = open();
    let thread = plugin.interrupts(Enable::any()).unwrap().on_notify(|_| ()).unwrap();
    until("it waits", || plugin.query().unwrap().waits == 1);
    println!("it waits");
    println!("it was ended by {}", thread.join().status);
}

#[test]
fn kp_user_opens_the_socket_and_everything_but_memory_works() {
    let (server, place) = server();
    App::start(&place, "apps::an_app_that_does_everything").passes();
    assert_eq!(server.sim().live().handles, 0, "each was closed before its app went on");
    assert_eq!(server.end(), Live::default());
}

#[test]
fn an_app_may_go_to_another_folder() {
    let (server, place) = server();
    App::start(&place, "apps::an_app_that_goes_elsewhere").passes();
    assert_eq!(server.end(), Live::default());
}

#[test]
fn an_app_that_is_killed_while_it_waits_leaves_nothing() {
    let (server, place) = server();
    for _ in 0..3 {
        // The interrupt is free again each time.
        let mut app = App::start(&place, "apps::an_app_that_waits");
        app.until("it waits");
        app.kill();
        until("its handle is closed", || server.sim().live().handles == 0);
    }
    assert_eq!(server.end(), Live::default());
}

#[test]
fn the_removal_of_the_device_ends_an_app_that_waits() {
    let (server, place) = server();
    let mut app = App::start(&place, "apps::an_app_that_waits");
    app.until("it waits");
    server.sim().remove(false);
    app.until(&format!("it was ended by {}", Status::DEVICE_GONE));
    app.passes();
    assert_eq!(server.end(), Live::default());
}

#[test]
fn an_app_with_more_rights_than_its_starter() {
    if !is_app() {
        return;
    }
    let error = Plugin::open_interface("whatever", messages::INTERFACE, &[]).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/kp/whatever: "), "{error}");
    assert!(Plugin::list().unwrap_or_default().iter().all(|listed| listed.path.starts_with("/dev/kp/")));
}

/// A program of another user's, which runs as that user whoever starts it: only root can make one.
#[test]
fn a_program_that_is_set_uid_does_not_look_at_the_environment() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("not run: needs root");
        return;
    }
    let (server, place) = server();
    let program = Place::new();
    // By another process: else one that another test starts meanwhile has the copy open for writing, and it cannot be run.
    assert!(Command::new("cp").arg(env::current_exe().unwrap()).arg(program.path()).status().unwrap().success());
    std::os::unix::fs::chown(program.path(), Some(65534), None).unwrap();
    fs::set_permissions(program.path(), fs::Permissions::from_mode(0o4755)).unwrap();
    App::run(&program.path(), &place, "apps::an_app_with_more_rights_than_its_starter").passes();
    assert_eq!(server.end(), Live::default());
}

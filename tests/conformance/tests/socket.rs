//! The scenario by an app whose plugins are behind sockets: its transcript is that of every host, as far as it asks for no memory.
#![cfg(target_os = "linux")]
use conformance::{Part, Subject, Unload, Victim, World, interrupts::until, raw_ioctl};
use echo::Echo;
use edu::Edu;
use kp_core::Plugin as Driver;
use kp_sim::{Builder, Sim, socket::Server};
use kp_user::{Connection, ControlNode, Plugin, Socket};
use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};
use tempfile::TempDir;

struct BehindSockets {
    echo: Option<Server<Echo>>,
    edu: Option<Server<Edu>>,
    folder: TempDir,
}

impl BehindSockets {
    fn new() -> Self {
        Self { echo: None, edu: None, folder: TempDir::with_prefix("kp-").expect("a folder can be made") }
    }

    fn path(&self, subject: Subject) -> PathBuf {
        self.folder.path().join(subject.name())
    }

    fn start<P: Driver>(&self, subject: Subject, builder: Builder<P>) -> Option<Server<P>> {
        Some(Server::start(builder, &self.path(subject), None).unwrap_or_else(|error| panic!("{error}")))
    }
}

/// Ends the server if nobody has the plugin open.
fn unload<P: Driver>(server: &mut Option<Server<P>>) -> Unload {
    if server.as_ref().expect("it is loaded").sim().live().handles > 0 {
        return Unload::Stays;
    }
    server.take().map(Server::end);
    Unload::Gone
}

fn connect(path: &Path) -> Arc<ControlNode<Socket>> {
    Arc::new(ControlNode::over(Socket::open(path).unwrap_or_else(|cause| panic!("{cause:?}"))))
}

impl World for BehindSockets {
    fn load(&mut self, subject: Subject) {
        match subject {
            Subject::Echo => self.echo = self.start(subject, Sim::builder()),
            Subject::Edu => self.edu = self.start(subject, Sim::builder().device(kp_sim::edu::Edu::new())),
            Subject::Bmd => panic!("its messages name buffers, and there are none"),
        }
    }

    fn unload(&mut self, subject: Subject) -> Unload {
        match subject {
            Subject::Echo => unload(&mut self.echo),
            _ => unload(&mut self.edu),
        }
    }

    fn connect(&mut self, subject: Subject) -> Plugin {
        let plugin = Plugin::over(connect(&self.path(subject)), subject.interface(), &[]);
        plugin.unwrap_or_else(|error| panic!("{error}"))
    }

    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim> {
        let mut command = Command::new(env::current_exe().expect("this program"));
        let command = command.args(["--exact", "a_client_that_waits", "--nocapture"]);
        let command = command.env(SOCKET, self.path(Subject::Edu)).env(KINDS, kinds.to_string()).stdout(Stdio::piped());
        let mut client = command.spawn().expect("it can be started");
        let said = BufReader::new(client.stdout.take().expect("it is piped")).lines();
        assert!(said.map_while(Result::ok).any(|line| line.contains(WAITS)), "it says when it waits");
        Box::new(Client { client, edu: connect(&self.path(Subject::Edu)) })
    }
}

/// A client in a process of its own, and who asks when the driver has let it go.
struct Client {
    client: Child,
    edu: Arc<ControlNode<Socket>>,
}

impl Victim for Client {
    fn kill(mut self: Box<Self>) {
        let sessions = || self.edu.query(0).expect("it answers").sessions;
        let before = sessions();
        self.client.kill().expect("it runs");
        self.client.wait().expect("it was started");
        until("its session is over", || sessions() == before - 1);
    }
}

/// What is told to a client that waits: where, and for which kinds of interrupt.
const SOCKET: &str = "KP_CONFORMANCE_SOCKET";
const KINDS: &str = "KP_CONFORMANCE_KINDS";
/// What it says then.
const WAITS: &str = "it waits";

/// Started by the next test, and killed.
#[test]
fn a_client_that_waits() {
    let Some(path) = env::var_os(SOCKET) else { return };
    let kinds = env::var(KINDS).expect("it is told").parse().expect("a number");
    let app = connect(Path::new(&path));
    app.open(&mut raw_ioctl::open(Subject::Edu.interface()), &[]).unwrap_or_else(|error| panic!("open: {error}"));
    app.int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
    thread::scope(|scope| {
        scope.spawn(|| app.int_wait(u64::MAX, u32::MAX, 1));
        until("the wait is pending", || app.query(0).is_ok_and(|query| query.waits == 1));
        println!("{WAITS}");
    });
}

#[test]
fn the_transcript_is_the_one_that_every_host_gives() {
    for part in [Part::Calls, Part::Interrupts] {
        assert_eq!(conformance::scenario(&mut BehindSockets::new(), part), part.snapshot());
    }
}

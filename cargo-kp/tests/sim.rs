//! `cargo kp sim`: a plugin and its model as a process, from its first line to its last.
#![cfg(target_os = "linux")]
use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// The tool in a folder, which builds where the other tests do.
fn tool(folder: &Path, words: &str) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    tool.args(words.split_whitespace()).current_dir(folder).env("CARGO_TARGET_DIR", repository().join("target"));
    tool
}

/// A folder that is removed at the end.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(TempDir::with_prefix("kp-").expect("a folder can be made"))
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn socket(&self) -> PathBuf {
        self.join("card.sock")
    }
}

/// A server that runs. Killed at the end.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
    /// What it says on stderr is in this file: a pipe that nobody reads may fill up.
    errors: PathBuf,
}

impl Running {
    fn start(mut tool: Command, socket: &Path, plugin: &str) -> Self {
        let errors = socket.with_extension("errors");
        tool.stdout(Stdio::piped()).stderr(File::create(&errors).expect("a file can be made"));
        let mut child = tool.spawn().expect("the tool can be started");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut running = Running { child, said, errors };
        let line = running.line();
        assert_eq!(line, format!("{plugin} listens: KP_NODE={}\n", socket.display()), "{}", running.errors());
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it speaks UTF-8");
        line
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// What it has said on stderr so far.
    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).expect("it speaks UTF-8")
    }

    /// What it says last, and its exit code.
    fn end(&mut self) -> (String, Option<i32>) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("it speaks UTF-8");
        (said, self.child.wait().expect("it was started").code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Opens a handle: the connection, and the status.
fn open(socket: &Path) -> (UnixStream, u32) {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.write_all(b"KPN1\0\0\0\0\0\0\0\0\0\0\0\0").expect("it listens");
    let mut welcome = [0; 16];
    stream.read_exact(&mut welcome).expect("an answer");
    assert_eq!(welcome[..4], *b"KPN1");
    (stream, u32::from_le_bytes([welcome[4], welcome[5], welcome[6], welcome[7]]))
}

const NOTHING_LEFT: &str = "live: 0 allocations, 0 locks, 0 wait queues, 0 mappings, 0 interrupts, 0 timers, 0 work items, 0 handles, \
                            0 dma, 0 pinned\n";
const OK: u32 = 0;
const DEVICE_GONE: u32 = 37;

#[test]
fn it_runs_until_a_signal_comes_and_another_one_takes_the_device_away() {
    let folder = Folder::new();
    let socket = folder.socket();
    let sim = |socket: &Path| tool(&repository(), &format!("kp sim -p edu --listen {}", socket.display()));
    for (signal, is_gone) in [(Signal::TERM, false), (Signal::INT, true)] {
        let mut running = Running::start(sim(&socket), &socket, "edu");
        let (_app, status) = open(&socket);
        assert_eq!(status, OK);
        if is_gone {
            running.signal(Signal::USR1);
            assert_eq!(running.line(), "the device is gone\n");
            assert_eq!(open(&socket).1, DEVICE_GONE);
        }
        let taken = sim(&socket).output().expect("the tool can be started");
        refuses(&taken, 6, "E074", &format!("{} is there already", socket.display()));
        running.signal(signal);
        assert_eq!(running.end(), (NOTHING_LEFT.to_owned(), Some(0)));
        assert!(!socket.exists());
    }
}

/// What the next test starts: an app that comes, and goes.
#[test]
fn an_app() {
    let Some(socket) = env::var_os("KP_SIM_TEST") else { return };
    assert_eq!(open(Path::new(&socket)).1, OK);
}

#[test]
fn it_ends_with_its_first_app_if_that_is_asked_for() {
    let folder = Folder::new();
    let socket = folder.socket();
    let words = format!("kp sim -p echo --until-closed --listen {}", socket.display());
    let mut running = Running::start(tool(&repository(), &words), &socket, "echo");
    let mut app = Command::new(env::current_exe().expect("this program"));
    let app = app.args(["--exact", "an_app"]).env("KP_SIM_TEST", &socket).output().expect("it can be started");
    assert!(app.status.success(), "{app:?}");
    assert_eq!(running.end(), (NOTHING_LEFT.to_owned(), Some(0)));
}

#[test]
fn what_cargo_kp_new_makes_runs_with_its_model_and_what_does_not_compile_is_refused() {
    let folder = Folder::new();
    let socket = folder.socket();
    fs::copy(repository().join("tests/cards/edu.csv"), folder.join("edu.csv")).expect("a file can be copied");
    let new = "kp new card --pci 1234:11e8 --registers edu.csv --no-git";
    let made = tool(folder.0.path(), new).output().expect("the tool can be started");
    assert!(made.status.success(), "{made:?}");
    let card = folder.join("card");
    // The versions are those that are here already.
    fs::copy(repository().join("Cargo.lock"), card.join("Cargo.lock")).expect("a file can be copied");
    let sim = || tool(&card, &format!("kp sim --listen {}", socket.display()));
    let mut running = Running::start(sim(), &socket, "card");
    assert_eq!(open(&socket).1, OK);
    running.signal(Signal::TERM);
    assert_eq!(running.end(), (NOTHING_LEFT.to_owned(), Some(0)));

    // What a plugin leaves at its unload is not passed over.
    let plugin = card.join("plugin/src/lib.rs");
    let text = fs::read_to_string(&plugin).expect("the plugin");
    let leaks = text.replace("device.map(cx, 0)?", "{ core::mem::forget(KBox::new(cx, 1u8)?); device.map(cx, 0)? }");
    fs::write(&plugin, leaks).expect("a file can be written");
    let mut running = Running::start(sim(), &socket, "card");
    running.signal(Signal::TERM);
    assert_eq!(running.end(), (String::new(), Some(1)));
    let errors = running.errors();
    assert!(errors.contains("\nleft at unload: 1 allocations"), "{errors}");
    assert!(!socket.exists());

    let model = card.join("plugin/tests/model/mod.rs");
    let text = fs::read_to_string(&model).expect("the model");
    fs::write(&model, text.replace("pub struct Model", "pub struct Card")).expect("a file can be written");
    let refused = sim().output().expect("the tool can be started");
    refuses(&refused, 1, "E077", "card doesn't compile");
    fs::remove_file(&model).expect("a file can be removed");
    let refused = sim().output().expect("the tool can be started");
    refuses(&refused, 4, "E076", &format!("no file {}", model.display()));
    assert!(!socket.exists());
}

#[test]
fn what_cannot_be_run_is_refused() {
    let folder = Folder::new();
    let socket = folder.socket();
    let sim = |plugin: &str| {
        let words = format!("kp sim -p {plugin} --listen {}", socket.display());
        tool(&repository(), &words).output().expect("the tool can be started")
    };
    refuses(&sim("ticker"), 4, "E075", "ticker drives a device, and names no model of it");
    assert!(!socket.exists());
    fs::write(&socket, "a file").expect("a file can be written");
    refuses(&sim("echo"), 6, "E074", &format!("{} is there already", socket.display()));
    assert_eq!(fs::read_to_string(&socket).expect("it is there"), "a file");
}

fn refuses(output: &Output, code: i32, error: &str, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with(&format!("error[{error}]: {why}")), "{said}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{said}");
}

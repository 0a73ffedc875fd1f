//! The questions: at a terminal alone, each answer is a flag, and the command that is printed at the end makes the same files.
use crate::folder::{EDU, Ended, Folder, tool};
use crate::readers::{peripheral, register, svd};
use crate::sources::sysfs;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tool at a terminal: `script`, of Debian's essential bsdutils, gives it one.
struct Terminal {
    child: std::process::Child,
    shown: Receiver<Vec<u8>>,
    /// All that was shown, and how much of it the questions so far have taken.
    text: String,
    taken: usize,
}

impl Terminal {
    /// Starts `cargo kp new` with words between blanks. What it prints as its result goes to the file `said`.
    fn start(folder: &Folder, words: &str) -> Self {
        let program = tool(folder.path()).get_program().to_string_lossy().into_owned();
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--command",
                &format!("stty cols 120 rows 40; exec {program} new {words} > said"),
                "/dev/null",
            ])
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script can be started");
        let mut from = child.stdout.take().expect("a pipe");
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut room) {
                if sender.send(room[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, shown, text: String::new(), taken: 0 }
    }

    /// Waits for a question, and types an answer.
    fn answer(&mut self, question: &str, answer: &str) {
        let end = Instant::now() + PATIENCE;
        let found = loop {
            if let Some(at) = self.text[self.taken..].find(question) {
                break self.taken + at + question.len();
            }
            let left = end.saturating_duration_since(Instant::now());
            let more = self.shown.recv_timeout(left).unwrap_or_else(|_| panic!("no `{question}`: {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&more));
        };
        self.taken = found;
        let to = self.child.stdin.as_mut().expect("a pipe");
        // Behind an escape an Enter would be another key.
        let enter = if answer == ESCAPE { "" } else { "\r" };
        to.write_all(format!("{answer}{enter}").as_bytes()).expect("it is open");
        to.flush().expect("it is open");
    }

    /// Waits for the end. The exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        while let Ok(more) = self.shown.recv_timeout(PATIENCE) {
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
        (self.child.wait().expect("it was started").code(), std::mem::take(&mut self.text))
    }
}

impl Drop for Terminal {
    /// One that has no answer to wait for would stay.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// All files below a folder, but for what a repository has of its own.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("it is below").display().to_string();
            match path.is_dir() {
                true if name == ".git" => {}
                true => folders.push(path),
                false => drop(files.insert(name, fs::read_to_string(path).expect("a text"))),
            }
        }
    }
    files
}

/// Has a shell run the command that was printed, into another folder. It makes the same files.
fn makes_the_same(folder: &Folder, command: &str) {
    let printed = folder.read("said");
    assert!(printed.contains(&format!("\n    {command}\n")), "{printed}");
    let this = tool(folder.path());
    let words = command.strip_prefix("cargo kp ").expect("it is the tool's");
    let script = format!("exec {} {words} --path again", this.get_program().to_string_lossy());
    let ended: Ended =
        Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().expect("a shell").into();
    assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""), "{script}");
    assert_eq!(tree(&folder.path().join("again")), tree(&folder.path().join("card")));
}

const DOWN: &str = "\x1b[B";
const ESCAPE: &str = "\x1b";

#[cfg(target_os = "linux")]
#[test]
fn the_answers_make_the_files_that_the_printed_command_makes() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    folder.write("scan.json", include_str!("../../../tests/cards/scan.json"));
    let mut terminal = Terminal::start(&folder, "--root machine --no-git");
    terminal.answer("Which device?", "scan file");
    terminal.answer("Scan file?", "scan.json");
    terminal.answer("Which of its devices?", "11e8");
    terminal.answer("Name?", "");
    terminal.answer("Register file?", "edu.csv");
    terminal.answer("Interrupt status register?", "");
    terminal.answer("How is it acknowledged?", "");
    terminal.answer("Apps beside the one in Rust?", " ");
    terminal.answer("Write them?", "");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("5 registers in BAR 0, 0x68 bytes. Nothing overlaps."), "{shown}");
    makes_the_same(
        &folder,
        "cargo kp new card --scan 'scan.json#0000:00:04.0' --registers edu.csv --irq-status IRQ_STATUS --irq-ack IRQ_ACK=write-back --apps rust,c --no-git",
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_given_is_not_asked_and_what_is_wrong_is_asked_again() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    let mut terminal = Terminal::start(&folder, "card --ask --registers edu.csv --no-git --root machine");
    terminal.answer("Which device?", "numbers");
    terminal.answer("Vendor and device?", "12");
    terminal.answer("`12` is no PCI device", "34:11e8");
    terminal.answer("Interrupt status register?", &format!("{DOWN}{DOWN}"));
    terminal.answer("How is it acknowledged?", "fixed");
    terminal.answer("To which register?", "IRQ_ACK");
    terminal.answer("Which value?", "0x5");
    terminal.answer("Apps beside the one in Rust?", "");
    terminal.answer("Write them?", "y");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    makes_the_same(
        &folder,
        "cargo kp new card --pci 1234:11e8 --registers edu.csv --irq-status FACTORIAL --irq-ack IRQ_ACK=0x5 --no-git",
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_card_of_this_machine_whose_registers_are_in_several_blocks_is_asked_for_their_bars() {
    let folder = Folder::new();
    sysfs(&folder, true);
    let blocks = ["UART", "DMA"].map(|name| peripheral(name, &register("DATA", "4")));
    folder.write("soc.svd", &svd(&blocks.concat()));
    let mut terminal = Terminal::start(&folder, "--no-git --root machine");
    terminal.answer("Which device?", "00:04.0");
    terminal.answer("Name?", "");
    terminal.answer("Register file?", "soc");
    // What is typed goes on with what was wrong. Between two keys the terminal would take a backspace for itself.
    terminal.answer("soc: registers are read from", ".svd");
    terminal.answer("In which BAR are they?", "UART=0 DMA=0+0x100");
    terminal.answer("Interrupt status register?", "none");
    terminal.answer("How does it interrupt?", "no interrupt");
    terminal.answer("Apps beside the one in Rust?", "");
    terminal.answer("Write them?", "");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("  interrupts: line, pin A; MSI, 1"), "{shown}");
    makes_the_same(
        &folder,
        "cargo kp new card --from-device 0000:00:04.0 --root machine --registers soc.svd --bar UART=0 --bar DMA=0+0x100 --no-git --no-irq",
    );
    assert!(folder.read("card/ci/run").contains("built with its feature `readers`"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_no_and_an_escape_write_nothing() {
    let folder = Folder::new();
    let mut terminal = Terminal::start(&folder, "--root machine");
    terminal.answer("Which device?", "software");
    terminal.answer("Name?", "plain");
    terminal.answer("Apps beside the one in Rust?", "");
    terminal.answer("Write them?", "n");
    let (code, shown) = terminal.end();
    assert_eq!((code, folder.names()), (Some(0), vec!["said".to_owned()]), "{shown}");
    assert_eq!(folder.read("said"), "    cargo kp new plain --software\nnothing is written\n");
    let mut terminal = Terminal::start(&folder, "--root machine");
    terminal.answer("Which device?", ESCAPE);
    let (code, shown) = terminal.end();
    assert_eq!((code, folder.names()), (Some(1), vec!["said".to_owned()]), "{shown}");
    assert!(shown.contains("error[E101]: "), "{shown}");
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let folder = Folder::new();
    let line = "error[E001]: nobody to ask: name the device, `--pci VENDOR:DEVICE`, `--qemu NAME`, or `--software` for a plugin without one";
    for words in ["new", "new card --ask --pci 1234:11e8"] {
        let mut tool = tool(folder.path());
        let ended =
            Ended::from(tool.args(words.split(' ')).stdin(Stdio::null()).output().expect("the tool can be started"));
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(2), "", line), "{words}");
    }
    assert_eq!(folder.names(), Vec::<String>::new());
}

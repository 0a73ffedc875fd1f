//! A card of QEMU's, by a QEMU that runs no guest: its protocol qtest reads and writes the ports of a PC, and so the configuration space.
use super::card::Card;
use anyhow::{Context, Result};
use kp_tool::Message;
use kp_tool::found::{Bar, BarKind, Found};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

const PROGRAM: &str = "qemu-system-x86_64";
/// The machine that `cargo kp vm` boots. Its own devices are at these numbers of the bus.
const MACHINE: &[&str] = &[
    "-machine",
    "q35",
    "-accel",
    "tcg",
    "-S",
    "-qtest",
    "stdio",
    "-qtest-log",
    "none",
    "-nodefaults",
    "-display",
    "none",
];
const OWN: [u32; 2] = [0x00, 0x1f];
/// How long QEMU may take over one answer. It needs far less.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of configuration space that are reached by ports.
const CONFIG: u32 = 256;

/// The device that QEMU makes of what stands behind `-device`.
pub fn card(device: &str) -> Result<Card> {
    let name = device.split(',').next().unwrap_or_default();
    let found = match ask(device) {
        Ok(found) => found.ok_or_else(|| Message::NotPci { name: name.to_owned() })?,
        Err(Refusal::Absent) => {
            let (program, package) = (PROGRAM.to_owned(), "qemu-system-x86".to_owned());
            return Err(Message::MissingProgram { program, package }.into());
        }
        Err(Refusal::Said(why)) if why.contains("is not a valid device model name") => {
            return Err(Message::NoQemuDevice { name: name.to_owned(), alike: alike(name, &names()?) }.into());
        }
        Err(Refusal::Said(why)) => return Err(Message::QemuRefused { device: device.to_owned(), why }.into()),
    };
    Ok(Card::new(&format!("QEMU's {name}"), found)?)
}

/// Why there is no answer of QEMU's.
enum Refusal {
    /// There is no QEMU.
    Absent,
    /// What it said, or what was wrong with that.
    Said(String),
}

/// Finds out of the device what there is to be known of it. None if it is not on the bus.
fn ask(device: &str) -> Result<Option<Found>, Refusal> {
    // An ivshmem-doorbell asks for a server before it is made.
    #[cfg(unix)]
    let server = crate::vm::ivshmem::Server::wanted(device).map_err(|error| Refusal::Said(format!("{error:#}")))?;
    #[cfg(unix)]
    let arguments = server.as_ref().map(crate::vm::ivshmem::Server::arguments);
    #[cfg(not(unix))]
    let arguments: Option<Vec<String>> = None;
    let mut qemu = Qemu::start(&arguments.unwrap_or_else(|| vec!["-device".to_owned(), device.to_owned()]))?;
    for slot in (0..32).filter(|slot| !OWN.contains(slot)) {
        if qemu.config(slot, 0)? & 0xffff != 0xffff {
            return device_at(&mut qemu, slot).map(Some);
        }
    }
    Ok(None)
}

/// Reads a configuration space, and has the device say how long its BARs are.
fn device_at(qemu: &mut Qemu, slot: u32) -> Result<Found, Refusal> {
    let mut config = Vec::new();
    for register in (0..CONFIG).step_by(4) {
        config.extend(qemu.config(slot, register)?.to_le_bytes());
    }
    let (mut bars, mut number) = (Vec::new(), 0);
    // A bridge has two of them. Bit 7 of the header's type says that there are more functions.
    let count = if config[0x0e] & 0x7f == 0 { 6 } else { 2 };
    while number < count {
        let at = 0x10 + 4 * number as u32;
        let mut bar = |at| -> Result<u32, Refusal> {
            qemu.set_config(slot, at, u32::MAX)?;
            qemu.config(slot, at)
        };
        let low = bar(at)?;
        let is_wide = low & 0b111 == 0b100;
        let high = if is_wide { bar(at + 4)? } else { 0 };
        bars.extend(sized(number, low, high));
        number += if is_wide { 2 } else { 1 };
    }
    Ok(Found::of_config(&format!("0000:00:{slot:02x}.0"), &config, bars))
}

/// A BAR, by what it reads after ones were written to it: the bits of the address that are not its length's, and four or two of its kind.
fn sized(number: usize, low: u32, high: u32) -> Option<Bar> {
    let (kind, address, bits) = match low {
        0 => return None,
        low if low & 1 != 0 => (BarKind::Ports, u64::from(low & !3) | u64::MAX << 16, 32),
        low if low & 0b111 == 0b100 => (BarKind::Memory, u64::from(high) << 32 | u64::from(low & !15), 64),
        low => (BarKind::Memory, u64::from(low & !15) | u64::MAX << 32, 32),
    };
    let prefetchable = kind == BarKind::Memory && low & 8 != 0;
    Some(Bar { number, kind, bits, prefetchable, len: address.wrapping_neg() })
}

/// A QEMU that answers.
struct Qemu {
    child: Child,
    to: ChildStdin,
    answers: Receiver<String>,
    complaint: Option<JoinHandle<String>>,
}

impl Qemu {
    fn start(arguments: &[String]) -> Result<Self, Refusal> {
        let said = |error: io::Error| Refusal::Said(error.to_string());
        let mut command = Command::new(PROGRAM);
        command.args(MACHINE).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::Absent,
            _ => said(error),
        })?;
        let (Some(to), Some(from), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Refusal::Said("it has no pipes".to_owned()));
        };
        let (sender, answers) = channel();
        // It ends with QEMU, which ends with this value.
        thread::spawn(move || {
            BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let complaint = Some(thread::spawn(move || complaint(stderr)));
        Ok(Qemu { child, to, answers, complaint })
    }

    /// A command, and the number in its answer, or 0.
    fn command(&mut self, command: &str) -> Result<u32, Refusal> {
        if self.to.write_all(format!("{command}\n").as_bytes()).is_err() {
            return Err(self.last_words());
        }
        loop {
            // What a device prints by itself is no answer.
            let Ok(line) = self.answers.recv_timeout(PATIENCE) else { return Err(self.last_words()) };
            if let Some(answer) = line.strip_prefix("OK") {
                let digits = answer.trim().strip_prefix("0x").unwrap_or("0");
                return u32::from_str_radix(digits, 16).map_err(|_| Refusal::Said(format!("it answered `{line}`")));
            }
        }
    }

    /// Why there is no answer. QEMU is ended, if it has not ended by itself.
    fn last_words(&mut self) -> Refusal {
        // Gone already is as good.
        let _ = self.child.kill();
        let said = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Refusal::Said(if said.is_empty() { "it ended without a word, or hung".to_owned() } else { said })
    }

    /// Chooses a register of configuration space.
    fn choose(&mut self, slot: u32, register: u32) -> Result<(), Refusal> {
        let address = 0x8000_0000 | slot << 11 | register;
        self.command(&format!("outl 0xcf8 {address:#x}")).map(drop)
    }

    fn config(&mut self, slot: u32, register: u32) -> Result<u32, Refusal> {
        self.choose(slot, register)?;
        self.command("inl 0xcfc")
    }

    fn set_config(&mut self, slot: u32, register: u32, value: u32) -> Result<(), Refusal> {
        self.choose(slot, register)?;
        self.command(&format!("outl 0xcfc {value:#x}")).map(drop)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line that is no mere warning, without the program's name and the option's.
fn complaint(stderr: impl Read) -> String {
    let lines: Vec<String> = BufReader::new(stderr).lines().map_while(Result::ok).collect();
    let is_it = |line: &&String| !line.contains("warning:");
    let line = lines.iter().find(is_it).map(String::as_str).unwrap_or_default();
    let line = line.strip_prefix(PROGRAM).map_or(line, |line| line.trim_start_matches([':', ' ']));
    match line.strip_prefix("-device ").and_then(|rest| rest.split_once(": ")) {
        Some((_, why)) => why.to_owned(),
        None => line.to_owned(),
    }
}

/// Refuses a device that QEMU does not know, before anything is built for it. QEMU itself refuses what its options are not.
#[cfg(unix)]
pub fn is_known(device: &str) -> Result<()> {
    let name = device.split(',').next().unwrap_or_default();
    // As JSON it may be given too.
    if name.starts_with('{') {
        return Ok(());
    }
    let output = Command::new(PROGRAM).args(["-machine", "none", "-device", &format!("{name},help")]).output();
    match output {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("not found") => {
            Err(Message::NoQemuDevice { name: name.to_owned(), alike: alike(name, &names()?) }.into())
        }
        // Without a QEMU the packages are named later.
        _ => Ok(()),
    }
}

/// The names of QEMU's devices on a PCI bus.
fn names() -> Result<Vec<String>> {
    let output = Command::new(PROGRAM).args(["-machine", "none", "-device", "help"]).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {PROGRAM}"))?;
    Ok(pci_names(&String::from_utf8_lossy(&output.stdout)))
}

/// The names in what `-device help` prints: `name "edu", bus PCI, desc "…"`.
fn pci_names(help: &str) -> Vec<String> {
    let lines = help.lines().filter(|line| line.contains("bus PCI"));
    lines.filter_map(|line| Some(line.strip_prefix("name \"")?.split_once('"')?.0.to_owned())).collect()
}

/// The names that begin most like one, for a person.
fn alike(name: &str, names: &[String]) -> String {
    let shared = |other: &&String| other.chars().zip(name.chars()).take_while(|(one, other)| one == other).count();
    let mut near: Vec<&String> = names.iter().filter(|other| shared(other) > 0).collect();
    near.sort_by_key(|other| std::cmp::Reverse(shared(other)));
    let near: Vec<String> = near.iter().take(5).map(|name| format!("`{name}`")).collect();
    match near.as_slice() {
        [] => format!("`{PROGRAM} -device help` lists those that there are"),
        [one] => format!("{one} begins alike"),
        several => format!("{} begin alike", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_what_is_left_of_ones() {
        let bar = |low, high| sized(0, low, high).map(|bar| (bar.kind, bar.bits, bar.prefetchable, bar.len));
        assert_eq!(bar(0xfff0_0000, 0), Some((BarKind::Memory, 32, false, 1 << 20)));
        assert_eq!(bar(0xffff_ffe1, 0), Some((BarKind::Ports, 32, false, 32)));
        assert_eq!(bar(0x0000_ffe1, 0), Some((BarKind::Ports, 32, false, 32)), "of 16 bits");
        assert_eq!(bar(0x0000_000c, 0xffff_fffe), Some((BarKind::Memory, 64, true, 1 << 33)));
        assert_eq!(bar(0xffff_c004, 0xffff_ffff), Some((BarKind::Memory, 64, false, 1 << 14)));
        assert_eq!(bar(0, 0), None);
    }

    #[test]
    fn a_name_that_qemu_has_not_comes_with_those_that_begin_alike() {
        let help = "Network devices:\nname \"e1000\", bus PCI, alias \"e1000-82540em\"\nname \"e1000e\", bus PCI\n\
                    Misc devices:\nname \"edu\", bus PCI\nname \"ib700\", bus ISA\n";
        let names = pci_names(help);
        assert_eq!(names, ["e1000", "e1000e", "edu"]);
        assert_eq!(alike("ed", &names), "`edu`, `e1000`, `e1000e` begin alike");
        assert_eq!(alike("e1001", &names[1..]), "`e1000e`, `edu` begin alike");
        assert_eq!(alike("x", &names), "`qemu-system-x86_64 -device help` lists those that there are");
    }

    #[test]
    fn of_what_qemu_says_the_reason_is_left() {
        let said =
            "qemu-system-x86_64: warning: x\nqemu-system-x86_64: -device ed: 'ed' is not a valid device model name\n";
        assert_eq!(complaint(said.as_bytes()), "'ed' is not a valid device model name");
        assert_eq!(complaint("".as_bytes()), "");
    }
}

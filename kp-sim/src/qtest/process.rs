//! A QEMU process and the two channels to it: qtest for accesses, the monitor for time.

use std::fmt::Arguments;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long QEMU may take over one answer or one piece of work. It needs far less; a QEMU that hangs must not
/// hang the test.
const PATIENCE: Duration = Duration::from_secs(20);
/// INTx of PCI devices arrives at these inputs of the interrupt controller and above; below are
/// those of the machine's own timers.
const FIRST_PCI_INPUT: u32 = 16;
/// QEMU gets the qtest channel as fd 0 and the monitor as fd 3. Its own fd 1 goes to nowhere, as
/// `edu` prints remarks there.
const LAUNCH: &str = "exec 3>&1 1>/dev/null; exec qemu-system-x86_64 \"$@\"";
/// The virtual clock stands still but for [`Process::run`], where it jumps from timer to timer. With
/// no PIT, a running DMA transfer is the only timer.
const MACHINE: &str = "-machine q35,pit=off -accel tcg -icount shift=0,sleep=off -S -m 257M \
     -nodefaults -display none \
     -chardev socket,fd=0,id=qtest -object qtest,id=accesses,chardev=qtest,log=/dev/null \
     -chardev socket,fd=3,id=monitor -mon chardev=monitor,mode=control";

/// A running QEMU. Ended when dropped.
pub(super) struct Process {
    child: Child,
    qtest: BufReader<UnixStream>,
    monitor: BufReader<UnixStream>,
    complaint: Option<JoinHandle<String>>,
    wire: bool,
}

impl Process {
    /// Starts QEMU with one device, given as for `-device`. The guest's CPU runs nothing but `hlt`.
    pub(super) fn start(device: &str) -> io::Result<Self> {
        let firmware = Firmware::create()?;
        let (qtest, qtest_child) = UnixStream::pair()?;
        let (monitor, monitor_child) = UnixStream::pair()?;
        for channel in [&qtest, &monitor] {
            channel.set_read_timeout(Some(PATIENCE))?;
            channel.set_write_timeout(Some(PATIENCE))?;
        }
        let mut child = Command::new("/bin/sh")
            .args(["-c", LAUNCH, "sh"])
            .args(MACHINE.split_whitespace())
            .args(["-device", device, "-bios"])
            .arg(&firmware.0)
            .stdin(Stdio::from(OwnedFd::from(qtest_child)))
            .stdout(Stdio::from(OwnedFd::from(monitor_child)))
            .stderr(Stdio::piped())
            .spawn()?;
        let complaint =
            child.stderr.take().map(|stderr| thread::spawn(move || first_complaint(BufReader::new(stderr))));
        let mut process =
            Self { child, qtest: BufReader::new(qtest), monitor: BufReader::new(monitor), complaint, wire: false };
        process.monitor_command("qmp_capabilities")?;
        process.command(format_args!("irq_intercept_in ioapic"))?;
        Ok(process)
    }

    /// Sends one qtest command. Answers its number, or 0 if it has none.
    pub(super) fn command(&mut self, command: Arguments<'_>) -> io::Result<u64> {
        let answer = self.command_text(command)?;
        let Some(number) = answer.strip_prefix("0x") else { return Ok(0) };
        u64::from_str_radix(number, 16).map_err(|_| unexpected(&answer))
    }

    /// Sends one qtest command. Answers what follows "OK".
    fn command_text(&mut self, command: Arguments<'_>) -> io::Result<String> {
        let sent = self.qtest.get_mut().write_all(format!("{command}\n").as_bytes());
        sent.map_err(|error| self.explain(error))?;
        loop {
            let line = read_line(&mut self.qtest).map_err(|error| self.explain(error))?;
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("OK"), text, _) => return Ok(text.unwrap_or_default().to_owned()),
                (Some("IRQ"), Some(level), Some(input)) => self.note_wire(level, input),
                _ => return Err(unexpected(&line)),
            }
        }
    }

    fn note_wire(&mut self, level: &str, input: &str) {
        if input.parse::<u32>().is_ok_and(|input| input >= FIRST_PCI_INPUT) {
            self.wire = level == "raise";
        }
    }

    /// Whether the PCI device's INTx is raised at the interrupt controller, as of the last command.
    pub(super) fn wire(&self) -> bool {
        self.wire
    }

    /// Reads `into.len()` bytes of the guest's memory.
    pub(super) fn read_memory(&mut self, address: u64, into: &mut [u8]) -> io::Result<()> {
        let text = self.command_text(format_args!("read {address:#x} {:#x}", into.len()))?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * into.len() && digits.is_ascii());
        let digits = digits.ok_or_else(|| unexpected(&text))?;
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| unexpected(&text))?;
        }
        Ok(())
    }

    /// Writes bytes to the guest's memory.
    pub(super) fn write_memory(&mut self, address: u64, from: &[u8]) -> io::Result<()> {
        let digits: String = from.iter().map(|byte| format!("{byte:02x}")).collect();
        self.command(format_args!("write {address:#x} {:#x} 0x{digits}", from.len()))?;
        Ok(())
    }

    /// Asks until `done` answers true.
    pub(super) fn wait_until(&mut self, done: impl Fn(&mut Self) -> io::Result<bool>) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self)? {
            if Instant::now() > deadline {
                return Err(too_late());
            }
        }
        Ok(())
    }

    /// Lets the virtual clock run until `done` answers true, and stops it again.
    pub(super) fn run_until(&mut self, done: impl Fn(&mut Self) -> io::Result<bool>) -> io::Result<()> {
        self.monitor_command("cont")?;
        self.wait_until(done)?;
        self.monitor_command("stop")
    }

    /// Sends a command of QEMU's monitor protocol and waits until it has been carried out.
    fn monitor_command(&mut self, command: &str) -> io::Result<()> {
        let sent = self.monitor.get_mut().write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes());
        sent.map_err(|error| self.explain(error))?;
        loop {
            let line = read_line(&mut self.monitor).map_err(|error| self.explain(error))?;
            if line.starts_with("{\"return\"") {
                return Ok(());
            }
            if line.starts_with("{\"error\"") {
                return Err(unexpected(&line));
            }
        }
    }

    /// Turns a broken channel into what QEMU said before it went.
    fn explain(&mut self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return too_late();
        }
        let Some(complaint) = self.complaint.take() else { return error };
        // The channel is closed, so QEMU is ending or has ended; this does not wait for long.
        let status = self.child.wait();
        if status.is_ok_and(|status| status.code() == Some(127)) {
            return Error::new(
                ErrorKind::NotFound,
                "qemu-system-x86_64 was not found: install the package qemu-system-x86",
            );
        }
        Error::new(ErrorKind::BrokenPipe, complaint.join().unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A firmware image in a temporary file, removed when dropped. QEMU has read it by its first answer.
struct Firmware(PathBuf);

impl Firmware {
    fn create() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // 64 KiB, the reset vector 16 bytes before the end: cli; hlt; jmp back to the hlt.
        let mut image = vec![0x90; 0x1_0000];
        image[0xfff0..0xfff4].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("kp-qtest-{}-{number}.bin", std::process::id()));
            let named = |error: Error| Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
            match File::create_new(&path) {
                Ok(mut file) => {
                    let firmware = Self(path.clone());
                    return file.write_all(&image).map(|()| firmware).map_err(named);
                }
                // Of a process that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named(error)),
            }
        }
    }
}

impl Drop for Firmware {
    fn drop(&mut self) {
        // A leftover file of 64 KiB in the temporary directory is no reason to fail.
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads all that QEMU says on stderr, so that it never blocks there. Answers the first line that is
/// not a mere warning.
fn first_complaint(stderr: impl BufRead) -> String {
    let mut first = None;
    for line in stderr.lines().map_while(Result::ok) {
        if first.is_none() && !line.contains("warning:") {
            first = Some(line);
        }
    }
    first.unwrap_or_else(|| "QEMU ended without a word".to_owned())
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match from.read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn too_late() -> Error {
    Error::new(
        ErrorKind::TimedOut,
        format!("QEMU did not answer for {} s: check the machine's load", PATIENCE.as_secs()),
    )
}

fn unexpected(answer: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("QEMU answered {answer:?}; this needs QEMU 7.2 or later with qtest"))
}

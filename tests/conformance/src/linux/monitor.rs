//! The monitor of the QEMU that this guest runs in: the third serial port leads to it, if the guest was made so. It can do to devices what
//! only a machine can. Its language is QMP: a line of JSON each way, and some between that nobody has asked for.
use rustix::{
    fs::OFlags,
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
};

/// Ends whatever QMP's parser is in. Until the port was set up as no terminal, the monitor may have heard its own greeting.
const RESET: &[u8] = b"\xff\n";

/// The serial port, open.
pub struct Monitor {
    port: File,
    /// Commands until now.
    sent: u32,
}

impl Monitor {
    pub fn open() -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        let mut port = options.open("/dev/ttyS2").expect("the guest has a third serial port");
        let mut settings = tcgetattr(&port).expect("a serial port is a terminal");
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Now, &settings).expect("a terminal can be set up");
        port.write_all(RESET).expect("the monitor listens");
        let mut monitor = Self { port, sent: 0 };
        // An error, if somebody has asked already.
        monitor.ask(r#""execute": "qmp_capabilities""#);
        monitor
    }

    /// Has a PCI Express device report an error, as it does to its root port. `error`: the device and the error, as QEMU calls them.
    pub fn error(&mut self, error: &str) {
        let command = format!(r#"{{"command-line": "pcie_aer_inject_error {error}"}}"#);
        let answer = self.ask(&format!(r#""execute": "human-monitor-command", "arguments": {command}"#));
        assert!(answer.contains("OK id: "), "{error}: {answer}");
    }

    /// Gives a command, and finds its answer by its number.
    fn ask(&mut self, command: &str) -> String {
        self.sent += 1;
        let id = format!(r#""id": {}"#, self.sent);
        self.port.write_all(format!("{{{command}, {id}}}\n").as_bytes()).expect("the monitor listens");
        loop {
            let line = self.line();
            if line.trim_end().ends_with(&format!("{id}}}")) {
                return line;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" {
            self.port.read_exact(&mut byte).expect("the monitor answers");
            line.extend(byte);
        }
        String::from_utf8_lossy(&line).into_owned()
    }
}

//! What was asked, a line for each request: so the bytes of two clients can be compared.
use crate::sync::lock;
use kp_abi::request::{RequestNr, of_control_code};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::Mutex,
};

/// A file of lines.
pub(super) struct Record(Mutex<File>);

impl Record {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(|file| Self(Mutex::new(file)))
    }

    /// Adds a request. Nothing that differs from run to run is in the line.
    pub(super) fn add(&self, code: u32, input: &[u8]) {
        let name = of_control_code(code).and_then(RequestNr::of).map_or("", |request| request.info().name);
        let mut line = format!("{{\"request\":\"{name}\",\"code\":\"{code:#010x}\",\"in\":\"");
        for byte in input {
            let _ = write!(line, "{byte:02x}");
        }
        line.push_str("\"}\n");
        if let Err(error) = lock(&self.0).write_all(line.as_bytes()) {
            panic!("the record cannot be written: {error}");
        }
    }
}

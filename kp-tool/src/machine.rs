//! The machine that a plugin is installed on. What changes it goes through [`Machine`], so that a test can have each operation fail.

use kp_abi::request::Query;
use kp_user::Connection;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// What a program left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A machine, or a folder with the files of one. Paths are the machine's own, from `/` on.
pub trait Machine {
    /// The folder that its `/` is.
    fn root(&self) -> &Path;
    /// Whether it is no machine that runs, but files for one.
    fn is_staged(&self) -> bool;
    /// Makes a folder that everybody may look into, in one that is there.
    fn make_folder(&self, path: &str) -> io::Result<()>;
    /// Makes a file that everybody may read, whole or not at all. What a killed one leaves is at [`unfinished`].
    fn write(&self, path: &str, content: &[u8]) -> io::Result<()>;
    /// Writes to a file that the kernel shows.
    fn set(&self, path: &str, text: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// Removes a folder that is empty.
    fn remove_folder(&self, path: &str) -> io::Result<()>;
    /// Runs a program to its end. Fails if it cannot be started.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Done>;
    /// Whether the machine has a program.
    fn has_program(&self, program: &str) -> bool;
    /// Whether this process may change all of it.
    fn is_root(&self) -> bool;
    /// The lines of the kernel's log, as far as it is kept and may be read.
    fn kernel_log(&self) -> Vec<String>;
    /// Seconds since 1970.
    fn now(&self) -> u64;
    /// What the driver behind a node says of itself. `None` if this process may not ask, or nobody answers.
    fn ask(&self, node: &str) -> Option<Query>;

    /// Where one of its paths is.
    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }
    /// The text of a file, without blanks around it. `None` if it cannot be read.
    fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
    /// The names of what is in a folder, in order. None if there is no such folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
    /// Whether something is there, be it a link that leads nowhere.
    fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }
    /// What `uname -r` says.
    fn release(&self) -> String {
        self.text("/proc/sys/kernel/osrelease").unwrap_or_default()
    }
}

/// Where a file is until it is whole.
pub fn unfinished(path: &str) -> String {
    format!("{path}.kp-unfinished")
}

/// Runs a program to its end, with its outputs in English, and nothing to read.
///
/// # Errors
/// It cannot be started.
pub fn run_program(command: &mut Command) -> io::Result<Done> {
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let output = command.output()?;
    Ok(Done {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Whether a program is in the search path, or where only root looks.
pub fn has_program(program: &str) -> bool {
    find_program(program).is_some()
}

/// Where a program is: in the search path, or where only root looks.
fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The machine that this process runs on, or a folder with files for one.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine.
    pub fn this() -> Self {
        System { root: PathBuf::from("/") }
    }

    /// Files for a machine, in a folder.
    pub fn staged(root: &Path) -> Self {
        System { root: root.to_owned() }
    }
}

impl Machine for System {
    fn root(&self) -> &Path {
        &self.root
    }

    fn is_staged(&self) -> bool {
        self.root != Path::new("/")
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        let folder = self.at(path);
        fs::create_dir(&folder)?;
        // Whatever the umask of whoever calls this is.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).inspect_err(|_| drop(fs::remove_dir(&folder)))
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.at(&unfinished(path));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&unfinished)?;
        let readable = file.set_permissions(fs::Permissions::from_mode(0o644));
        let written = readable.and_then(|()| file.write_all(content)).and_then(|()| file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&unfinished, self.at(path)));
        // What could not be written whole is of no use; that it is there says nothing of why.
        renamed.inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    fn set(&self, path: &str, text: &str) -> io::Result<()> {
        fs::write(self.at(path), text)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.at(path))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Done> {
        let file = find_program(program).unwrap_or_else(|| program.into());
        run_program(Command::new(file).args(arguments))
    }

    fn has_program(&self, program: &str) -> bool {
        has_program(program)
    }

    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn kernel_log(&self) -> Vec<String> {
        kernel_log()
    }

    fn ask(&self, node: &str) -> Option<Query> {
        if self.is_staged() {
            return None;
        }
        // The chain at all messages there are.
        kp_user::Node::open(node).ok()?.query(u32::MAX).ok()
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The lines of this machine's kernel log, as far as it is kept and may be read.
pub fn kernel_log() -> Vec<String> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg") else { return Vec::new() };
    let mut lines = Vec::new();
    // The kernel gives one record for each read(2), and none of more bytes.
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(len) => lines.extend(text_of(&String::from_utf8_lossy(&record[..len]))),
            // A record was overwritten meanwhile; the next read gives the one after it.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(_) => return lines,
        }
    }
}

/// The text of `6,339,5140900,-;text`, behind which there may be lines of other properties.
fn text_of(record: &str) -> Option<String> {
    Some(record.split_once(';')?.1.lines().next()?.to_owned())
}

/// The last line with something in it.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim()
}

/// The day of a time in seconds since 1970, as `2026-11-29`, in UTC.
pub fn day(seconds: u64) -> String {
    // Days are counted from a March, so that a leap day is the last of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_log_is_its_first_lines_text() {
        assert_eq!(text_of("6,339,5140900,-;kp_edu: a;b\n SUBSYSTEM=pci\n").as_deref(), Some("kp_edu: a;b"));
        assert_eq!(text_of("no record"), None);
    }

    #[test]
    fn a_day_is_the_calendars() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_795_996_800, "2026-11-30"),
        ] {
            assert_eq!(day(seconds), text);
        }
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let root = tempfile::TempDir::with_prefix("kp-").unwrap();
        let machine = System::staged(root.path());
        machine.write("/a", b"whole").unwrap();
        assert_eq!(machine.text("/a").as_deref(), Some("whole"));
        // A folder is in the way of the name.
        machine.make_folder("/b").unwrap();
        fs::write(root.path().join("b/c"), "").unwrap();
        assert!(machine.write("/b", b"x").is_err());
        assert_eq!(machine.names("/"), ["a", "b"], "nothing is left of what could not be written");
    }
}

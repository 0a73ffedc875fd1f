//! Wine, as a machine that loads the real drivers and runs the real programs: whatever Windows' kernel does without hardware.
//!
//! [`Wine::start`] makes a machine of its own, a copy of a pristine one that is kept in the cache; it ends when the value is dropped,
//! and takes nothing of the user's own Wine. Its drive has one folder of ours, `C:\kp`.
mod modules;
mod output;
mod prefix;
mod programs;

use crate::{
    kernels,
    packages::{Packages, Purpose, ThisMachine},
};
use anyhow::{Context, Result, bail};
use modules::Modules;
use output::Output;
pub use programs::{build_example, build_program, build_program_32bit, build_tests, build_tests_32bit, random_library};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What the programs of a machine are. Its drivers are always of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    B64,
    B32,
}

impl Bits {
    fn purposes(self) -> &'static [Purpose] {
        match self {
            Bits::B64 => &[Purpose::Windows],
            Bits::B32 => &[Purpose::Windows, Purpose::Windows32],
        }
    }
}

/// A running machine.
pub struct Wine {
    prefix: prefix::Copy,
    /// For 32-bit programs.
    modules: Option<Modules>,
    server: Child,
    /// Where everything writes its errors, and drivers their lines.
    log: PathBuf,
    /// How much of the log has been read.
    read: usize,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with status 0.
    pub success: bool,
    /// What drivers logged meanwhile.
    pub driver_log: Vec<String>,
    /// What programs wrote to their standard errors meanwhile.
    pub errors: Vec<String>,
}

impl Ran {
    /// An error with the program's last words, if it failed.
    pub fn into_result(self) -> Result<()> {
        if !self.success {
            self.driver_log.iter().for_each(|line| eprintln!("    driver: {line}"));
            self.errors.iter().for_each(|line| eprintln!("    {line}"));
            bail!("the program failed under Wine: see above");
        }
        Ok(())
    }
}

impl Wine {
    /// Starts one: with what is missing installed if `setup`, else an error that names it.
    pub fn start(setup: bool) -> Result<Self> {
        Self::start_for(Bits::B64, setup)
    }

    /// The same, for 32-bit programs in `C:\kp`.
    pub fn start_32bit(setup: bool) -> Result<Self> {
        Self::start_for(Bits::B32, setup)
    }

    fn start_for(bits: Bits, setup: bool) -> Result<Self> {
        let packages = Packages::new(&ThisMachine);
        packages.require(bits.purposes(), setup)?;
        let modules = match bits {
            Bits::B64 => None,
            Bits::B32 => Some(Modules::get(&packages, &kernels::cache_dir()?.join("wine"))?),
        };
        let prefix = prefix::Copy::make()?;
        if let Some(modules) = &modules {
            modules.put(prefix.path())?;
        }
        let log = prefix.path().join("log");
        let errors = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        // In the foreground, so that it is a child of ours; it ends by itself soon after the last program, should we be killed.
        let server = command(prefix::SERVER, prefix.path(), modules.as_ref())
            .args(["--foreground", "--persistent=10"])
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .context("cannot start wineserver")?;
        let mut wine = Wine { prefix, modules, server, log, read: 0 };
        fs::create_dir_all(wine.folder()).context("cannot make the machine's folder")?;
        wine.put(&programs::random_library_of(bits)?)?;
        // The services, among them what loads drivers, inherit the files of the first program: this one's, which nobody waits for.
        wine.run_program("wineboot", &[], BOOT, &mut |_| {}).context("Wine does not start")?;
        Ok(wine)
    }

    /// Where `C:\kp` is.
    fn folder(&self) -> PathBuf {
        self.prefix.path().join("drive_c/kp")
    }

    /// Copies a file to `C:\kp`.
    pub fn put(&self, file: &Path) -> Result<()> {
        let name = file.file_name().and_then(|name| name.to_str());
        self.put_as(file, name.with_context(|| format!("{} has no name", file.display()))?)
    }

    /// Copies a file to `C:\kp` by another name, which may begin with folders.
    pub fn put_as(&self, file: &Path, name: &str) -> Result<()> {
        fs::copy(file, self.place(name)?).with_context(|| format!("cannot copy {}", file.display()))?;
        Ok(())
    }

    /// Writes a file of `C:\kp`.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.place(name)?, text).with_context(|| format!("cannot write {name}"))
    }

    /// Reads a file of `C:\kp`.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.folder().join(name)).with_context(|| format!("cannot read {name}"))
    }

    /// Where a file of `C:\kp` is to be, in folders that are there.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.folder().join(name);
        let folder = place.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(place)
    }

    /// Runs a program of `C:\kp`. Its output goes to `on_line`.
    ///
    /// # Errors
    /// It cannot be started, or does not end in time; it is ended then.
    pub fn run(
        &mut self,
        program: &str,
        arguments: &[&str],
        timeout: Duration,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Ran> {
        self.run_program(&format!(r"C:\kp\{program}"), arguments, timeout, on_line)
    }

    fn run_program(
        &mut self,
        program: &str,
        arguments: &[&str],
        timeout: Duration,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Ran> {
        let errors = File::options().append(true).open(&self.log).context("cannot open Wine's log")?;
        let mut child = self
            .command(prefix::LOADER)
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {program} under Wine"))?;
        let mut output = Output::of(child.stdout.take().context("its output is a pipe")?)?;
        let end = Instant::now() + timeout;
        let status = loop {
            output.wait(Duration::from_millis(20));
            output.read(on_line)?;
            if let Some(status) = child.try_wait().context("cannot wait for a program under Wine")? {
                break status;
            }
            if Instant::now() > end {
                // Killed and waited for: it is this process's own child.
                let _ = child.kill().and_then(|()| child.wait());
                let said = self.new_lines().last().cloned().unwrap_or_else(|| "its log says nothing".into());
                bail!(
                    "{program} {} did not end within {} s under Wine: {said}",
                    arguments.join(" "),
                    timeout.as_secs()
                );
            }
        };
        output.read_rest(on_line)?;
        let (driver_log, errors) = sort(&self.new_lines());
        Ok(Ran { success: status.success(), driver_log, errors })
    }

    /// One of Wine's own programs, for this machine.
    fn command(&self, program: &str) -> Command {
        command(program, self.prefix.path(), self.modules.as_ref())
    }

    /// Lines of the log that are new since the last look.
    fn new_lines(&mut self) -> Vec<String> {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let new = String::from_utf8_lossy(&bytes[self.read.min(bytes.len())..]).into_owned();
        self.read = bytes.len();
        new.lines().map(str::to_owned).collect()
    }
}

/// How long a machine may take to start.
const BOOT: Duration = Duration::from_secs(120);

impl Drop for Wine {
    fn drop(&mut self) {
        // Ends the server of this prefix, and with it every program of it.
        let _ = self.command(prefix::SERVER).arg("--kill").stderr(Stdio::null()).status();
        let _ = self.server.wait();
    }
}

/// A program of Wine's, for a prefix, without a screen, that says nothing but what drivers log.
fn command(program: &str, prefix: &Path, modules: Option<&Modules>) -> Command {
    let mut command = Command::new(program);
    match modules {
        Some(modules) => command.env("WINEDLLPATH", modules.search_path()),
        None => command.env_remove("WINEDLLPATH"),
    };
    command
        .env("WINEPREFIX", prefix)
        // Without it, services would be started by a loader that Debian has not.
        .env("WINELOADER", prefix::LOADER)
        .env("WINESERVER", prefix::SERVER)
        // It asks to install these otherwise.
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
        .env("WINEDEBUG", "-all,warn+debugstr")
        .env_remove("WINEARCH")
        // The one that started this program, which programs under Wine cannot start.
        .env_remove("CARGO")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null());
    command
}

/// Wine's log: what drivers logged, and everything else.
///
/// A driver's line is `0118:warn:debugstr:vDbgPrintExWithPrefix 0000004d:00000001: kp-echo: what it says`.
fn sort(lines: &[String]) -> (Vec<String>, Vec<String>) {
    let mut drivers = Vec::new();
    let mut others = Vec::new();
    for line in lines {
        let said = line
            .split_once(":debugstr:vDbgPrintExWithPrefix ")
            .and_then(|(_, said)| said.find("kp-").map(|at| &said[at..]));
        match said {
            Some(said) => drivers.push(said.trim_end().to_owned()),
            None => others.push(line.clone()),
        }
    }
    (drivers, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_log_is_told_from_what_programs_write() {
        let log = [
            "0118:warn:debugstr:vDbgPrintExWithPrefix 0000004d:00000001: kp-echo: unloaded; live: 0 allocations",
            "0118:warn:debugstr:OutputDebugStringA \"of a program\"",
            "thread 'main' panicked at kp-user/src/lib.rs",
        ];
        let (drivers, others) = sort(&log.map(str::to_owned));
        assert_eq!(drivers, ["kp-echo: unloaded; live: 0 allocations"]);
        assert_eq!(others, log[1..]);
    }
}

//! Debian packages: which are missing, and how they come.
//!
//! Everything that touches the system goes through [`Machine`], so that tests can put a made-up one in its place.

use anyhow::{Context, Result, bail};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The machine that packages are looked for, and installed, on.
pub trait Machine {
    /// Runs a command to its end, in `dir` if one is given. Fails if it cannot be started.
    fn run(&self, dir: Option<&Path>, program: &str, args: &[&str]) -> Result<Done>;
    /// Whether this process may install packages without asking anybody.
    fn is_root(&self) -> bool;
    /// Whether `program` is in the search path.
    fn has_program(&self, program: &str) -> bool;
    /// The text of a file, `None` if it cannot be read.
    fn read(&self, path: &Path) -> Option<String>;
}

/// The machine that this process runs on.
#[derive(Debug, Default, Clone, Copy)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn run(&self, dir: Option<&Path>, program: &str, args: &[&str]) -> Result<Done> {
        let mut command = Command::new(program);
        // The outputs are parsed, so they have to be in one language.
        command.args(args).env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        if let Some(dir) = dir {
            command.current_dir(dir);
        }
        let output = command.output().with_context(|| format!("cannot start {program}: is it installed?"))?;
        Ok(Done {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn has_program(&self, program: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    }

    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What packages are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Building a kernel module.
    Build,
    /// Booting a kernel in a virtual machine.
    Boot,
    /// Building a 32-bit app. Not gcc-multilib: it conflicts with cross compilers.
    App32,
    /// Building apps in C++ over bindings, for Linux and for Windows, besides what [`Purpose::Windows`] and [`Purpose::Windows32`] have.
    Bindings,
    /// Running apps and tests in Python, here and in a guest.
    Python,
    /// Checking the types of what is in Python.
    Types,
    /// Having links by path made in a guest.
    Udev,
    /// Building programs for Windows, running them and drivers under Wine, and signing drivers. A driver's C code is
    /// compiled by Clang. The tests of drivers make a certificate with openssl, and disassemble with LLVM.
    Windows,
    /// Building a 32-bit app for Windows, besides what [`Purpose::Windows`] has.
    Windows32,
    /// Counting a program's instructions, as `cargo kp bench` does on this machine.
    Bench,
    /// Building a whole kernel, besides what [`Purpose::Build`] has.
    Kernel,
    /// Having the C glue looked at by the kernel's own checkers. checkpatch and Coccinelle's scripts are in the kernel's source.
    Checkers,
    /// Making system calls at random in a guest.
    Fuzzers,
    /// Making Debian systems in folders, and looking at packages.
    Root,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 14] = [
        Purpose::Build,
        Purpose::Boot,
        Purpose::Windows,
        Purpose::Windows32,
        Purpose::App32,
        Purpose::Bindings,
        Purpose::Python,
        Purpose::Types,
        Purpose::Udev,
        Purpose::Bench,
        Purpose::Kernel,
        Purpose::Checkers,
        Purpose::Fuzzers,
        Purpose::Root,
    ];

    /// What a person wants who wants more than modules and guests. `None`: nothing works without it.
    pub fn extra(self) -> Option<&'static str> {
        match self {
            Purpose::Build | Purpose::Boot => None,
            Purpose::Windows => Some("Windows"),
            Purpose::Windows32 => Some("the tests' 32-bit app on Windows"),
            Purpose::App32 => Some("the tests' 32-bit app"),
            Purpose::Bindings => Some("the tests' apps in C++"),
            Purpose::Python => Some("the tests in Python"),
            Purpose::Types => Some("the check of Python's types in `cargo kp test --long`"),
            Purpose::Udev => Some("the tests of links to nodes"),
            Purpose::Bench => Some("`cargo kp bench`"),
            Purpose::Kernel => Some("`cargo kp kernel build`"),
            Purpose::Checkers => Some("the checkers of C in `cargo kp test --long`"),
            Purpose::Fuzzers => Some("the fuzzers in `cargo kp test --long`"),
            Purpose::Root => Some("the tests of what is installed in `cargo kp test --long`"),
        }
    }

    /// The Debian packages it needs.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            // Debian's kernels name gcc-12 as their compiler, and 6.12's headers let pahole write type information. The last
            // three are what kbuild's own programs link against; a small container may lack them.
            Purpose::Build => &[
                "rustc-web",
                "cargo-web",
                "rust-web-src",
                "gcc-12",
                "libc6-dev",
                "make",
                "binutils",
                "pahole",
                "libelf1",
                "libssl3",
                "zlib1g",
            ],
            Purpose::Boot => &["qemu-system-x86"],
            Purpose::Windows => &[
                "gcc-mingw-w64-x86-64",
                "mingw-w64-x86-64-dev",
                "wine",
                "wine64",
                "osslsigncode",
                "openssl",
                "llvm",
                "lld-22",
                "clang-22",
            ],
            // One of its two variants is enough.
            Purpose::Windows32 => &["gcc-mingw-w64-i686-win32", "g++-mingw-w64-i686-win32"],
            Purpose::App32 => &["libc6-dev-i386", "lib32gcc-12-dev"],
            // Of mingw-w64 one of its two variants is enough.
            Purpose::Bindings => &["g++", "g++-mingw-w64-x86-64-win32"],
            Purpose::Python => &["python3"],
            Purpose::Types => &["mypy"],
            Purpose::Udev => &["udev"],
            Purpose::Bench => &["valgrind"],
            Purpose::Kernel => &["linux-source-6.12", "xz-utils", "flex", "bison", "bc", "libelf-dev"],
            Purpose::Checkers => &["sparse", "coccinelle", "linux-source-6.12", "xz-utils"],
            Purpose::Fuzzers => &["trinity", "stress-ng"],
            Purpose::Root => &["debootstrap", "lintian", "rpm"],
        }
    }
}

/// Debian's package tools, on one machine, for the length of one run.
pub struct Packages<'m> {
    machine: &'m dyn Machine,
    updated: Cell<bool>,
    /// Set if the lists are not the machine's: what apt is told of them.
    lists: Vec<String>,
}

impl<'m> Packages<'m> {
    /// The package tools of `machine`.
    pub fn new(machine: &'m dyn Machine) -> Self {
        Packages { machine, updated: Cell::new(false), lists: Vec::new() }
    }

    /// The same, with lists of what the one source `line` of `sources.list` offers. They lie in `dir`: nothing of the machine's changes, and no
    /// privileges are needed.
    pub fn of_source(machine: &'m dyn Machine, dir: &Path, line: &str) -> Result<Self> {
        let source = dir.join("sources.list");
        let options = [format!("Dir::Etc::SourceList={}", source.display()), "Dir::Etc::SourceParts=/dev/null".into()];
        let lists = own_lists(dir)?.into_iter().chain(options).collect();
        std::fs::write(&source, format!("{line}\n")).with_context(|| format!("cannot write {}", source.display()))?;
        Ok(Packages { machine, updated: Cell::new(false), lists })
    }

    /// The packages of `purpose` that are not installed, in the order of [`Purpose::packages`].
    ///
    /// Fails if there is no dpkg.
    pub fn missing(&self, purpose: Purpose) -> Result<Vec<&'static str>> {
        let wanted = purpose.packages();
        let mut args = vec!["--show", "--showformat=${db:Status-Abbrev}${Package}\\n"];
        args.extend(wanted);
        // The status is of no use: dpkg-query fails as soon as one name is unknown to it.
        let done = self.machine.run(None, "dpkg-query", &args)?;
        let installed: Vec<&str> = done.stdout.lines().filter_map(|line| line.strip_prefix("ii ")).collect();
        Ok(wanted.iter().copied().filter(|name| !installed.contains(name)).collect())
    }

    /// Sees to it that the packages of all these purposes are there: installs what is missing if `setup`, else fails with the one
    /// command that would.
    pub fn require(&self, purposes: &[Purpose], setup: bool) -> Result<()> {
        let mut missing = Vec::new();
        for &purpose in purposes {
            missing.extend(self.missing(purpose)?);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.join(" ");
        if !setup {
            bail!("missing packages: {names}; run `{}apt-get install {names}`, or add --setup", self.sudo_hint());
        }
        self.install(&missing)
    }

    /// Installs packages with apt-get, and says so on stderr. Fails if they cannot be installed, or if this user may not.
    pub fn install(&self, names: &[&str]) -> Result<()> {
        self.update()?;
        eprintln!("installing {}", names.join(" "));
        let mut args = vec!["install", "-y", "--no-install-recommends"];
        args.extend(names);
        let done = self.run_as_root("apt-get", &args)?;
        if !done.success {
            bail!("apt-get install {} failed: {}", names.join(" "), last_line(&done.stderr));
        }
        Ok(())
    }

    /// Brings the package lists up to date, at most once in the life of this value. Fails if this user may not.
    pub fn update(&self) -> Result<()> {
        if self.updated.get() {
            return Ok(());
        }
        eprintln!("updating the package lists");
        let done = match self.lists.is_empty() {
            true => self.run_as_root("apt-get", &["update"])?,
            false => self.apt(None, "apt-get", &["update"])?,
        };
        if !done.success {
            bail!("apt-get update failed: {}; check /etc/apt and the network", last_line(&done.stderr));
        }
        self.updated.set(true);
        Ok(())
    }

    /// The packages that `name` depends on, first alternatives only. Empty if `name` is not in the package lists.
    pub fn depends(&self, name: &str) -> Result<Vec<String>> {
        let done = self.apt(None, "apt-cache", &["depends", "--no-recommends", "--no-suggests", name])?;
        Ok(parse_depends(&done.stdout, name))
    }

    /// Downloads packages as files into `dir`, without installing them. Those that lie there already stay. Gives the files'
    /// names in the order of `names`.
    ///
    /// Needs no privileges. Fails if the archive no longer has the version that the package lists name.
    pub fn download(&self, dir: &Path, names: &[String]) -> Result<Vec<String>> {
        let mut args = vec!["download", "--print-uris"];
        args.extend(names.iter().map(String::as_str));
        let done = self.apt(Some(dir), "apt-get", &args)?;
        if !done.success {
            bail!("apt-get does not know {}: {}", names.join(" "), last_line(&done.stderr));
        }
        let offered = parse_uris(&done.stdout);
        let mut files = Vec::new();
        let mut wanted = vec!["download"];
        for name in names {
            let Some(file) = offered.iter().find(|file| file.split('_').next() == Some(name)) else {
                // apt-get prints no address for a file that lies in `dir` already; then its name is found there.
                files.push(find_deb(dir, name)?);
                continue;
            };
            if !dir.join(file).exists() {
                wanted.push(name);
            }
            files.push(file.clone());
        }
        if wanted.len() > 1 {
            let done = self.apt(Some(dir), "apt-get", &wanted)?;
            if !done.success {
                bail!(
                    "downloading {} failed: {}; run `{}apt-get update`, or add --setup",
                    wanted[1..].join(" "),
                    last_line(&done.stderr),
                    self.sudo_hint()
                );
            }
        }
        Ok(files)
    }

    /// Downloads a package of another architecture as a file into `dir`, and says where it is. Needs no privileges, and changes nothing on
    /// the machine: the package lists of that architecture are fetched too, and lie in `dir`.
    ///
    /// Fails if the machine's sources do not offer this version for it.
    pub fn download_foreign(&self, architecture: &str, dir: &Path, name: &str, version: &str) -> Result<PathBuf> {
        let options = own_lists(dir)?
            .into_iter()
            .chain([format!("APT::Architecture={architecture}"), format!("APT::Architectures={architecture}")]);
        let options: Vec<String> = options.collect();
        let wanted = format!("{name}={version}");
        let apt = |command: &[&'static str], of: Option<&str>| {
            let options = options.iter().flat_map(|option| ["-o", option]);
            let args: Vec<&str> = options.chain(command.iter().copied()).chain(of).collect();
            self.machine.run(Some(dir), "apt-get", &args)
        };
        // One of the machine's sources may fail, and be one that is not needed: the download shows.
        let updated = apt(&["update"], None)?;
        let done = apt(&["download"], Some(&wanted))?;
        if !done.success {
            let why = if updated.success { &done.stderr } else { &updated.stderr };
            let why = last_line(why);
            bail!("apt-get offers no {name} {version} for {architecture}: {why}; check /etc/apt and the network");
        }
        Ok(dir.join(find_deb(dir, name)?))
    }

    /// The machine underneath.
    pub fn machine(&self) -> &'m dyn Machine {
        self.machine
    }

    /// What a user types in front of a command that needs root.
    pub fn sudo_hint(&self) -> &'static str {
        if self.machine.is_root() { "" } else { "sudo " }
    }

    /// Runs one of apt's programs over the lists.
    fn apt(&self, dir: Option<&Path>, program: &str, args: &[&str]) -> Result<Done> {
        let options = self.lists.iter().flat_map(|option| ["-o", option]);
        self.machine.run(dir, program, &options.chain(args.iter().copied()).collect::<Vec<_>>())
    }

    fn run_as_root(&self, program: &str, args: &[&str]) -> Result<Done> {
        if self.machine.is_root() {
            return self.machine.run(None, program, args);
        }
        if !self.machine.has_program("sudo") {
            bail!("`{program} {}` needs root: run it as root, then try again", args.join(" "));
        }
        eprintln!("running sudo {program} {}", args.join(" "));
        let mut all = vec![program];
        all.extend(args);
        self.machine.run(None, "sudo", &all)
    }
}

/// What apt is told so that its package lists lie in `dir`.
fn own_lists(dir: &Path) -> Result<[String; 4]> {
    let (lists, cache) = (dir.join("lists"), dir.join("cache"));
    for folder in [lists.join("partial"), cache.join("archives/partial")] {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok([
        format!("Dir::State::lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
        "Acquire::Languages=none".into(),
        // Root's apt would change to a user who cannot reach this folder.
        "APT::Sandbox::User=root".into(),
    ])
}

/// Finds what `apt-cache depends` lists for `name`. Of alternatives (lines with a bar) the first counts.
fn parse_depends(text: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut alternative = false;
    // apt-cache goes on with the providers of virtual packages, as further blocks.
    for line in text.lines().skip_while(|line| *line != name).skip(1).take_while(|line| line.starts_with([' ', '|'])) {
        let follows = alternative;
        alternative = line.trim_start().starts_with('|');
        let Some(target) = line.trim_start_matches([' ', '|']).strip_prefix("Depends: ") else { continue };
        if !follows && !target.starts_with('<') {
            found.push(target.to_owned());
        }
    }
    found
}

/// Finds the file names in `apt-get download --print-uris`: `'address' file size checksum`.
fn parse_uris(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(str::to_owned)
        .collect()
}

fn find_deb(dir: &Path, name: &str) -> Result<String> {
    let prefix = format!("{name}_");
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if file.starts_with(&prefix) && file.ends_with(".deb") {
            return Ok(file);
        }
    }
    bail!("apt-get offers no file for {name}; run `apt-get update`")
}

/// The last line with something in it, as the part of a tool's output that fits into one line. apt-get warns about its sandbox
/// after the error, so warnings don't count.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("W: ")).unwrap_or("no message").trim()
}

#[cfg(test)]
pub(crate) mod fake {
    //! A machine made of canned answers.

    use super::{Done, Machine};
    use anyhow::Result;
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};

    /// Answers commands from a table, and keeps what was asked.
    #[derive(Default)]
    pub(crate) struct Fake {
        pub answers: HashMap<String, Done>,
        pub files: HashMap<PathBuf, String>,
        pub programs: Vec<&'static str>,
        pub root: bool,
        pub asked: RefCell<Vec<String>>,
    }

    impl Fake {
        /// `command` succeeds and prints `stdout`. Commands without an answer fail.
        pub fn answer(mut self, command: &str, stdout: &str) -> Self {
            let done = Done { success: true, stdout: stdout.into(), stderr: String::new() };
            self.answers.insert(command.into(), done);
            self
        }
    }

    impl Machine for Fake {
        fn run(&self, _dir: Option<&Path>, program: &str, args: &[&str]) -> Result<Done> {
            let command = format!("{program} {}", args.join(" "));
            self.asked.borrow_mut().push(command.clone());
            // The longest beginning wins, so that a test need not spell out every flag.
            let mut fits: Vec<_> =
                self.answers.iter().filter(|(start, _)| command.starts_with(start.as_str())).collect();
            fits.sort_by_key(|(start, _)| start.len());
            let failed = || Done { success: false, stdout: String::new(), stderr: "E: no answer".into() };
            Ok(fits.last().map_or_else(failed, |(_, done)| (*done).clone()))
        }

        fn is_root(&self) -> bool {
            self.root
        }

        fn has_program(&self, program: &str) -> bool {
            self.programs.contains(&program)
        }

        fn read(&self, path: &Path) -> Option<String> {
            self.files.get(path).cloned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    #[test]
    fn missing_names_what_dpkg_does_not_call_installed() {
        let fake = Fake::default().answer("dpkg-query", "ii gcc-12\nrc make\nii binutils\n");
        let missing = Packages::new(&fake).missing(Purpose::Build).unwrap();
        assert!(missing.contains(&"make"), "a removed package counts as missing");
        assert!(missing.contains(&"rustc-web"));
        assert!(!missing.contains(&"gcc-12"));
    }

    #[test]
    fn without_setup_the_error_names_packages_and_one_command_and_installs_nothing() {
        let fake = Fake::default().answer("dpkg-query", "");
        let error = Packages::new(&fake).require(&[Purpose::Boot], false).unwrap_err().to_string();
        assert_eq!(
            error,
            "missing packages: qemu-system-x86; run `sudo apt-get install qemu-system-x86`, or add --setup"
        );
        assert_eq!(fake.asked.borrow().len(), 1);
    }

    #[test]
    fn what_several_purposes_lack_is_named_in_one_message() {
        let fake = Fake { root: true, ..Fake::default() }.answer("dpkg-query", "ii libc6-dev-i386\n");
        let purposes = [Purpose::Boot, Purpose::App32, Purpose::Python, Purpose::Bench];
        let error = Packages::new(&fake).require(&purposes, false).unwrap_err().to_string();
        let names = "qemu-system-x86 lib32gcc-12-dev python3 valgrind";
        assert_eq!(error, format!("missing packages: {names}; run `apt-get install {names}`, or add --setup"));
    }

    #[test]
    fn with_setup_the_lists_are_updated_once_and_the_packages_installed() {
        let fake = Fake { root: true, ..Fake::default() }.answer("dpkg-query", "").answer("apt-get", "");
        let packages = Packages::new(&fake);
        packages.require(&[Purpose::Boot], true).unwrap();
        packages.require(&[Purpose::Boot], true).unwrap();
        let asked = fake.asked.borrow();
        assert_eq!(asked.iter().filter(|command| *command == "apt-get update").count(), 1);
        assert!(asked.contains(&"apt-get install -y --no-install-recommends qemu-system-x86".to_owned()));
    }

    #[test]
    fn a_user_without_root_goes_through_sudo_or_is_told_what_to_run() {
        let sudo = Fake { programs: vec!["sudo"], ..Fake::default() }.answer("sudo apt-get", "");
        Packages::new(&sudo).update().unwrap();
        assert_eq!(*sudo.asked.borrow(), ["sudo apt-get update"]);

        let nobody = Fake::default();
        let error = Packages::new(&nobody).update().unwrap_err().to_string();
        assert_eq!(error, "`apt-get update` needs root: run it as root, then try again");
    }

    #[test]
    fn of_alternatives_the_first_counts() {
        let text = "a\n  Depends: b\n |Depends: c\n  Depends: d\n  Depends: <virtual>\n    e\n  Conflicts: f\n";
        assert_eq!(parse_depends(text, "a"), ["b", "c"]);
    }

    #[test]
    fn file_names_come_from_the_printed_addresses() {
        let text = "Reading...\n'http://host/pool/x_1%3a2_amd64.deb' x_1%3a2_amd64.deb 70550672 SHA256:a86e\n";
        assert_eq!(parse_uris(text), ["x_1%3a2_amd64.deb"]);
    }
}

//! A machine for tests: files in a folder that goes away with it, programs that do as much as kp looks at, and operations that fail on demand.

use crate::machine::{Done, Machine, System};
use kp_abi::request::Query;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The machine.
pub struct Fake {
    files: System,
    /// Has its files.
    _folder: TempDir,
    /// Whether it is no machine that runs, but files for one.
    pub staged: bool,
    /// Whether root runs kp.
    pub root: bool,
    /// Programs that it lacks.
    pub lacks: Vec<&'static str>,
    /// Programs that fail, by how their command begins, and what they say.
    pub fails: RefCell<Vec<(String, String)>>,
    /// Lines of the kernel's log.
    pub log: RefCell<Vec<String>>,
    /// What drivers say of themselves, by their nodes.
    pub answers: BTreeMap<String, Query>,
    /// Packages, by the files that dpkg says are theirs.
    pub owners: BTreeMap<String, String>,
    /// Groups that getent knows beside those of the file.
    pub directory: Vec<String>,
    /// Drivers that take a device when they are asked, by its address: those that it came with.
    homes: RefCell<BTreeMap<String, String>>,
    /// What was run.
    pub ran: RefCell<Vec<String>>,
    /// How many operations have been asked for that change something.
    pub operations: Cell<usize>,
    /// The number of the first that fails, and of the first behind it that does not.
    pub fail: Cell<(usize, usize)>,
}

impl Fake {
    /// A running machine with a kernel 6.12.9-amd64 and root.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("kp-").unwrap();
        let fake = Fake {
            files: System::staged(folder.path()),
            _folder: folder,
            staged: false,
            root: true,
            lacks: Vec::new(),
            fails: RefCell::default(),
            log: RefCell::default(),
            answers: BTreeMap::new(),
            owners: BTreeMap::new(),
            directory: Vec::new(),
            homes: RefCell::default(),
            ran: RefCell::default(),
            operations: Cell::new(0),
            fail: Cell::new((usize::MAX, usize::MAX)),
        };
        fs::create_dir(fake.at("/run")).unwrap();
        fake.file("/proc/sys/kernel/osrelease", "6.12.9-amd64\n");
        fake.list_modules("6.12.9-amd64");
        fake.file("/etc/group", "root:x:0:\n");
        fake
    }

    /// Puts a file there.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Puts a device of this modalias on the bus, with the driver that has it.
    pub fn device(&self, address: &str, alias: &str, driver: Option<&str>) {
        let folder = format!("/sys/bus/pci/devices/{address}");
        self.file(&format!("{folder}/modalias"), alias);
        self.file(&format!("{folder}/vendor"), "0x1234\n");
        self.file(&format!("{folder}/device"), "0x11e8\n");
        self.file(&format!("{folder}/driver_override"), "(null)\n");
        if let Some(driver) = driver {
            self.homes.borrow_mut().insert(address.to_owned(), driver.to_owned());
            self.bind(address, driver);
        }
    }

    /// Gives a device to a driver.
    fn bind(&self, address: &str, driver: &str) {
        let folder = self.at(&format!("/sys/bus/pci/drivers/{driver}"));
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
            symlink(self.at("/sys/module").join(driver.replace('-', "_")), folder.join("module")).unwrap();
        }
        symlink(folder, self.at(&format!("/sys/bus/pci/devices/{address}/driver"))).unwrap();
    }

    /// The operations from this number on fail, so many of them.
    pub fn fail_from(&self, first: usize, many: usize) {
        self.operations.set(0);
        self.fail.set((first, first.saturating_add(many)));
    }

    /// All files below its root but those that the kernel shows, with their contents, and all folders.
    pub fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap().to_owned();
                if ["sys", "proc", "dev"].iter().any(|own| name == Path::new(own)) {
                    continue;
                }
                if path.is_dir() {
                    found.insert(name, None);
                    walk(&path, root, found);
                } else {
                    found.insert(name, Some(fs::read(&path).unwrap()));
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.root(), self.root(), &mut found);
        found
    }

    fn operation(&self) -> io::Result<()> {
        let number = self.operations.get();
        self.operations.set(number + 1);
        let (first, end) = self.fail.get();
        if (first..end).contains(&number) { Err(io::Error::other("made to fail")) } else { Ok(()) }
    }

    /// What a program does here.
    fn effect(&self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let module = |name: &str| format!("/sys/module/{}", name.replace('-', "_"));
        match words[..] {
            ["depmod", release] => self.list_modules(release),
            ["modprobe", "-r", name] | ["rmmod", name] => {
                for device in crate::bus::Bus(&self.at("/sys")).bound(&name.replace('-', "_")) {
                    fs::remove_file(device.folder().join("driver")).unwrap();
                }
                fs::remove_dir_all(self.at(&module(name))).unwrap();
            }
            ["modprobe", name] if !self.has(&module(name)) => self.load(name),
            ["groupadd", "--system", group] => {
                let groups = self.text("/etc/group").unwrap();
                self.file("/etc/group", format!("{groups}\n{group}:x:999:\n"));
            }
            ["groupdel", group] => {
                let groups = self.text("/etc/group").unwrap();
                let others = groups.lines().filter(|line| !line.starts_with(&format!("{group}:")));
                self.file("/etc/group", others.map(|line| format!("{line}\n")).collect::<String>());
            }
            _ => {}
        }
    }

    /// What the kernel does when one of its files is written to.
    fn react(&self, path: &str, text: &str) {
        let driver = |address: &str| self.at(&format!("/sys/bus/pci/devices/{address}/driver"));
        if path.ends_with("/driver_override") {
            self.file(path, if text.trim().is_empty() { "(null)\n" } else { text });
        } else if path.ends_with("/driver/unbind") {
            fs::remove_file(driver(text)).unwrap();
        } else if path.ends_with("/drivers_probe") && !driver(text).exists() {
            let device =
                crate::bus::Bus(&self.at("/sys")).devices().into_iter().find(|device| device.address() == text);
            let promised_to = device.and_then(|device| device.promised_to());
            let refused = self.log.borrow().iter().any(|line| line.contains("init refused"));
            match (promised_to, self.homes.borrow().get(text)) {
                (Some(name), _) if self.has(&format!("/sys/module/{}", name.replace('-', "_"))) && !refused => {
                    self.bind(text, &name);
                }
                (None, Some(home)) => self.bind(text, home),
                _ => {}
            }
        }
    }

    /// Lists the modules of a kernel, as depmod does.
    fn list_modules(&self, release: &str) {
        let folder = format!("/lib/modules/{release}");
        let (mut modules, mut aliases) = (String::new(), String::new());
        for file in self.names(&format!("{folder}/updates")) {
            let path = format!("{folder}/updates/{file}");
            let content = fs::read(self.at(&path)).unwrap_or_default();
            if let Ok(module) = crate::module::Module::parse(Path::new(&path), &content) {
                modules += &format!("updates/{file}:\n");
                aliases.extend(module.aliases.iter().map(|alias| format!("alias {alias} {}\n", module.name)));
            }
        }
        self.file(&format!("{folder}/modules.dep"), modules);
        self.file(&format!("{folder}/modules.alias"), aliases);
    }

    /// Loads a module, as whoever calls insmod does, and lets it have each free device that is made for it.
    pub fn load(&self, name: &str) {
        let module = name.replace('-', "_");
        self.file(&format!("/sys/module/{module}/refcnt"), "0\n");
        self.file(&format!("/sys/module/{module}/taint"), "OE\n");
        let folder = format!("/lib/modules/{}/updates", self.release());
        let file = format!("{folder}/{name}.ko");
        let content = fs::read(self.at(&file)).unwrap_or_default();
        if let Ok(parsed) = crate::module::Module::parse(Path::new(&file), &content) {
            self.file(&format!("/sys/module/{module}/version"), parsed.version);
            for device in crate::bus::Bus(&self.at("/sys")).made_for(&parsed.aliases) {
                let refused = self.log.borrow().iter().any(|line| line.contains("init refused"));
                if device.driver().is_none() && !refused {
                    self.bind(&device.address(), &module);
                }
            }
        }
    }
}

impl Machine for Fake {
    fn root(&self) -> &Path {
        self.files.root()
    }

    fn is_staged(&self) -> bool {
        self.staged
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        self.operation()?;
        self.files.make_folder(path)
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        if let Err(error) = self.operation() {
            // As a killed one does.
            fs::write(self.at(&crate::machine::unfinished(path)), &content[..content.len() / 2])?;
            return Err(error);
        }
        self.files.write(path, content)
    }

    fn set(&self, path: &str, text: &str) -> io::Result<()> {
        self.operation()?;
        self.files.set(path, text)?;
        self.react(path, text);
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.operation()?;
        self.files.remove_file(path)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.operation()?;
        self.files.remove_folder(path)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Done> {
        if program == "dpkg" || program == "rpm" {
            let owner = self.owners.get(*arguments.last().unwrap()).filter(|_| program == "dpkg");
            let stdout = owner.map(|owner| format!("{owner}: {}\n", arguments[1])).unwrap_or_default();
            return Ok(Done { success: owner.is_some(), stdout, stderr: String::new() });
        }
        // Asking changes nothing.
        if program == "getent" {
            let file = self.text("/etc/group").unwrap_or_default();
            let mut groups = file.lines().chain(self.directory.iter().map(String::as_str));
            let is_asked = |line: &&str| line.split(':').step_by(2).take(2).any(|field| field == arguments[1]);
            let stdout = groups.find(is_asked).map(|line| format!("{line}\n")).unwrap_or_default();
            return Ok(Done { success: !stdout.is_empty(), stdout, stderr: String::new() });
        }
        self.operation()?;
        let command = [&[program], arguments].concat().join(" ");
        self.ran.borrow_mut().push(command.clone());
        if let Some((_, said)) = self.fails.borrow().iter().find(|(start, _)| command.starts_with(start.as_str())) {
            return Ok(Done { success: false, stdout: String::new(), stderr: said.clone() });
        }
        self.effect(&command);
        Ok(Done { success: true, ..Done::default() })
    }

    fn has_program(&self, program: &str) -> bool {
        !self.lacks.contains(&program)
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn kernel_log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    fn ask(&self, node: &str) -> Option<Query> {
        self.answers.get(node).copied()
    }

    fn now(&self) -> u64 {
        1_795_996_800
    }
}

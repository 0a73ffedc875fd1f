//! The nodes under `/dev/kp`.
use super::{
    bus::Bus,
    group,
    node::Node,
    socket::{self, Socket},
};
use crate::{
    BusAddress, Cause, Connection, ControlNode, Listed, Name, OpenError, connection::address_of, system::System,
};
use kp_abi::Status;
use std::{fs, io, path::Path, sync::Arc};

/// Where the kernel shows plugins.
struct Places<'a> {
    /// The device nodes.
    nodes: &'a Path,
    /// A directory for each loaded module.
    modules: &'a Path,
    /// A directory for each class of devices.
    classes: &'a Path,
    bus: Bus<'a>,
}

/// What was opened.
pub struct Place {
    /// The node's path.
    pub path: String,
    /// The plugin's name.
    pub plugin: String,
}

impl Places<'static> {
    fn system() -> Self {
        let (nodes, modules, classes) = (Path::new("/dev/kp"), Path::new("/sys/module"), Path::new("/sys/class"));
        Self { nodes, modules, classes, bus: Bus::system() }
    }
}

/// Opens the node of `name`; without an instance, the lowest one. If a socket stands in for nodes, that, whatever the name.
pub fn open(name: &str) -> Result<(Arc<dyn Connection>, Place), OpenError> {
    match socket::named() {
        Some(path) => open_socket(&path, name),
        None => Places::system().open(name).map(|(node, place)| (Arc::new(node) as Arc<dyn Connection>, place)),
    }
}

/// All nodes, sorted; or what is at the socket that stands in for them.
pub fn list() -> io::Result<Vec<Listed>> {
    match socket::named() {
        Some(path) => list_socket(&path),
        None => Places::system().list(),
    }
}

fn open_socket(path: &Path, text: &str) -> Result<(Arc<dyn Connection>, Place), OpenError> {
    let name = parse(text)?;
    let place = Place { path: path.display().to_string(), plugin: name.plugin().to_owned() };
    match Socket::open(path) {
        Ok(socket) => Ok((Arc::new(ControlNode::over(socket)), place)),
        Err(cause) => Err(OpenError { place: place.path, plugin: Some(place.plugin), cause }),
    }
}

fn list_socket(path: &Path) -> io::Result<Vec<Listed>> {
    let refused = |error: kp_abi::Error| io::Error::other(error.to_string());
    let node = match Socket::open(path) {
        Ok(socket) => ControlNode::over(socket),
        Err(Cause::NoSocket(error) | Cause::Io(error)) => return Err(error),
        Err(Cause::Refused(error)) => return Err(refused(error)),
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let name = node.query(0).map_err(refused)?.name;
    let plugin = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
    let address = address_of(&node);
    let name = if address.is_some() { format!("{plugin}.0") } else { plugin };
    let name = name.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(vec![Listed { name, path: path.display().to_string(), address }])
}

/// A name, as an app may ask for it.
fn parse(text: &str) -> Result<Name, OpenError> {
    text.parse().map_err(|_| OpenError { place: format!("{text:?}"), plugin: None, cause: Cause::BadName })
}

/// Why no plugin has the device at this address, if that can be seen. `plugin`: whose device it is to be, if that is known.
pub fn why_not_at(address: BusAddress, plugin: Option<&str>) -> Option<Cause> {
    if socket::named().is_some() {
        return None;
    }
    Bus::system().why_not_at(address, &plugin.map(|plugin| System::Linux.loaded(plugin)).unwrap_or_default())
}

impl Places<'_> {
    fn open(&self, text: &str) -> Result<(Node, Place), OpenError> {
        let name = parse(text)?;
        let plugin = name.plugin().to_owned();
        let name = self.lowest(name);
        let path = self.nodes.join(name.to_string()).display().to_string();
        match Node::open(&path) {
            Ok(node) => Ok((node, Place { path, plugin })),
            Err(error) => {
                let cause = self.cause(error, &path, &plugin);
                Err(OpenError { place: path, plugin: Some(plugin), cause })
            }
        }
    }

    /// The name that there is a node for, if it leaves the instance open. The plugin's own name if there is none, or if
    /// the nodes cannot be listed: opening then says why.
    fn lowest(&self, name: Name) -> Name {
        if name.instance().is_some() {
            return name;
        }
        let names = self.names().unwrap_or_default();
        names.into_iter().find(|other| other.plugin() == name.plugin()).unwrap_or(name)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let listed = |name: Name| Listed {
            path: self.nodes.join(name.to_string()).display().to_string(),
            address: self.address(&name),
            name,
        };
        Ok(self.names()?.into_iter().map(listed).collect())
    }

    /// Where a node's device is. From sysfs: so nothing is opened, and no right is needed.
    fn address(&self, name: &Name) -> Option<BusAddress> {
        let device = self.classes.join(format!("kp-{}/kp-{name}/device", name.plugin()));
        fs::read_link(device).ok()?.file_name()?.to_str()?.parse().ok()
    }

    fn names(&self) -> io::Result<Vec<Name>> {
        let entries = match fs::read_dir(self.nodes) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Folders and links are udev's, or a person's: second names.
            if entry.file_type().is_ok_and(|kind| !kind.is_dir() && !kind.is_symlink()) {
                names.extend(entry.file_name().to_str().and_then(|text| text.parse::<Name>().ok()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Why open(2) failed. A driver's own answer comes as the errno of its class.
    fn cause(&self, error: io::Error, path: &str, plugin: &str) -> Cause {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                let module = System::Linux.loaded(plugin);
                let is_loaded = self.modules.join(&module).exists();
                self.bus.why_none(&module).filter(|_| is_loaded).unwrap_or(Cause::NoNode { is_loaded })
            }
            Some(libc::EACCES) => match group::let_in(Path::new(path)) {
                Some(group) => Cause::NotInGroup { group },
                None => Cause::Denied,
            },
            // Of a device's mode comes EACCES; what is behind a container's list of devices is not permitted.
            Some(libc::EPERM) => Cause::NotPermitted,
            Some(libc::ENODEV | libc::ENXIO) => Cause::Refused(Status::DEVICE_GONE.into()),
            Some(libc::EIO) => Cause::Refused(Status::POISONED.into()),
            Some(libc::EISDIR) => Cause::NotKp,
            _ => Cause::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A directory that goes away with its test.
    struct Directory(TempDir);

    impl Directory {
        fn new() -> Self {
            let directory = TempDir::with_prefix("kp-").unwrap();
            for part in ["nodes", "modules", "classes"] {
                fs::create_dir(directory.path().join(part)).unwrap();
            }
            Self(directory)
        }

        fn join(&self, path: impl AsRef<Path>) -> PathBuf {
            self.0.path().join(path)
        }

        fn node(self, name: &str) -> Self {
            fs::write(self.join("nodes").join(name), []).unwrap();
            self
        }

        /// The node's device, as sysfs shows it.
        fn device(self, plugin: &str, name: &str, address: &str) -> Self {
            let shown = self.join(format!("classes/kp-{plugin}/kp-{name}"));
            fs::create_dir_all(&shown).unwrap();
            std::os::unix::fs::symlink(format!("../../../devices/pci0000:00/{address}"), shown.join("device")).unwrap();
            self
        }

        fn with<R>(&self, test: impl FnOnce(Places<'_>) -> R) -> R {
            test(Places {
                nodes: &self.join("nodes"),
                modules: &self.join("modules"),
                classes: &self.join("classes"),
                bus: Bus { bus: &self.join("bus"), log: &self.join("log") },
            })
        }

        fn open(&self, name: &str) -> Result<String, String> {
            let place = |path: &str| path.replace(&*self.join("nodes").to_string_lossy(), "NODES");
            self.with(|places| match places.open(name) {
                Ok((_, opened)) => Ok(place(&opened.path)),
                Err(error) => Err(place(&error.to_string())),
            })
        }
    }

    #[test]
    fn a_name_without_instance_is_the_lowest_one() {
        let directory = Directory::new().node("edu.10").node("edu.2").node("echo").node("education.0");
        assert_eq!(directory.open("edu"), Ok("NODES/edu.2".into()));
        assert_eq!(directory.open("edu.10"), Ok("NODES/edu.10".into()));
        assert_eq!(directory.open("echo"), Ok("NODES/echo".into()));
        let names = directory.with(|places| places.names()).unwrap();
        assert_eq!(names.iter().map(Name::to_string).collect::<Vec<_>>(), ["echo", "edu.2", "edu.10", "education.0"]);
    }

    #[test]
    fn a_node_is_listed_with_the_address_of_its_device() {
        let directory = Directory::new().node("edu.1").node("edu.0").node("echo");
        let directory = directory.device("edu", "edu.0", "0000:03:00.0").device("edu", "edu.1", "10000:e1:00.0");
        let listed = directory.with(|places| places.list()).unwrap();
        assert_eq!(
            listed.iter().map(Listed::to_string).collect::<Vec<_>>(),
            ["echo", "edu.0 at 0000:03:00.0", "edu.1 at 10000:e1:00.0"]
        );
        assert_eq!(listed[1].path, directory.join("nodes/edu.0").display().to_string());
    }

    #[test]
    fn second_names_are_not_listed() {
        let directory = Directory::new().node("edu.0");
        let nodes = directory.join("nodes");
        fs::create_dir(nodes.join("by-path")).unwrap();
        std::os::unix::fs::symlink("edu.0", nodes.join("card")).unwrap();
        let names = directory.with(|places| places.names()).unwrap();
        assert_eq!(names.iter().map(Name::to_string).collect::<Vec<_>>(), ["edu.0"]);
    }

    #[test]
    fn no_plugin_loaded_is_an_empty_list() {
        let nowhere = Path::new("/nonexistent");
        let bus = Bus { bus: nowhere, log: nowhere };
        let missing = Places { nodes: &nowhere.join("kp"), modules: nowhere, classes: nowhere, bus };
        assert_eq!(missing.list().unwrap(), []);
    }

    #[test]
    fn a_missing_node_says_how_to_load_the_module() {
        let directory = Directory::new();
        let error = directory.open("my-edu").unwrap_err();
        assert_eq!(
            error,
            "NODES/my-edu: no such device node: is the module loaded? `kp load my-edu`, or `insmod kp-my-edu.ko`"
        );
        fs::create_dir(directory.join("modules/kp_my_edu")).unwrap();
        let error = directory.open("my-edu.3").unwrap_err();
        let expected = "no such device node, though kp_my_edu is loaded: there is no such device, or the plugin refused it; \
                        see `lspci -nnk` and `dmesg`";
        assert_eq!(error, format!("NODES/my-edu.3: {expected}"));
    }

    #[test]
    fn a_bad_name_opens_nothing() {
        let error = Directory::new().open("../edu").unwrap_err();
        let expected = "not a plugin's name: use one such as `edu`, or `edu.1` for one of its devices";
        assert_eq!(error, format!("\"../edu\": {expected}"));
    }

    #[test]
    fn what_open_answers_names_a_remedy() {
        let text = |errno| {
            let cause = Places::system().cause(io::Error::from_raw_os_error(errno), "/nonexistent", "edu");
            OpenError { place: "/dev/kp/edu.0".into(), plugin: Some("edu".into()), cause }.to_string()
        };
        assert_eq!(
            text(libc::EACCES),
            "/dev/kp/edu.0: permission denied: run as root, or let a group in: `kp install kp-edu.ko --group GROUP`, or a udev rule: \
             SUBSYSTEM==\"kp-edu\", GROUP=\"GROUP\", MODE=\"0660\""
        );
        assert_eq!(
            text(libc::EPERM),
            "/dev/kp/edu.0: not permitted to this process, whoever its user is: give the node to its container, as by \
             `--device /dev/kp/edu.0`, or see what the security module says"
        );
        assert_eq!(
            text(libc::ENODEV),
            "/dev/kp/edu.0: the device was removed: plug it in again, or `kp reload edu`, or `rmmod kp_edu` and `insmod kp-edu.ko`"
        );
        assert_eq!(
            text(libc::EIO),
            "/dev/kp/edu.0: the plugin has panicked: see `dmesg`, then `kp reload edu`, or `rmmod kp_edu` and `insmod kp-edu.ko`"
        );
        assert_eq!(
            text(libc::EISDIR),
            "/dev/kp/edu.0: not a kp device: remove what has taken this path, then `kp load edu`, or `insmod kp-edu.ko`"
        );
    }
}

//! Names, device objects, open files and handles.
use crate::{device_interface::Interface, file::File, nt::NtStatus, security::Dacl, service::Service};
use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Weak},
};

/// All of them.
#[derive(Default)]
pub(crate) struct Objects {
    /// By address of the DEVICE_OBJECT.
    pub(crate) devices: BTreeMap<usize, Device>,
    /// Symbolic links, in lower case, and what they name.
    pub(crate) links: BTreeMap<String, String>,
    /// Device interfaces that were registered, by their name in lower case. They stay when their device goes.
    pub(crate) interfaces: BTreeMap<String, Interface>,
    /// Kernel handles: the object, and the access.
    pub(crate) handles: BTreeMap<usize, (usize, u32)>,
    next_handle: usize,
}

/// What the object manager knows of a device object.
pub(crate) struct Device {
    /// In lower case.
    pub(crate) name: Option<String>,
    /// Who may open it, if anybody has said so.
    pub(crate) dacl: Option<Dacl>,
    /// Handles and other references that keep it and its driver.
    pub(crate) files: Vec<Weak<File>>,
    pub(crate) service: Weak<Service>,
}

impl Objects {
    /// A kernel handle.
    pub(crate) fn handle(&mut self, object: usize, access: u32) -> usize {
        self.next_handle += 4;
        let handle = 0xFFFF_FFFF_8000_0000 | self.next_handle;
        self.handles.insert(handle, (object, access));
        handle
    }

    /// The device that a path names, and what of the path is behind its name.
    pub(crate) fn resolve(&self, path: &str) -> Result<(usize, String), NtStatus> {
        let lower = path.to_lowercase();
        let win32 = [r"\\.\", r"\\?\", r"\??\"].into_iter().find_map(|prefix| lower.strip_prefix(prefix));
        let lower = win32.map_or(lower.clone(), |name| format!(r"\dosdevices\{name}"));
        if let Some(found) = self.through_interface(&lower) {
            return Ok(found);
        }
        let link = self.links.iter().find_map(|(link, target)| Some((target, behind(&lower, link)?)));
        let (target, rest) = match link {
            Some((target, rest)) => (target.to_lowercase(), rest),
            None => (lower.clone(), String::new()),
        };
        let found = self.devices.iter().find_map(|(address, device)| {
            let name = device.name.as_deref()?;
            let more = behind(&target, name)?;
            Some((*address, more + &rest))
        });
        found.ok_or(crate::nt::STATUS_OBJECT_NAME_NOT_FOUND)
    }

    /// What should not be there any more.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (address, device) in &self.devices {
            left.push(format!(
                "a device object at {address:#x} {}",
                device.name.as_deref().unwrap_or("without a name")
            ));
        }
        left.extend(self.links.keys().map(|link| format!("the symbolic link {link}")));
        left.extend(self.enabled_interfaces().map(|name| format!("the device interface {name}, enabled")));
        left.extend(self.handles.keys().map(|handle| format!("the handle {handle:#x}")));
        left
    }

    /// Files of a service's devices that are not over.
    pub(crate) fn files_of(&self, service: &Arc<Service>) -> usize {
        self.count(service, |_| true)
    }

    /// Those of them whose handle is open.
    pub(crate) fn open_handles(&self, service: &Arc<Service>) -> usize {
        self.count(service, File::has_handle)
    }

    fn count(&self, service: &Arc<Service>, which: impl Fn(&File) -> bool) -> usize {
        let devices = self.devices.values().filter(|device| ptr::eq(device.service.as_ptr(), Arc::as_ptr(service)));
        devices.flat_map(|device| &device.files).filter_map(Weak::upgrade).filter(|file| which(file)).count()
    }
}

/// What is behind a name in a path: nothing, or a backslash and more.
pub(crate) fn behind(path: &str, name: &str) -> Option<String> {
    let rest = path.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with('\\')).then(|| rest.to_owned())
}

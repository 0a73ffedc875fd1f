//! Drivers: loaded and started, and unloaded when nothing uses them any more.
use crate::{
    cpu::{self, level},
    exports::is_exported,
    image::Image,
    kernel::{Kernel, Machine, lock},
    nt::{
        DeviceObject, DriverExtension, DriverObject, NtStatus, STATUS_INVALID_DEVICE_REQUEST, UnicodeString,
        device_flags,
    },
    objects::Device,
    rule::Rule,
    space::Protection,
};
use std::{
    fmt,
    path::Path,
    ptr,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// A driver's service.
pub(crate) struct Service {
    /// None: the driver is part of this program.
    image: Option<Arc<Image>>,
    entry: usize,
    /// Address of the DRIVER_OBJECT.
    pub(crate) object: usize,
    /// What else was allocated for it.
    parts: Vec<usize>,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// To be unloaded when its last file is closed.
    Stopping,
    /// DriverUnload runs.
    Unloading,
    Unloaded,
}

/// Why a driver was not started. `Debug` is the same text as `Display`, for a test that returns the error.
#[derive(Clone, PartialEq, Eq)]
pub enum StartError {
    /// The file is no driver that this kernel can load.
    Image(String),
    /// DriverEntry answered this.
    Refused(NtStatus),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Image(why) => f.write_str(why),
            StartError::Refused(status) => write!(f, "DriverEntry answered {status:#x}"),
        }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

/// What came of stopping a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The driver is unloaded.
    Gone,
    /// It is in use: nobody opens it any more, and it is unloaded after the last close.
    Pending,
}

/// A driver that was started.
pub struct Driver {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) service: Arc<Service>,
}

impl Machine {
    /// Starts a driver's service: loads the .sys and calls its DriverEntry.
    ///
    /// # Errors
    /// Its image cannot be loaded, or DriverEntry refused; then nothing of it is left.
    ///
    /// # Panics
    /// If the run ends.
    pub fn start(&self, sys: &Path) -> Result<Driver, StartError> {
        let kernel = &self.kernel;
        let find = &mut |name: &str| {
            let found = kernel.thunks.find(name).filter(|_| is_exported(name, kernel.options.processor));
            found.ok_or_else(|| format!("it imports {name}, which this kernel has not got"))
        };
        let image = Arc::new(Image::load(sys, &kernel.space, find).map_err(StartError::Image)?);
        kernel.images.write().unwrap_or_else(PoisonError::into_inner).push(image.clone());
        let (name, entry) = (image.name.clone(), image.entry);
        self.start_at(name.trim_end_matches(".sys"), entry, Some(image))
    }

    /// Calls the entry point of a driver that is in memory.
    pub(crate) fn start_at(&self, name: &str, entry: usize, image: Option<Arc<Image>>) -> Result<Driver, StartError> {
        let kernel = &self.kernel;
        let service = Arc::new(Service::make(kernel, name, entry, image));
        let status = cpu::attached(kernel, None, || service.entry(kernel));
        if status < 0 {
            let left = service.devices(kernel);
            service.free(kernel);
            if left > 0 {
                let what = format!("DriverEntry answered {status:#x} and left {left} device objects");
                cpu::attached(kernel, None, || cpu::fail(Rule::EntryUndone.broken(what)));
            }
            return Err(StartError::Refused(status));
        }
        Ok(Driver { kernel: kernel.clone(), service })
    }
}

impl Driver {
    /// Stops the service, as far as it has no device of a bus.
    ///
    /// # Errors
    /// The driver cannot be unloaded.
    ///
    /// # Panics
    /// If the run ends.
    pub fn stop(&self) -> Result<Stopped, NtStatus> {
        // SAFETY: the driver object is there until the service is unloaded.
        if *lock(&self.service.state) == State::Running && unsafe { (*self.service.driver()).driver_unload } == 0 {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        cpu::attached(&self.kernel, None, || {
            let files = lock(&self.kernel.objects).files_of(&self.service);
            let mut state = lock(&self.service.state);
            if *state == State::Running {
                *state = State::Stopping;
            }
            drop(state);
            if files == 0 {
                self.service.unload(&self.kernel);
            }
        });
        Ok(if self.is_loaded() { Stopped::Pending } else { Stopped::Gone })
    }

    /// How many handles to its devices are open.
    pub fn open_handles(&self) -> usize {
        lock(&self.kernel.objects).open_handles(&self.service)
    }

    /// Is it still there?
    pub fn is_loaded(&self) -> bool {
        *lock(&self.service.state) != State::Unloaded
    }

    /// Waits until it is unloaded.
    ///
    /// # Panics
    /// If the run ends.
    pub fn wait_until_unloaded(&self) {
        let mut state = lock(&self.service.state);
        while *state != State::Unloaded {
            if self.kernel.is_stopped() {
                drop(state);
                cpu::attached(&self.kernel, None, || cpu::abandon());
            }
            let waited = self.service.news.wait_timeout(state, std::time::Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Service {
    /// The bus's own driver.
    pub(crate) fn bus(kernel: &Kernel) -> Arc<Self> {
        let service = Arc::new(Self::make(kernel, "pci", 0, None));
        crate::pdo::dispatch(service.driver());
        kernel.register(&service);
        service
    }

    fn make(kernel: &Kernel, name: &str, entry: usize, image: Option<Arc<Image>>) -> Self {
        let path = format!(r"\Registry\Machine\System\CurrentControlSet\Services\{name}");
        let driver_name = format!(r"\Driver\{name}");
        let extension = kernel.allocate(size_of::<DriverExtension>(), b"DrvE", true);
        let object = kernel.allocate(size_of::<DriverObject>(), b"Driv", true);
        let (registry, registry_text) = unicode(kernel, &path);
        let (name_string, name_text) = unicode(kernel, &driver_name);
        // SAFETY: fresh memory of these sizes, zeroed, which are valid values.
        unsafe {
            let driver = ptr::with_exposed_provenance_mut::<DriverObject>(object);
            (*driver).kind = 4;
            (*driver).size = size_of::<DriverObject>() as i16;
            (*driver).driver_start = image.as_ref().map_or(0, |image| image.base);
            (*driver).driver_size = image.as_ref().map_or(0, |image| image.len as u32);
            (*driver).driver_extension = ptr::with_exposed_provenance_mut(extension);
            (*driver).driver_name = *ptr::with_exposed_provenance::<UnicodeString>(name_string);
            (*driver).driver_init = entry;
            (*driver).major_function = [crate::exports::invalid_request(); 28];
            (*(*driver).driver_extension).driver_object = driver;
        }
        let parts = vec![registry, extension, registry_text, name_string, name_text];
        Self { image, entry, object, parts, state: Mutex::new(State::Running), news: Condvar::new() }
    }

    /// Its key.
    pub(crate) fn registry_path(&self) -> String {
        crate::counted_text::string(ptr::with_exposed_provenance(self.parts[0])).unwrap_or_default()
    }

    pub(crate) fn driver(&self) -> *mut DriverObject {
        ptr::with_exposed_provenance_mut(self.object)
    }

    fn entry(self: &Arc<Self>, kernel: &Kernel) -> NtStatus {
        kernel.register(self);
        let arguments = [self.object, self.parts[0]];
        let answer = cpu::call("DriverEntry", self.entry, level::PASSIVE, &arguments);
        let Some(answer) = answer else { cpu::abandon() };
        let status = answer as NtStatus;
        if status >= 0 {
            for address in self.own_devices(kernel) {
                // SAFETY: a device object of the object manager's.
                unsafe {
                    (*ptr::with_exposed_provenance_mut::<DeviceObject>(address)).flags &= !device_flags::INITIALIZING
                };
            }
        }
        status
    }

    fn own_devices(self: &Arc<Self>, kernel: &Kernel) -> Vec<usize> {
        let objects = lock(&kernel.objects);
        let own = |device: &Device| ptr::eq(device.service.as_ptr(), Arc::as_ptr(self));
        objects.devices.iter().filter(|(_, device)| own(device)).map(|(address, _)| *address).collect()
    }

    fn devices(self: &Arc<Self>, kernel: &Kernel) -> usize {
        self.own_devices(kernel).len()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *lock(&self.state) != State::Running
    }

    /// A file of one of its devices was closed.
    pub(crate) fn file_closed(self: &Arc<Self>, kernel: &Kernel) {
        if *lock(&self.state) == State::Stopping && lock(&kernel.objects).files_of(self) == 0 {
            self.unload(kernel);
        }
    }

    /// DriverUnload, once; and what was the driver's is freed.
    fn unload(self: &Arc<Self>, kernel: &Kernel) {
        {
            let mut state = lock(&self.state);
            if *state != State::Stopping {
                return;
            }
            *state = State::Unloading;
        }
        // SAFETY: the driver object is there until below.
        let unload = unsafe { (*self.driver()).driver_unload };
        if cpu::call("DriverUnload", unload, level::PASSIVE, &[self.object]).is_none() {
            cpu::abandon();
        }
        let left = self.devices(kernel);
        if left > 0 {
            cpu::fail(Rule::Unloaded.broken(format!("DriverUnload left {left} device objects")));
        }
        self.free(kernel);
        *lock(&self.state) = State::Unloaded;
        self.news.notify_all();
    }

    /// The driver's code goes away: whatever still runs in it faults.
    pub(crate) fn free(&self, kernel: &Kernel) {
        kernel.unregister(self.object);
        if let Some(gone) = &self.image {
            let mut images = kernel.images.write().unwrap_or_else(PoisonError::into_inner);
            images.retain(|image| !Arc::ptr_eq(image, gone));
            drop(images);
            kernel.space.protect(gone.base, gone.len, Protection::None);
        }
        for &part in self.parts.iter().chain([&self.object]) {
            if let Err(broken) = kernel.pool.free(part, None) {
                cpu::attached(&cpu::kernel(), None, || cpu::fail(broken));
            }
        }
    }
}

/// A counted string in the kernel's memory, and its text.
fn unicode(kernel: &Kernel, text: &str) -> (usize, usize) {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let buffer = kernel.allocate(2 * units.len(), b"Str ", false);
    let string = kernel.allocate(size_of::<UnicodeString>(), b"Str ", false);
    // SAFETY: fresh memory of these sizes.
    unsafe {
        let place = ptr::with_exposed_provenance_mut::<u16>(buffer);
        ptr::copy_nonoverlapping(units.as_ptr(), place, units.len());
        let length = 2 * (units.len() - 1) as u16;
        let value = UnicodeString { length, maximum_length: length + 2, buffer: place };
        ptr::with_exposed_provenance_mut::<UnicodeString>(string).write(value);
    }
    (string, buffer)
}

//! The devices of a PCI bus, as the plug-and-play and power managers see them: what they ask of their drivers.
use crate::{
    cpu, irp,
    kernel::{Kernel, Machine, lock},
    nt::{
        DeviceObject, DriverExtension, IoStackLocation, NtStatus, STATUS_DEVICE_BUSY, STATUS_NOT_SUPPORTED, major,
        minor,
    },
    objects::Device as Record,
    pdo, power,
    resources::{self, Shape},
    rule::{Broken, Rule},
    security::{self, Dacl, Entry},
    service::{Driver, Service},
    slot::Slot,
};
use kp_sim::device::DeviceModel;
use std::{
    ptr,
    sync::{
        Arc, Mutex,
        atomic::Ordering::{Relaxed, Release},
    },
};

/// A minor function that no driver knows.
const UNKNOWN: u8 = 0xFF;

/// What START assigns of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// A line.
    Line,
    /// This many messages.
    Messages(u16),
    /// No interrupt.
    Nothing,
}

/// A device on the bus.
pub struct Device {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) slot: Arc<Slot>,
    bus: Arc<Service>,
    /// Address of the bus's device object.
    pub(crate) pdo: usize,
    /// Resource lists of the last START, in the pool.
    lists: Mutex<Vec<usize>>,
}

impl Machine {
    /// Plugs a device in, whose BARs are below 4 GiB. No driver has it yet.
    pub fn plug(&self, model: impl DeviceModel + 'static) -> Device {
        self.plug_as(model, Shape::default())
    }

    /// Plugs a device in, whose BARs and resources have this shape.
    ///
    /// # Panics
    /// If the device cannot have it.
    pub fn plug_as(&self, model: impl DeviceModel + 'static, shape: Shape) -> Device {
        let kernel = &self.kernel;
        let number = kernel.next_slot();
        let slot = Arc::new(Slot::new(kernel, number, Box::new(model), shape));
        let bus = Service::bus(kernel);
        let pdo = pdo::make(kernel, &bus);
        let dacl = Dacl {
            is_protected: true,
            entries: ["S-1-5-18", "S-1-5-32-544"]
                .into_iter()
                .chain(kernel.options.open_to_all.then_some("S-1-1-0"))
                .map(|account| Entry { allows: true, mask: security::access::ALL, account: account.into() })
                .collect(),
        };
        let record = Record {
            name: Some(pdo::name(number).to_lowercase()),
            dacl: Some(dacl),
            files: Vec::new(),
            service: Arc::downgrade(&bus),
        };
        let before = lock(&kernel.objects).devices.insert(pdo, record);
        assert!(
            before.is_none() && lock(&kernel.slots).insert(pdo, slot.clone()).is_none(),
            "an object of a new device"
        );
        Device { kernel: kernel.clone(), slot, bus, pdo, lists: Mutex::default() }
    }
}

impl Device {
    /// AddDevice: the driver adds its device object to the stack.
    ///
    /// # Errors
    /// What the driver answers; then it must have added nothing.
    ///
    /// # Panics
    /// If the run ends.
    pub fn add(&self, driver: &Driver) -> Result<(), NtStatus> {
        // SAFETY: the driver object is there while the driver is.
        let extension: &DriverExtension = unsafe { &*(*driver.service.driver()).driver_extension };
        if extension.add_device == 0 {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let arguments = [driver.service.object, self.pdo];
        let answer = cpu::attached(&self.kernel, None, || {
            cpu::call("AddDevice", extension.add_device, cpu::level::PASSIVE, &arguments)
                .unwrap_or_else(|| cpu::abandon())
        });
        match answer as NtStatus {
            status if status < 0 => Err(status),
            _ => Ok(()),
        }
    }

    /// START_DEVICE, with the device's BARs and these interrupts.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn start(&self, assigned: Assigned) -> Result<(), NtStatus> {
        self.slot.move_bars();
        let [raw, translated] = resources::lists(&self.slot, assigned).map(|words| self.list(&words));
        self.free_lists();
        *lock(&self.lists) = vec![raw, translated];
        *lock(&self.slot.assigned) = assigned;
        self.slot.program(if let Assigned::Messages(count) = assigned { count } else { 0 });
        self.slot.observed.starts();
        self.slot.power.begins();
        self.slot.is_starting.store(true, Release);
        let started =
            self.pnp(minor::START_DEVICE, |location| location.parameters[..2].copy_from_slice(&[raw, translated]));
        self.slot.is_starting.store(false, Release);
        started?;
        self.check(self.slot.power.started());
        for (major, minor) in [
            (major::PNP, UNKNOWN),
            (major::POWER, UNKNOWN),
            (major::POWER, minor::WAIT_WAKE),
            (major::POWER, minor::POWER_SEQUENCE),
            (major::SYSTEM_CONTROL, UNKNOWN),
        ] {
            self.unknown(major, minor);
        }
        Ok(())
    }

    /// A request that the driver cannot know, as Driver Verifier sends some: it must come to the bus as it is, and so go back.
    fn unknown(&self, major: u8, minor: u8) {
        let before = self.slot.unknown.load(Relaxed);
        let answer = self.ask(major, minor, |_| {}).err();
        let what = format!("the request of major function {major} and minor function {minor:#x}, which nobody knows,");
        if self.slot.unknown.load(Relaxed) == before {
            self.check(Err(Rule::UnknownPassedOn.broken(format!("{what} has not come to the bus"))));
        }
        if answer != Some(STATUS_NOT_SUPPORTED) {
            self.check(Err(Rule::UnknownUntouched.broken(format!("{what} was answered {:#x}", answer.unwrap_or(0)))));
        }
    }

    /// Ends the run if a rule is broken.
    pub(crate) fn check(&self, result: Result<(), Broken>) {
        if let Err(broken) = result {
            cpu::attached(&self.kernel, None, || cpu::fail(broken));
        }
    }

    /// QUERY_STOP_DEVICE and STOP_DEVICE: the device may be started again with other resources.
    ///
    /// # Errors
    /// A driver refuses; the device goes on as it was.
    ///
    /// # Panics
    /// If the run ends.
    pub fn stop(&self) -> Result<(), NtStatus> {
        if let Err(refused) = self.pnp(minor::QUERY_STOP_DEVICE, |_| {}) {
            self.must(minor::CANCEL_STOP_DEVICE);
            return Err(refused);
        }
        let interface = self.interface();
        self.must(minor::STOP_DEVICE);
        if interface != self.interface() {
            self.check(Err(Rule::InterfaceKept.broken("the device interface is disabled in STOP_DEVICE")));
        }
        self.has_released(Rule::StoppedReleased);
        *lock(&self.slot.assigned) = Assigned::Nothing;
        Ok(())
    }

    /// An orderly removal: QUERY_REMOVE_DEVICE and REMOVE_DEVICE. The device can be added again.
    ///
    /// # Errors
    /// A driver refuses, or handles are open; the device goes on as it was.
    ///
    /// # Panics
    /// If the run ends.
    pub fn remove(&self) -> Result<(), NtStatus> {
        let answer = self.pnp(minor::QUERY_REMOVE_DEVICE, |_| {});
        let refused = answer.err().or((self.open_handles() > 0).then_some(STATUS_DEVICE_BUSY));
        if let Some(refused) = refused {
            self.must(minor::CANCEL_REMOVE_DEVICE);
            return Err(refused);
        }
        self.removed();
        Ok(())
    }

    /// The device is pulled out: SURPRISE_REMOVAL. [`removed`](Self::removed) comes after the last handle is closed.
    ///
    /// # Panics
    /// If the run ends.
    pub fn surprise_removal(&self) {
        self.slot.is_gone.store(true, Release);
        self.failed();
    }

    /// A device that is there fails to start again, which is a SURPRISE_REMOVAL too ("Stopping a Device to Rebalance Resources").
    /// [`removed`](Self::removed) comes after the last handle is closed.
    ///
    /// # Panics
    /// If the run ends.
    pub fn failed(&self) {
        self.must(minor::SURPRISE_REMOVAL);
        self.has_released(Rule::SurpriseReleased);
    }

    /// REMOVE_DEVICE. No handle is open.
    ///
    /// # Panics
    /// If the run ends, a handle is open, or a device object stays attached.
    pub fn removed(&self) {
        assert_eq!(self.open_handles(), 0, "REMOVE_DEVICE comes after the last handle is closed");
        self.must(minor::REMOVE_DEVICE);
        self.has_released(Rule::RemovedReleased);
        if self.is_attached() {
            let broken = Rule::Detached.broken("a device object is attached after REMOVE_DEVICE");
            cpu::attached(&self.kernel, None, || cpu::fail(broken));
        }
        self.disable_interfaces();
        *lock(&self.slot.assigned) = Assigned::Nothing;
        self.free_lists();
    }

    /// How many handles to it are open.
    pub fn open_handles(&self) -> usize {
        lock(&self.kernel.objects)
            .devices
            .get(&self.pdo)
            .map_or(0, |device| device.files.iter().filter_map(std::sync::Weak::upgrade).count())
    }

    /// Sends a plug-and-play request to the top of the stack, and waits for its end.
    fn pnp(&self, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> Result<(), NtStatus> {
        self.ask(major::PNP, minor, fill)
    }

    /// SET_POWER of the system: `true` is on, `false` asleep. Drivers ask for their device's power in turn; this waits for that too.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn set_system_power(&self, on: bool) -> Result<(), NtStatus> {
        let answer = self.begin_system_power(on);
        self.kernel.works.wait_until_idle(&self.kernel, false);
        answer
    }

    /// As [`set_system_power`](Self::set_system_power), and returns as soon as the system's own request is over: when it wakes, that is before
    /// the device has its power back, and apps run already.
    ///
    /// # Errors
    /// What the drivers answer.
    ///
    /// # Panics
    /// If the run ends.
    pub fn begin_system_power(&self, on: bool) -> Result<(), NtStatus> {
        const SYSTEM: usize = 0;
        const S3: usize = 4;
        if on {
            self.kernel.has_slept();
        } else {
            self.slot.power.sleep_begins();
        }
        let state = if on { power::S0 } else { S3 };
        let status = self.send(major::POWER, minor::SET_POWER, |location| location.parameters = [0, SYSTEM, state, 0]);
        if !on {
            self.check(self.slot.power.sleep_is_over(status));
        }
        if status >= 0 { Ok(()) } else { Err(status) }
    }

    /// Keeps the device from getting its power back, or lets it. While it is kept, the system wakes all the same.
    pub fn hold_power(&self, hold: bool) {
        self.slot.power.hold(hold);
    }

    /// Waits until the bus has been asked for the device's power, which [is held](Self::hold_power).
    ///
    /// # Panics
    /// If the run ends.
    pub fn wait_until_power_is_held(&self) {
        if !self.slot.power.wait_until_held(&self.kernel) {
            cpu::attached(&self.kernel, None, || cpu::abandon());
        }
    }

    /// Waits until the threads of the system have nothing to do: until a change of power is over for the device too.
    pub fn settle(&self) {
        self.kernel.works.wait_until_idle(&self.kernel, false);
    }

    /// Sends a request to the top of the stack, and waits for its end, and until the threads of the system that had to do with it have left
    /// the drivers: they do so long before a driver can be unloaded.
    fn ask(&self, major: u8, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> Result<(), NtStatus> {
        let status = self.send(major, minor, fill);
        let has_gone = (major, minor) == (major::PNP, minor::REMOVE_DEVICE);
        self.kernel.works.wait_until_idle(&self.kernel, has_gone);
        if status >= 0 { Ok(()) } else { Err(status) }
    }

    /// Sends a request to the top of the stack, and waits for its end.
    fn send(&self, major: u8, minor: u8, fill: impl FnOnce(&mut IoStackLocation)) -> NtStatus {
        let kernel = &self.kernel;
        cpu::attached(kernel, None, || {
            let top = pdo::top(self.object());
            // SAFETY: the top device of the bus's stack.
            let stack = unsafe { (*top).stack_size } as u8;
            let request = irp::make(kernel, stack, None, |irp, location| {
                irp.io_status.status = STATUS_NOT_SUPPORTED;
                irp.thread = cpu::thread_id();
                (location.major_function, location.minor_function) = (major, minor);
                fill(location);
            });
            let sent = irp::send(kernel, top, &request).and_then(|()| request.wait(kernel, true));
            sent.unwrap_or_else(|| cpu::abandon()).status
        })
    }

    /// A request that no driver may refuse.
    fn must(&self, minor: u8) {
        if let Err(status) = self.pnp(minor, |_| {}) {
            let what = format!("the plug-and-play request {minor:#x}, which may not fail, was answered {status:#x}");
            cpu::attached(&self.kernel, None, || cpu::fail(Rule::MayNotFail.broken(what)));
        }
    }

    /// Has a driver a device object on the stack?
    fn is_attached(&self) -> bool {
        // SAFETY: the bus's own device object.
        unsafe { !(*self.object()).attached_device.is_null() }
    }

    fn object(&self) -> *mut DeviceObject {
        ptr::with_exposed_provenance_mut(self.pdo)
    }

    fn free_lists(&self) {
        for list in std::mem::take(&mut *lock(&self.lists)) {
            cpu::attached(&self.kernel, None, || cpu::checked(self.kernel.pool.free(list, None)));
        }
    }

    /// A CM_RESOURCE_LIST, in the pool.
    fn list(&self, words: &[u32]) -> usize {
        let address = self.kernel.allocate(4 * words.len(), b"CmRe", false);
        // SAFETY: fresh memory for as many words.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr(), ptr::with_exposed_provenance_mut(address), words.len()) };
        address
    }
}

impl Drop for Device {
    /// What a driver is still attached to stays for it: a test has given up, and says so by its own error.
    fn drop(&mut self) {
        if self.kernel.is_stopped() || std::thread::panicking() || self.is_attached() {
            return;
        }
        self.free_lists();
        lock(&self.kernel.slots).remove(&self.pdo);
        lock(&self.kernel.objects).devices.remove(&self.pdo);
        cpu::attached(&self.kernel, None, || cpu::checked(self.kernel.pool.free(self.pdo, None)));
        self.bus.free(&self.kernel);
    }
}

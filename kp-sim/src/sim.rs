//! A simulated kernel with one plugin in it, as a test sees it.
use crate::{
    app::{App, Mode},
    boot::boot,
    bus::{Attached, BUS_ADDRESS, Bus},
    clock::STEP_NS,
    context,
    device::{DeviceModel, Identity},
    live::Live,
    loaded::{Loaded, check_leaks, in_kernel},
    machine::Options,
    process::Process,
};
use kp_abi::{Interface, Result, request::kind};
use kp_core::{
    MatchId, Passive, Plugin,
    host::{BoundDevice, DeviceId, RawDevice, SUSPEND_NS},
};
use kp_user::{BusAddress, Cause, OpenError};
use std::{
    any::type_name,
    marker::PhantomData,
    sync::{Arc, atomic::Ordering::*},
    time::Duration,
};

/// A simulated kernel has one device.
const ONLY_DEVICE: DeviceId = DeviceId::new(1).expect("1 is a device's number");

/// A simulated kernel, with one plugin and at most one device.
///
/// Dropping it unloads the plugin; if apps still hold handles, the last of them does. What the plugin or the host has not
/// given back by then fails the test.
pub struct Sim<P: Plugin> {
    pub(crate) loaded: Arc<Loaded<P>>,
}

/// How a simulated kernel shall be.
///
/// ```no_run
/// # use kp_sim::{Sim, edu::Edu};
/// # fn f<P: kp_core::Plugin>() -> kp_abi::Result<()> {
/// let sim = Sim::<P>::builder().device(Edu::new()).fail_nth(3).build()?;
/// # Ok(()) }
/// ```
pub struct Builder<P> {
    model: Option<Box<dyn Attached>>,
    address: BusAddress,
    options: Options,
    _plugin: PhantomData<fn(P)>,
}

/// The plugin cannot be unloaded: apps hold handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<P: Plugin> Builder<P> {
    /// The device that the plugin is bound to. Without one it is a plugin without hardware.
    pub fn device(mut self, model: impl DeviceModel + 'static) -> Self {
        self.model = Some(Box::new(model));
        self
    }

    /// Where the device is on the bus, as QUERY says and `kp_user::OpenOptions::over_at` looks for. Else it is at 0000:00:04.0.
    pub fn bus_address(mut self, address: BusAddress) -> Self {
        self.address = address;
        self
    }

    /// The `n`th kernel call that can fail does, from 1; 0: none. Calls that can fail: memory, locks, wait_queues, mappings,
    /// vectors, connecting. [`Sim::fallible_calls`] counts them.
    pub fn fail_nth(mut self, n: u64) -> Self {
        self.options.fail_nth = n;
        self
    }

    /// The kinds of interrupt that this machine has, a mask of [`kind`]; a device that has others cannot use them.
    pub fn kinds(mut self, kinds: u32) -> Self {
        self.options.kinds = kinds;
        self
    }

    /// A kernel that wakes threads at Irql too, as Linux does. Of a plugin without `int_at_dpc` the handler wakes the app there, with no DPC.
    pub fn wakes_at_irql(mut self) -> Self {
        self.options.wakes_at_irql = true;
        self
    }

    /// A kernel whose apps map none of its memory, as Windows: a ring is made of an app's buffer, and every plugin has buffers.
    pub fn no_mmap(mut self) -> Self {
        self.options.no_mmap = true;
        self
    }

    /// The kernel's log goes to standard error as it comes, and is not kept.
    #[cfg(target_os = "linux")]
    pub(crate) fn prints_log(mut self) -> Self {
        self.options.prints_log = true;
        self
    }

    /// Memory that the device reaches by itself, in bytes, at bus address 0 and up.
    pub fn ram(mut self, len: usize) -> Self {
        self.options.ram = len;
        self
    }

    /// A machine that can show its device so many pages at once, as one with few bounce buffers or map registers. Else there is no limit.
    pub fn bounce(mut self, pages: usize) -> Self {
        self.options.bounce = Some(pages);
        self
    }

    /// A machine whose device finds everything below so many bits of bus address, however many it reaches.
    pub fn bus_bits(mut self, bits: u32) -> Self {
        self.options.bus_bits = bits.clamp(1, 64);
        self
    }

    /// Loads the plugin and binds it. Panics if the device is none that the plugin's `devices` lists. Errors: those of the plugin's `init`, and `NO_MEMORY`; nothing is left then.
    ///
    /// Inside of [`explore`](crate::explore) the kernel runs by the world's schedule.
    pub fn build(self) -> Result<Sim<P>> {
        let Self { model, address, options, .. } = self;
        let has_device = model.is_some();
        if let Some(model) = &model {
            check_identity(model.identity(), P::TABLE.devices);
        }
        let machine = boot(Bus::new(model, options.ram), options);
        machine.bus.with_dma(|dma| {
            dma.bounce = options.bounce;
            dma.highest = u64::MAX >> (64 - options.bus_bits);
        });
        let raw = if has_device {
            // SAFETY: device 1 is this machine's only one, and the driver is removed before the machine goes.
            unsafe { RawDevice::new(ONLY_DEVICE, machine.bus.bars(), address.to_query()) }
        } else {
            RawDevice::none()
        };
        // SAFETY: this is the port; suspend, resume and removal come through `Loaded::with_device_lock`.
        let bound = in_kernel(&machine, None, |cx| unsafe { BoundDevice::<P>::bind(cx, raw) });
        match bound {
            Ok(driver) => Ok(Sim { loaded: Arc::new(Loaded::new(machine, driver)) }),
            Err(error) => {
                machine.write_log(&format!("init refused the device: {error}"));
                // Nobody can ask for it any more.
                machine.log_lines().iter().for_each(|line| eprintln!("{line}"));
                check_leaks(&machine);
                Err(error)
            }
        }
    }
}

/// A kernel binds a plugin to its own devices alone. What a model does not say of itself, its class and its card, is taken as fitting.
fn check_identity(model: Identity, devices: &[MatchId]) {
    let fits = |id: &MatchId| match *id {
        MatchId::Pci { vendor, device, .. } => (vendor, device) == (model.vendor, model.device),
        _ => true,
    };
    assert!(
        devices.is_empty() || devices.iter().any(fits),
        "the model is device {:04x}:{:04x}, which the plugin's `devices` does not list",
        model.vendor,
        model.device
    );
}

impl<P: Plugin> Sim<P> {
    /// A kernel with the plugin in it, and no device. Errors: as [`Builder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// A kernel with the plugin bound to this device. Errors: as [`Builder::build`].
    pub fn with(model: impl DeviceModel + 'static) -> Result<Self> {
        Self::builder().device(model).build()
    }

    /// For a kernel with options.
    pub fn builder() -> Builder<P> {
        let options = Options { kinds: kind::ANY, ..Options::default() };
        Builder { model: None, address: BUS_ADDRESS, options, _plugin: PhantomData }
    }

    /// Opens a handle in a process of its own, as open(2) does; the session starts at OPEN. Panics if that fails: see
    /// [`open_in`](Self::open_in).
    pub fn open(&self) -> App<P> {
        match self.open_in(&Process::new(1), Mode::ReadWrite) {
            Ok(app) => app,
            Err(error) => panic!("the handle could not be opened: {error}"),
        }
    }

    /// Opens a handle in this process. Errors: `DEVICE_GONE`, `NO_MEMORY`.
    pub fn open_in(&self, process: &Process, mode: Mode) -> Result<App<P>> {
        App::open(&self.loaded, process, mode)
    }

    /// Opens a handle in a process of its own, and starts a session of this interface on it. Errors: those of [`open_in`](Self::open_in), as
    /// [`Cause::Refused`], and of `kp_user::Plugin::over`.
    pub fn connect(&self, interface: &Interface) -> Result<kp_user::Plugin, OpenError> {
        match self.open_in(&Process::new(1), Mode::ReadWrite) {
            Ok(app) => kp_user::Plugin::over(Arc::new(app), interface, &[]),
            Err(error) => Err(OpenError {
                place: "connection".into(),
                plugin: Some(interface.name.into()),
                cause: Cause::Refused(error),
            }),
        }
    }

    /// The device goes; `present`: it is still there, only its driver is taken away. Returns when every call and session has
    /// ended. The second time it does nothing.
    pub fn remove(&self, present: bool) {
        self.loaded.remove(present);
    }

    /// The device goes to sleep, and loses power: whatever of the plugin touches it until [`resume`](Self::resume) has made a mistake, and the
    /// simulator says so. Calls under way have 20 s to end; then their sleeps do, with `SUSPENDED`.
    pub fn suspend(&self) {
        self.suspend_within(Duration::from_nanos(SUSPEND_NS));
    }

    /// As [`suspend`](Self::suspend), with another time for calls under way.
    pub fn suspend_within(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Some(driver) = self.loaded.driver() else { return };
        self.loaded.with_device_lock(|cx| {
            // SAFETY: the device's lock is held.
            unsafe { driver.suspend(cx, ns) };
            self.loaded.machine.finish_handlers(&context::current());
            self.loaded.machine.bus.power_off();
        });
    }

    /// The device has power again, with its registers as after power-on.
    pub fn resume(&self) {
        let Some(driver) = self.loaded.driver() else { return };
        self.loaded.with_device_lock(|cx| {
            self.loaded.machine.bus.power_on();
            // SAFETY: the device's lock is held.
            unsafe { driver.resume(cx) };
        });
    }

    /// The kernel, or a program through it, resets the device under the plugin. Returns when the plugin has been notified, and calls go on.
    pub fn reset(&self) {
        let Some(driver) = self.loaded.driver() else { return };
        self.loaded.with_device_lock(|cx| {
            // SAFETY: the device's lock is held.
            unsafe { driver.reset_prepare(cx) };
            self.loaded.machine.bus.reset();
            // SAFETY: the device's lock is held since `reset_prepare`.
            unsafe { driver.reset_done(cx) };
        });
    }

    /// Unloads the plugin, and checks that nothing is left of it: what is fails the test. Busy: apps hold handles.
    pub fn unload(&self) -> Result<(), Busy> {
        {
            let mut state = self.loaded.machine.state();
            if state.handles != 0 {
                return Err(Busy);
            }
            state.is_unloading = true;
        }
        self.loaded.unload();
        Ok(())
    }

    /// The kernel's log.
    pub fn log(&self) -> Vec<String> {
        self.loaded.machine.log_lines()
    }

    /// How many pages, or parts of one, were shown to the device so far, each time that one was.
    pub fn mapped_pages(&self) -> usize {
        self.loaded.machine.bus.with_dma(|dma| dma.mapped)
    }

    /// What is given out and not back.
    pub fn live(&self) -> Live {
        self.loaded.machine.live()
    }

    /// Kernel calls so far that could have failed.
    pub fn fallible_calls(&self) -> u64 {
        self.loaded.machine.fallible_calls()
    }

    /// How often something was dropped at Irql, and its freeing put off. Plugins should not.
    pub fn deferred_frees(&self) -> u32 {
        self.loaded.machine.deferred_frees.load(Relaxed)
    }

    /// How often the host has masked an interrupt that never ended, since this was asked last. A test that does not ask fails at unload.
    pub fn storms(&self) -> u32 {
        std::mem::take(&mut self.loaded.machine.state().storms)
    }

    /// The processor that the plugin's last [`Vectors::hint`](kp_core::Vectors::hint) for a vector has named, since it was enabled.
    pub fn hint(&self, vector: u32) -> Option<u32> {
        self.loaded.machine.state().vectors.hinted(vector)
    }

    /// Has plugin code panicked?
    pub fn is_poisoned(&self) -> bool {
        self.loaded.machine.is_poisoned()
    }

    /// The simulated time, in ns. It passes while threads sleep or wait, and by [`advance`](Self::advance).
    pub fn now_ns(&self) -> u64 {
        self.loaded.machine.now()
    }

    /// Uses the device model, then takes its interrupts. Panics if it is no `M`.
    pub fn device<M: DeviceModel + 'static, R>(&self, f: impl FnOnce(&mut M) -> R) -> R {
        let machine = &self.loaded.machine;
        let Some(answer) = machine.bus.with_model(f) else {
            panic!("the simulated device is no `{}`: name the model that was given to the `Sim`", type_name::<M>())
        };
        context::enter(machine, None, || machine.deliver_pending(&context::current()));
        answer
    }

    /// Another device on the same line, for which no driver answers, raises it until handlers have run `runs` times. Then takes interrupts.
    pub fn neighbour_raises(&self, runs: u32) {
        let machine = &self.loaded.machine;
        machine.state().vectors.set_neighbour(runs);
        context::enter(machine, None, || machine.deliver_pending(&context::current()));
    }

    /// The memory that the device reaches by itself.
    pub fn ram<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        self.loaded.machine.bus.with_ram(f)
    }

    /// `ns` pass, for the clock and the device; interrupts come as they arise.
    pub fn advance(&self, ns: u64) {
        let machine = &self.loaded.machine;
        context::enter(machine, None, || {
            let mut left = ns;
            while left > 0 {
                let step = left.min(STEP_NS);
                left -= step;
                machine.pass(step);
                machine.deliver_pending(&context::current());
            }
            machine.schedule_point("advance", ns);
        });
    }

    /// Kills a process, or one thread of it: its waits and sleeps end, now and from now on.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill(&self, process: &Process) {
        self.loaded.signal(process, true);
    }

    /// Sleeps a step, in real time: while a thread does so over and over, the clock goes on and interrupts come, whatever the others do.
    #[cfg(target_os = "linux")]
    pub(crate) fn tick(&self) {
        let machine = &self.loaded.machine;
        context::enter(machine, None, || machine.sleep(&context::current(), STEP_NS));
    }

    /// Runs `f` in this kernel on this thread, at Passive: for tests of parts of a plugin.
    pub fn enter<R>(&self, f: impl FnOnce(&mut Passive) -> R) -> R {
        in_kernel(&self.loaded.machine, None, f)
    }
}

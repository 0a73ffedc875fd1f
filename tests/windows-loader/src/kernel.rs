//! The simulated kernel as a whole, and how a run ends.
use crate::{
    cpu,
    dispatcher::Dispatcher,
    dpc::Dpcs,
    dump::Dump,
    exports::Processor,
    fault_injection::{Faults, Sites},
    image::Image,
    interrupt::Interrupts,
    irp::Irps,
    mmio::Mappings,
    objects::Objects,
    page_list::PageLists,
    pool::{Pool, tag_name},
    remove_lock::RemoveLocks,
    rule::{Broken, Rule},
    security::Dacl,
    service::Service,
    slot::Slot,
    space::{PAGE, Protection, Space},
    thunk::Thunks,
    timer::Timers,
    transfers::Transfers,
    work::Works,
};
use std::{
    collections::BTreeMap,
    fmt, ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{
            AtomicBool, AtomicIsize, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The driver called KeBugCheckEx.
    BugCheck {
        /// The bug check's code.
        code: u32,
        /// Its parameters.
        parameters: [usize; 4],
    },
    /// The driver broke a rule.
    Broken(Broken),
    /// The driver touched memory that is not there, and handled no exception.
    Fault(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::BugCheck { code, parameters } => write!(f, "bug check {code:#x} {parameters:#x?}"),
            Verdict::Broken(broken) => broken.fmt(f),
            Verdict::Fault(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Verdict {}

impl From<Broken> for Verdict {
    fn from(broken: Broken) -> Self {
        Verdict::Broken(broken)
    }
}

/// Locks a mutex of the loader, whoever panicked with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that drivers and processes share.
pub(crate) struct Kernel {
    pub(crate) options: Options,
    pub(crate) thunks: Thunks,
    pub(crate) pool: Pool,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) dpcs: Dpcs,
    pub(crate) timers: Timers,
    pub(crate) works: Works,
    pub(crate) remove_locks: RemoveLocks,
    pub(crate) interrupts: Interrupts,
    pub(crate) mappings: Mappings,
    pub(crate) page_lists: PageLists,
    pub(crate) transfers: Arc<Transfers>,
    /// By address of the bus's device object.
    pub(crate) slots: Mutex<BTreeMap<usize, Arc<Slot>>>,
    /// The number of the next one.
    next_slot: AtomicUsize,
    /// Requests that the bus has answered later.
    completions: AtomicU32,
    /// By how much the clock is ahead that counts sleep too, in 100 ns.
    slept: AtomicU64,
    /// References to the bus's interface.
    bus_interfaces: AtomicIsize,
    pub(crate) objects: Mutex<Objects>,
    pub(crate) irps: Irps,
    pub(crate) faults: Faults,
    pub(crate) images: RwLock<Vec<Arc<Image>>>,
    pub(crate) started: Instant,
    services: Mutex<Vec<(usize, Arc<Service>)>>,
    log: Mutex<Vec<String>>,
    /// A page that nobody has any business with.
    canary: usize,
    is_stopped: AtomicBool,
    verdict: OnceLock<Verdict>,
    pub(crate) dump: Dump,
    /// Last, for what lies in it is used by all the others.
    pub(crate) space: Space,
}

/// What kind of machine it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Whose exports the kernel has.
    pub processor: Processor,
    /// Functions that MmGetSystemRoutineAddress does not find, as on an older Windows. The bus gives no interface for tables of MSI-X, if
    /// [`MSIX_TABLE_INTERFACE`](crate::MSIX_TABLE_INTERFACE) is among them.
    pub absent: Vec<String>,
    /// How many times slower than the host's the clock is that drivers read: what is a rate for a driver then does not depend on how busy
    /// the host is. Timers and waits are as always. 0 and 1: not at all.
    pub slowness: u32,
    /// How many times sooner timers come than they are set for: so that a test need not wait for a limit of seconds. 0 and 1: not at all.
    pub haste: u32,
    /// How many times faster time goes for the devices: so that a test need not wait for a slow one. 0 and 1: not at all.
    pub device_haste: u32,
    /// How long what should be over soon may take, a request or the end of a process; None: half a minute.
    pub patience: Option<Duration>,
    /// As under Driver Verifier: what is passed down to the bus is answered later, always, and with another success than STATUS_SUCCESS.
    pub verifier: bool,
    /// The first request that the bus answers later is answered at DISPATCH_LEVEL: of those it takes every other one.
    pub first_at_dispatch: bool,
    /// Everybody may open devices of the bus, as if their INF said so.
    pub open_to_all: bool,
    /// Numbers in the key `Parameters` of each driver's service.
    pub parameters: Vec<(String, u32)>,
    /// Devices reach memory through so many map registers, which copy it, and not where it is.
    pub map_registers: Option<u32>,
    /// Adapters' tables have no more than version 2.
    pub old_adapters: bool,
    /// Calls that are to fail.
    pub faults: Option<Arc<Sites>>,
}

impl Kernel {
    fn new(options: Options) -> Self {
        let space = Space::reserve();
        Self {
            thunks: Thunks::new(&space),
            pool: Pool::default(),
            dispatcher: Dispatcher::default(),
            dpcs: Dpcs::default(),
            timers: Timers::default(),
            works: Works::default(),
            remove_locks: RemoveLocks::default(),
            interrupts: Interrupts::default(),
            mappings: Mappings::default(),
            page_lists: PageLists::default(),
            transfers: Arc::default(),
            slots: Mutex::default(),
            next_slot: AtomicUsize::new(0),
            completions: AtomicU32::new(options.first_at_dispatch.into()),
            slept: AtomicU64::new(0),
            bus_interfaces: AtomicIsize::new(0),
            objects: Mutex::default(),
            irps: Irps::default(),
            faults: Faults::new(options.faults.clone()),
            images: RwLock::default(),
            started: Instant::now(),
            services: Mutex::default(),
            log: Mutex::default(),
            canary: space.take(PAGE, Protection::ReadWrite),
            is_stopped: AtomicBool::new(false),
            verdict: OnceLock::new(),
            dump: Dump::default(),
            options,
            space,
        }
    }

    /// Memory of the pool.
    pub(crate) fn allocate(&self, len: usize, tag: &[u8; 4], zeroed: bool) -> usize {
        self.pool.allocate(&self.space, len, u32::from_le_bytes(*tag), zeroed)
    }

    /// Frees memory of the pool for a driver.
    pub(crate) fn free(&self, address: usize, tag: Option<u32>) -> Result<(), Broken> {
        let len = self.pool.len_of(address).unwrap_or(0);
        if self.dpcs.is_queued_in(address, len) {
            return Err(Rule::DpcFreed
                .broken(format!("pool: the block at {address:#x} is freed with a DPC in it that is queued")));
        }
        if self.timers.is_set_in(address, len) {
            return Err(Rule::TimerFreed
                .broken(format!("pool: the block at {address:#x} is freed with a timer in it that is set")));
        }
        if !self.page_lists.freed(address) {
            return Err(
                Rule::PagesListed.broken(format!("pool: the list of pages at {address:#x} is freed with its pages"))
            );
        }
        self.pool.free(address, tag)
    }

    /// How long what should be over soon may take.
    pub(crate) fn patience(&self) -> Duration {
        self.options.patience.unwrap_or(Duration::from_secs(30))
    }

    /// The number of a new slot.
    pub(crate) fn next_slot(&self) -> usize {
        self.next_slot.fetch_add(1, Relaxed)
    }

    /// Has the run ended?
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Acquire)
    }

    /// Why the run ended, if it has.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict.get().cloned()
    }

    /// Ends the run: whoever is in the driver leaves it at its next call of the kernel, or in its wait.
    pub(crate) fn stop(&self, verdict: Verdict) {
        // The first reason counts.
        let _ = self.verdict.set(verdict);
        self.end();
    }

    fn end(&self) {
        self.is_stopped.store(true, Release);
        self.dispatcher.changed();
        self.dpcs.changed();
        self.timers.changed();
        self.works.changed();
        self.interrupts.changed();
        self.irps.changed();
    }

    /// The driver that this address is in.
    pub(crate) fn image_at(&self, address: usize) -> Option<Arc<Image>> {
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner);
        images.iter().find(|image| image.contains(address)).cloned()
    }

    /// A driver object exists from now on.
    pub(crate) fn register(&self, service: &Arc<Service>) {
        lock(&self.services).push((service.object, service.clone()));
    }

    pub(crate) fn unregister(&self, driver: usize) {
        lock(&self.services).retain(|(object, _)| *object != driver);
    }

    /// The service of a driver object.
    pub(crate) fn service(&self, driver: usize) -> Option<Arc<Service>> {
        lock(&self.services).iter().find(|(object, _)| *object == driver).map(|(_, service)| service.clone())
    }

    /// Is there a key of parameters of this name?
    pub(crate) fn has_parameters(&self, path: &str) -> bool {
        let key = path.strip_suffix(r"\Parameters").unwrap_or_default();
        let is_known = lock(&self.services).iter().any(|(_, service)| service.registry_path() == key);
        is_known && !self.options.parameters.is_empty()
    }

    /// The level at which the bus completes the next request.
    pub(crate) fn completion_level(&self) -> u8 {
        let is_odd = self.completions.fetch_add(1, AcqRel) % 2 == 1;
        if is_odd { cpu::level::DISPATCH } else { cpu::level::PASSIVE }
    }

    /// The system wakes: it has slept for an hour.
    pub(crate) fn has_slept(&self) {
        const HOUR: u64 = 3600 * 10_000_000;
        self.slept.fetch_add(HOUR, AcqRel);
    }

    /// How long the system has slept, in 100 ns.
    pub(crate) fn slept(&self) -> u64 {
        self.slept.load(Acquire)
    }

    /// The bus's interface is given away, or given back.
    pub(crate) fn count_interface(&self, by: isize) {
        self.bus_interfaces.fetch_add(by, AcqRel);
    }

    /// The log.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    /// Adds a line to the log.
    pub(crate) fn log(&self, line: String) {
        lock(&self.log).push(line);
    }

    /// What is still there, one line each, that should be gone with the last driver.
    fn leaks(&self) -> Vec<String> {
        let mut leaks: Vec<String> = (self.pool.in_use().iter())
            .map(|(address, len, tag)| format!("{len} bytes of pool at {address:#x}, tag {}", tag_name(*tag)))
            .collect();
        leaks.extend(lock(&self.objects).left());
        leaks.extend(self.irps.left());
        leaks.extend(self.dpcs.left());
        leaks.extend(self.timers.left());
        leaks.extend(self.works.left());
        leaks.extend(self.remove_locks.left());
        leaks.extend(self.interrupts.left());
        leaks.extend(self.mappings.left());
        leaks.extend(self.transfers.left());
        if self.bus_interfaces.load(Acquire) != 0 {
            leaks.push(format!("{} references to the bus's interface", self.bus_interfaces.load(Acquire)));
        }
        leaks
    }
}

/// What a thread of the kernel does until the end.
type Runner = fn(&Kernel);

/// A simulated machine: a kernel with its processors, and no driver yet.
pub struct Machine {
    pub(crate) kernel: Arc<Kernel>,
    threads: Vec<JoinHandle<()>>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Machine {
    /// Starts a machine.
    pub fn new(options: Options) -> Self {
        crate::trap::install();
        let kernel = Arc::new(Kernel::new(options));
        let runners: [(&str, Runner); 8] = [
            ("dpc 0", |kernel| kernel.dpcs.run(kernel)),
            ("dpc 1", |kernel| kernel.dpcs.run(kernel)),
            ("interrupts 0", |kernel| kernel.interrupts.run(kernel)),
            ("interrupts 1", |kernel| kernel.interrupts.run(kernel)),
            ("timers", |kernel| kernel.timers.run(kernel)),
            ("work 0", |kernel| kernel.works.run(kernel)),
            ("work 1", |kernel| kernel.works.run(kernel)),
            ("work 2", |kernel| kernel.works.run(kernel)),
        ];
        let threads = runners.map(|(name, run)| {
            let kernel = kernel.clone();
            let thread = thread::Builder::new().name(name.into());
            thread.spawn(move || cpu::attached(&kernel.clone(), None, || run(&kernel))).expect("a thread can be made")
        });
        Self { kernel, threads: threads.into() }
    }

    /// Why the run ended before its time, if it did.
    pub fn verdict(&self) -> Option<Verdict> {
        self.kernel.verdict()
    }

    /// What drivers have written with DbgPrintEx so far.
    pub fn log(&self) -> Vec<String> {
        self.kernel.log_lines()
    }

    /// What drivers have left behind, one line each; of a machine whose drivers are all unloaded and whose handles are closed.
    ///
    /// # Errors
    /// The verdict, if the run ended before; or what is wrong in the pool.
    pub fn leaks(&self) -> Result<Vec<String>, Verdict> {
        if let Some(verdict) = self.verdict() {
            return Err(verdict);
        }
        self.kernel.transfers.take_wrong().map_or(Ok(()), |wrong| Err(Verdict::Broken(wrong)))?;
        self.kernel.pool.check().map_err(Verdict::Broken)?;
        // SAFETY: a page of the kernel's, mapped as long as it is.
        let canary = unsafe { &*ptr::with_exposed_provenance::<[u8; PAGE]>(self.kernel.canary) };
        if canary.iter().any(|&byte| byte != 0) {
            return Err(Rule::KernelMemory
                .broken("memory of the kernel's was written for an app that has named it")
                .into());
        }
        Ok(self.kernel.leaks())
    }

    /// Ends the machine, and fails if a driver has broken a rule or left something behind.
    ///
    /// # Panics
    /// With the verdict, or with the list of leaks.
    pub fn finish(self) {
        match self.leaks() {
            Ok(leaks) if leaks.is_empty() => {}
            Ok(leaks) => panic!("left behind:\n{}", leaks.join("\n")),
            Err(verdict) => panic!("{verdict}"),
        }
    }

    /// Address of a page of the kernel's own memory, which a driver can read and write: no app may name it.
    pub fn kernel_address(&self) -> usize {
        self.kernel.canary
    }

    /// Who may open the device that a path names; None: nobody has said so.
    pub fn dacl(&self, path: &str) -> Option<Dacl> {
        let objects = lock(&self.kernel.objects);
        let (device, _) = objects.resolve(path).ok()?;
        objects.devices.get(&device)?.dacl.clone()
    }

    /// How many threads are in a wait of the kernel: for an object, or for time to pass.
    pub fn waiting_threads(&self) -> usize {
        self.kernel.dispatcher.waiting()
    }

    /// Has a DPC stop where it completes a request, and returns once one has.
    pub fn stop_a_dpc(&self, until: impl FnOnce()) {
        self.kernel.dpcs.stop_in_completions(true);
        until();
        self.kernel.dpcs.wait_until_stopped(&self.kernel, false);
    }

    /// Waits until KeFlushQueuedDpcs runs, and lets the DPC go on that was [stopped](Self::stop_a_dpc).
    pub fn go_on_in_a_flush(&self) {
        self.kernel.dpcs.wait_until_stopped(&self.kernel, true);
        self.kernel.dpcs.stop_in_completions(false);
    }

    /// From now on the page at this address of a process is another device's memory, which that has mapped there.
    pub fn is_io_space(&self, page: usize) {
        lock(&self.kernel.page_lists.io_space).push(page);
    }

    /// Keeps DPCs in their queue until they are let go or flushed, so that what piles up meanwhile can be seen.
    pub fn withhold_dpcs(&self, withhold: bool) {
        self.kernel.dpcs.withhold(withhold);
    }

    /// Keeps interrupts from being delivered until they are let go, so that several come at once.
    pub fn withhold_interrupts(&self, withhold: bool) {
        self.kernel.interrupts.withhold(withhold);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kernel.end();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; the verdict has the reason.
            let _ = thread.join();
        }
    }
}

//! A kernel with one device, which transfers as long as it may.
use super::device_dma::DeviceDma;
use crate::{DmaLimits, Passive, Result, Status};
use core::num::NonZeroUsize;
use loom::{
    cell::UnsafeCell,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};
use std::{cell::RefCell, sync::Arc};

/// How many pieces of memory a model makes at most.
const PIECES: usize = 2;

/// The device, and the memory that was made for it.
pub(crate) struct Machine {
    /// Bus mastering. Locked while it transfers.
    is_master: Mutex<bool>,
    /// Is it there, for the device? What orders these accesses is what a model is about.
    memory: [UnsafeCell<bool>; PIECES],
    pub(crate) made: AtomicU32,
    pub(crate) freed: AtomicU32,
    pub(crate) closed: AtomicU32,
    /// How often the host has said that memory is leaked.
    pub(crate) leaked: AtomicU32,
}

std::thread_local! {
    /// All threads of a model are one to std.
    static MACHINE: RefCell<Option<Arc<Machine>>> = const { RefCell::new(None) };
}

impl Machine {
    /// The machine of the model that begins.
    #[expect(clippy::arc_with_non_send_sync, reason = "loom's threads are one to std")]
    pub(crate) fn start() -> Arc<Self> {
        let machine = Arc::new(Self {
            is_master: Mutex::new(true),
            memory: core::array::from_fn(|_| UnsafeCell::new(false)),
            made: AtomicU32::new(0),
            freed: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            leaked: AtomicU32::new(0),
        });
        MACHINE.with(|it| *it.borrow_mut() = Some(machine.clone()));
        machine
    }

    fn get() -> Arc<Self> {
        MACHINE.with(|it| it.borrow().clone()).expect("a model has started")
    }

    /// The device writes into a piece of memory, if it may transfer.
    pub(crate) fn transfer(&self, piece: usize) {
        let is_master = self.is_master.lock().unwrap();
        if *is_master {
            // SAFETY: what the model is about: nobody frees what the device has. loom finds out if somebody does.
            self.memory[piece].with(|is_there| assert!(unsafe { *is_there }, "the device has memory that was freed"));
        }
    }
}

/// The removal's steps before it drops the plugin's value, as `lifecycle` has them.
pub(crate) fn stop(link: &link::Link) {
    link.stop_dma(&mut Passive, true);
    link.empty_quarantine();
}

/// The removal's last step.
pub(crate) fn end(link: &link::Link) {
    link.end(&mut Passive);
}

/// As in kp-core.
#[derive(Clone, Copy)]
pub(crate) struct DmaId(NonZeroUsize);

impl DmaId {
    pub(crate) const fn new(id: usize) -> Option<Self> {
        match NonZeroUsize::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    pub(crate) const fn get(self) -> usize {
        self.0.get()
    }
}

/// As in kp-core. Its bus address is the number of the piece.
#[derive(Clone, Copy)]
pub(crate) struct CoherentMemory {
    pub(crate) bus: u64,
    pub(crate) len: NonZeroUsize,
}

#[derive(Clone, Copy)]
pub(crate) struct DeviceId;

pub(crate) fn dma_open(_: DeviceId, _: &DmaLimits) -> Result<DmaId> {
    DmaId::new(1).ok_or(Status::NO_DMA.into())
}

/// # Safety
/// As in kp-core, which the model looks after.
pub(crate) unsafe fn dma_close(_: DmaId) {
    Machine::get().closed.fetch_add(1, Relaxed);
}

pub(crate) fn dma_is_isolated(_: DmaId) -> bool {
    false
}

pub(crate) fn coherent_alloc(_: DmaId, len: NonZeroUsize) -> Option<CoherentMemory> {
    let machine = Machine::get();
    let piece = machine.made.fetch_add(1, Relaxed);
    // SAFETY: nobody has the piece yet. loom finds out if somebody does.
    machine.memory[piece as usize].with_mut(|is_there| unsafe { *is_there = true });
    Some(CoherentMemory { bus: piece.into(), len })
}

/// # Safety
/// As in kp-core, which the model looks after.
pub(crate) unsafe fn coherent_free(_: DmaId, memory: CoherentMemory) {
    let machine = Machine::get();
    machine.memory[memory.bus as usize].with_mut(|is_there| {
        // SAFETY: what the model is about: the device has done with it. loom finds out if it has not.
        assert!(unsafe { core::mem::replace(&mut *is_there, false) }, "memory is freed twice");
    });
    assert_eq!(machine.closed.load(Relaxed), 0, "memory is freed behind the end");
    machine.freed.fetch_add(1, Relaxed);
}

/// No message needs it.
pub(crate) fn bus_master(_: DeviceId, on: bool) -> bool {
    *Machine::get().is_master.lock().unwrap() = on;
    false
}

pub(crate) fn log(text: &str) {
    assert_eq!(text, "memory for transfers is leaked: ");
    Machine::get().leaked.fetch_add(1, Relaxed);
}

pub(crate) fn sleep_ns(_: u64) {
    loom::thread::yield_now();
}

/// A line of which the number counts for nothing.
pub(crate) struct LogLine<const LEN: usize>(String);

impl<const LEN: usize> LogLine<LEN> {
    pub(crate) fn new() -> Self {
        Self(String::new())
    }
    pub(crate) fn push(&mut self, text: &str) -> bool {
        self.0.push_str(text);
        true
    }
    pub(crate) fn push_number(&mut self, _: u32) -> bool {
        true
    }
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// A link that is counted by std: what is leaked keeps one.
pub(crate) mod link {
    use super::{Arc, DeviceDma, DeviceId, Mutex, Passive, Result, Status, bus_master};

    #[derive(Clone)]
    pub(crate) struct Link(Arc<Shared>);

    pub(crate) struct NoMasks;

    impl NoMasks {
        pub(crate) fn has_messages(&self, _: &mut Passive) -> bool {
            false
        }
    }

    struct Shared {
        device: Mutex<Option<DeviceId>>,
        dma: DeviceDma,
    }

    impl Link {
        pub(crate) fn new() -> Self {
            Self(Arc::new(Shared { device: Mutex::new(Some(DeviceId)), dma: DeviceDma::new() }))
        }
        pub(crate) fn cut(&self, _: &mut Passive) {
            *self.0.device.lock().unwrap() = None;
        }
        pub(crate) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(DeviceId) -> R) -> Result<R> {
            self.locked(cx, |_, id| Ok(f(id)))
        }
        pub(crate) fn locked<R>(
            &self,
            cx: &mut Passive,
            f: impl FnOnce(&mut Passive, DeviceId) -> Result<R>,
        ) -> Result<R> {
            let device = self.0.device.lock().unwrap();
            device.map_or(Err(Status::DEVICE_GONE.into()), |id| f(cx, id))
        }
        /// No interrupt is enabled in any model.
        pub(crate) fn masks(&self) -> NoMasks {
            NoMasks
        }
        pub(crate) fn enable(&self, cx: &mut Passive) -> Result<()> {
            self.with(cx, |id| {
                self.dma().set_enabled(true);
                bus_master(id, true);
            })
        }
        pub(crate) fn dma(&self) -> &DeviceDma {
            &self.0.dma
        }
    }
}

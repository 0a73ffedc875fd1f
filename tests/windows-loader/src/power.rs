//! What the bus and the power manager know of a device's power: the state that it is in, what its driver has said of that, and in which
//! order a sleep of the system is gone about.
use crate::{
    cpu,
    kernel::{Kernel, lock},
    nt::NtStatus,
    rule::{Broken, Rule},
};
use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

/// PowerDeviceD0.
pub(crate) const D0: i32 = 1;
/// PowerSystemWorking.
pub(crate) const S0: usize = 1;

/// The power of one device.
pub(crate) struct Power {
    /// It is not in D0.
    is_asleep: AtomicBool,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// What PoSetPowerState was last called with since START.
    told: Option<i32>,
    sleep: Option<Sleep>,
    /// The bus keeps the device asleep.
    is_held: bool,
    /// Requests for D0 that wait for that.
    held: u32,
}

/// The system's request to sleep, while it is under way.
#[derive(Clone, Copy, Default)]
struct Sleep {
    has_reached_the_bus: bool,
    /// How the request for the device's power ended that the driver has made.
    device: Option<NtStatus>,
}

impl Power {
    pub(crate) fn new() -> Self {
        Self { is_asleep: AtomicBool::new(false), state: Mutex::default(), news: Condvar::new() }
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.is_asleep.load(Acquire)
    }

    /// START is about to be sent: the bus gives power with it.
    pub(crate) fn begins(&self) {
        self.is_asleep.store(false, Release);
        lock(&self.state).told = None;
    }

    /// START is over, and was not refused.
    pub(crate) fn started(&self) -> Result<(), Broken> {
        self.was_told(D0, "after START")
    }

    /// PoSetPowerState.
    pub(crate) fn tell(&self, state: i32) -> Result<(), Broken> {
        if state != D0 && cpu::irql() >= cpu::level::DISPATCH {
            return Err(Rule::PowerStateLevel.broken(format!("PoSetPowerState to D{} at DISPATCH_LEVEL", state - 1)));
        }
        lock(&self.state).told = Some(state);
        Ok(())
    }

    fn was_told(&self, state: i32, when: &str) -> Result<(), Broken> {
        match lock(&self.state).told {
            Some(told) if told == state => Ok(()),
            told => {
                let told = told.map_or("nothing".to_owned(), |told| format!("D{}", told - 1));
                let what = format!("{when} the power manager was last told {told}, and not D{}", state - 1);
                Err(Rule::PowerStateTold.broken(what))
            }
        }
    }

    /// A request for another state than D0 has come to the bus: the device loses power now.
    pub(crate) fn falls_asleep(&self, state: i32) -> Result<(), Broken> {
        self.was_told(state, "before the device lost its power")?;
        self.is_asleep.store(true, Release);
        Ok(())
    }

    /// The bus gives power, as soon as nobody keeps it from that.
    pub(crate) fn wakes(&self, kernel: &Kernel) {
        let mut state = lock(&self.state);
        state.held += 1;
        self.news.notify_all();
        while state.is_held && !kernel.is_stopped() {
            let waited = self.news.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.held -= 1;
        self.is_asleep.store(false, Release);
    }

    /// Keeps the device from waking, or lets it.
    pub(crate) fn hold(&self, hold: bool) {
        lock(&self.state).is_held = hold;
        self.news.notify_all();
    }

    /// Waits until a request for D0 waits for the bus. False: the run has ended.
    pub(crate) fn wait_until_held(&self, kernel: &Kernel) -> bool {
        let mut state = lock(&self.state);
        while state.held == 0 && !kernel.is_stopped() {
            let waited = self.news.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !kernel.is_stopped()
    }

    /// The system's request to sleep is about to be sent.
    pub(crate) fn sleep_begins(&self) {
        lock(&self.state).sleep = Some(Sleep::default());
    }

    /// A request of the system has come to the bus.
    pub(crate) fn system_passes(&self) {
        if let Some(sleep) = &mut lock(&self.state).sleep {
            sleep.has_reached_the_bus = true;
        }
    }

    /// PoRequestPowerIrp of another state than D0.
    pub(crate) fn sleep_is_asked_for(&self) -> Result<(), Broken> {
        match lock(&self.state).sleep {
            Some(Sleep { has_reached_the_bus: false, .. }) => Err(Rule::SystemThenDevice
                .broken("PoRequestPowerIrp was called for the device before the system's request was passed down")),
            _ => Ok(()),
        }
    }

    /// The request for the device's power, made by its driver, is over.
    pub(crate) fn asked_is_over(&self, kernel: &Kernel, wanted: i32, status: NtStatus) -> Result<(), Broken> {
        if let Some(sleep) = &mut lock(&self.state).sleep {
            sleep.device = Some(status);
        }
        let was_planned = kernel.faults.are_planned();
        if wanted == D0 && status >= 0 && !was_planned {
            self.was_told(D0, "with the device's power back")
        } else {
            Ok(())
        }
    }

    /// The system's request to sleep is over.
    pub(crate) fn sleep_is_over(&self, status: NtStatus) -> Result<(), Broken> {
        match lock(&self.state).sleep.take().and_then(|sleep| sleep.device) {
            Some(device) if device != status => Err(Rule::DevicesStatus.broken(format!(
                "the system's request to sleep was completed with {status:#x}, and the device's with {device:#x}"
            ))),
            _ => Ok(()),
        }
    }
}

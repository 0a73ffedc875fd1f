//! Interrupts: what drivers have connected, and the controller, two threads that ask the devices and run the handlers. Of one device they run
//! as many at once as its spin locks let them.
use crate::{
    cpu,
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
    slot::Slot,
    spin,
};
use kp_sim::device::IrqKind;
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// How often a line may be found raised with nobody claiming it before that is a broken rule.
const UNCLAIMED: u32 = 100_000;
/// How often the controller looks at devices that nobody has touched: time passes for them too.
const TICK: Duration = Duration::from_millis(1);
/// How often a handler lets others go first that come at the same time.
const COURTESY: u32 = 1000;

#[derive(Default)]
pub(crate) struct Interrupts {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    connected: Vec<Arc<Connection>>,
    /// Something may have changed.
    is_rung: bool,
    /// Nothing is delivered.
    is_withheld: bool,
    /// One processor at a time has the line.
    has_line: bool,
    /// What comes now, on one processor each.
    coming: Vec<Coming>,
}

/// An interrupt on its way.
struct Coming {
    /// The connection's.
    object: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits for the lock.
    Before,
    /// Its handler runs, with the lock.
    Inside,
    /// The handler has returned; the lock is given back.
    Behind,
}

/// One call of IoConnectInterruptEx.
pub(crate) struct Connection {
    /// The interrupt object, or the table of messages.
    pub(crate) object: usize,
    pub(crate) slot: Arc<Slot>,
    pub(crate) signal: IrqKind,
    pub(crate) routine: usize,
    pub(crate) context: usize,
    /// One for each message, or for the line.
    pub(crate) interrupts: Vec<Interrupt>,
}

/// An interrupt object.
#[derive(Clone, Copy)]
pub(crate) struct Interrupt {
    pub(crate) object: usize,
    /// The spin lock that is held while its handler runs.
    pub(crate) lock: usize,
    /// The level at which its handler runs.
    pub(crate) irql: u8,
}

impl Interrupts {
    /// Has the controller look at the devices.
    pub(crate) fn ring(&self) {
        lock(&self.state).is_rung = true;
        self.news.notify_all();
    }

    /// Keeps what comes from being delivered.
    pub(crate) fn withhold(&self, withhold: bool) {
        lock(&self.state).is_withheld = withhold;
        self.ring();
    }

    pub(crate) fn connect(&self, kernel: &Kernel, connection: Connection) {
        let slot = connection.slot.clone();
        let (signal, count) = (connection.signal, connection.interrupts.len() as u16);
        lock(&self.state).connected.push(Arc::new(connection));
        slot.listen(kernel, Some(signal), count);
    }

    /// Disconnects, and waits until no handler runs. Ok(None): the run has ended.
    pub(crate) fn disconnect(&self, kernel: &Kernel, object: usize) -> Result<Option<Arc<Connection>>, Broken> {
        let mut state = lock(&self.state);
        let Some(at) = state.connected.iter().position(|connection| connection.object == object) else {
            return Err(Rule::Connected.broken(format!("IoDisconnectInterruptEx: {object:#x} is not connected")));
        };
        let connection = state.connected.remove(at);
        while state.coming.iter().any(|coming| coming.object == object) {
            if kernel.is_stopped() {
                return Ok(None);
            }
            state = self.news.wait_timeout(state, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
        }
        let others = state.connected.iter().any(|other| Arc::ptr_eq(&other.slot, &connection.slot));
        drop(state);
        if !others {
            connection.slot.listen(kernel, None, 0);
        }
        Ok(Some(connection))
    }

    /// Does a driver listen to a device?
    pub(crate) fn has(&self, slot: &Arc<Slot>) -> bool {
        lock(&self.state).connected.iter().any(|connection| Arc::ptr_eq(&connection.slot, slot))
    }

    /// The controller, on one of its threads.
    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut unclaimed = 0;
        while !kernel.is_stopped() {
            let (connected, is_rung) = {
                let mut state = lock(&self.state);
                if !state.is_rung {
                    state = self.news.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
                }
                (state.connected.clone(), std::mem::take(&mut state.is_rung))
            };
            if !is_rung {
                // Those too that nobody listens to: a driver may be asking memory for what its device does.
                let slots: Vec<Arc<Slot>> = lock(&kernel.slots).values().cloned().collect();
                slots.iter().for_each(|slot| slot.pass_time());
            }
            for connection in connected.iter().filter(|connection| connection.signal != IrqKind::Line) {
                while self.deliver_message(kernel, connection) {}
            }
            while let Some(claimed) = self.deliver_line(kernel) {
                unclaimed = if claimed { 0 } else { unclaimed + 1 };
                if unclaimed > UNCLAIMED {
                    kernel.stop(Rule::Claimed.broken("a line stays raised, and no handler claims it").into());
                }
            }
        }
    }

    /// Runs the handler of a message that a device has sent. False: there is none, or nobody listens any more.
    fn deliver_message(&self, kernel: &Kernel, connection: &Arc<Connection>) -> bool {
        let message = {
            let mut state = lock(&self.state);
            // Under the lock: a message that comes for the next connection of the same device is not to be taken for this one.
            if state.is_withheld || !state.has(connection) {
                return false;
            }
            let Some(message) = connection.slot.take_message() else { return false };
            state.coming.push(Coming { object: connection.object, stage: Stage::Before });
            message
        };
        self.handle(kernel, connection, Some(message)).is_some()
    }

    /// Has the handlers of a raised line run, one after the other, until one of them claims it: did one? None: it is not raised, or nobody
    /// listens.
    fn deliver_line(&self, kernel: &Kernel) -> Option<bool> {
        let slots: Vec<Arc<Slot>> = lock(&kernel.slots).values().cloned().collect();
        let chain: Vec<Arc<Connection>> = {
            let mut state = lock(&self.state);
            let connected = state.connected.iter().filter(|connection| connection.signal == IrqKind::Line);
            let chain: Vec<_> = connected.cloned().collect();
            let is_quiet = state.is_withheld || state.has_line || chain.is_empty();
            if is_quiet || !slots.iter().any(|slot| slot.line()) {
                return None;
            }
            state.has_line = true;
            chain
        };
        let mut claimed = Some(false);
        for connection in chain {
            {
                let mut state = lock(&self.state);
                if !state.has(&connection) {
                    continue;
                }
                state.coming.push(Coming { object: connection.object, stage: Stage::Before });
            }
            claimed = self.handle(kernel, &connection, None);
            if claimed != Some(false) {
                break;
            }
        }
        lock(&self.state).has_line = false;
        claimed
    }

    /// Runs a handler for what is coming: did it claim the interrupt? None: the run has ended.
    fn handle(&self, kernel: &Kernel, connection: &Connection, message: Option<u16>) -> Option<bool> {
        let number = usize::from(message.unwrap_or(0));
        let interrupt = connection.interrupts[number];
        let arguments = [interrupt.object, connection.context, number];
        let count = if message.is_some() { 3 } else { 2 };
        let before = cpu::set_irql(interrupt.irql);
        let answer = spin::acquire(kernel, interrupt.lock, Some(before)).and_then(|()| {
            let at_once = self.come_inside(connection.object);
            connection.slot.observed.handler_runs(at_once, interrupt.irql);
            cpu::call("an interrupt's handler", connection.routine, interrupt.irql, &arguments[..count])
        });
        self.step(connection.object, Stage::Inside, Stage::Behind);
        if answer.is_some() {
            cpu::checked(spin::release(interrupt.lock, Some(before)));
        }
        cpu::set_irql(before);
        let mut state = lock(&self.state);
        let over =
            state.coming.iter().position(|coming| coming.object == connection.object && coming.stage == Stage::Behind);
        if let Some(at) = over {
            state.coming.remove(at);
        }
        drop(state);
        self.news.notify_all();
        answer.map(|answer| answer as u8 != 0)
    }

    /// One of a connection's goes on.
    fn step(&self, object: usize, from: Stage, to: Stage) {
        let mut state = lock(&self.state);
        if let Some(own) = state.coming.iter_mut().find(|coming| coming.object == object && coming.stage == from) {
            own.stage = to;
        }
    }

    /// A handler has its lock. If more comes for the same connection, that may come first: how many handlers run at once?
    fn come_inside(&self, object: usize) -> usize {
        self.step(object, Stage::Before, Stage::Inside);
        let mut inside = 0;
        for _ in 0..COURTESY {
            let state = lock(&self.state);
            let at =
                |stage| state.coming.iter().filter(|coming| coming.object == object && coming.stage == stage).count();
            inside = at(Stage::Inside);
            let more = at(Stage::Before) > 0;
            drop(state);
            if !more {
                break;
            }
            thread::yield_now();
        }
        inside
    }

    pub(crate) fn changed(&self) {
        self.ring();
    }

    pub(crate) fn left(&self) -> Vec<String> {
        lock(&self.state)
            .connected
            .iter()
            .map(|connection| format!("the interrupt {:#x}, connected", connection.object))
            .collect()
    }
}

impl State {
    fn has(&self, connection: &Arc<Connection>) -> bool {
        self.connected.iter().any(|other| Arc::ptr_eq(other, connection))
    }
}

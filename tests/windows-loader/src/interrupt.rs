//! Interrupts: what drivers have connected, and the controller, a thread that asks the devices and runs the handlers.
use crate::{
    bus::Slot,
    cpu,
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
    spin,
};
use kp_sim::device::IrqKind;
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How often a line may be found raised with nobody claiming it before that is a broken rule.
const UNCLAIMED: u32 = 100_000;
/// How often the controller looks at devices that nobody has touched: time passes for them too.
const TICK: Duration = Duration::from_millis(1);

/// The level of lines, and of messages: all messages of a device have one.
pub(crate) const LINE_IRQL: u8 = 8;
pub(crate) const MESSAGE_IRQL: u8 = 9;

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
    /// The connection whose handler runs now, by its object.
    running: Option<usize>,
}

/// One call of IoConnectInterruptEx.
pub(crate) struct Connection {
    /// The interrupt object, or the table of messages.
    pub(crate) object: usize,
    pub(crate) slot: Arc<Slot>,
    pub(crate) signal: IrqKind,
    pub(crate) count: u16,
    pub(crate) routine: usize,
    pub(crate) context: usize,
    /// The spin lock that is held while a handler runs: one for all messages.
    pub(crate) lock: usize,
    /// The level at which handlers run.
    pub(crate) irql: u8,
}

impl Interrupts {
    /// Has the controller look at the devices.
    pub(crate) fn ring(&self) {
        lock(&self.state).is_rung = true;
        self.news.notify_all();
    }

    pub(crate) fn connect(&self, kernel: &Kernel, connection: Connection) {
        let slot = connection.slot.clone();
        let (signal, count) = (connection.signal, connection.count);
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
        while state.running == Some(object) {
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

    /// The controller.
    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut unclaimed = 0;
        while !kernel.is_stopped() {
            let connected = {
                let mut state = lock(&self.state);
                if !state.is_rung {
                    state = self.news.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
                }
                state.is_rung = false;
                state.connected.clone()
            };
            for connection in connected {
                while let Some(claimed) = self.deliver(kernel, &connection) {
                    unclaimed = if claimed { 0 } else { unclaimed + 1 };
                    if unclaimed > UNCLAIMED {
                        let what = "a line stays raised, and its handler claims nothing";
                        kernel.stop(Rule::Claimed.broken(what).into());
                    }
                }
            }
        }
    }

    /// Runs a handler, if there is something for it: did it claim the interrupt? None: there is nothing, or it is not connected any more.
    fn deliver(&self, kernel: &Kernel, connection: &Arc<Connection>) -> Option<bool> {
        let message = {
            let mut state = lock(&self.state);
            // Under the lock: a message that comes for the next connection of the same device is not to be taken for this one.
            if !state.connected.iter().any(|other| Arc::ptr_eq(other, connection)) {
                return None;
            }
            let message = match connection.signal {
                IrqKind::Line => connection.slot.line().then_some(None)?,
                IrqKind::Msi | IrqKind::MsiX => Some(connection.slot.take_message()?),
            };
            state.running = Some(connection.object);
            message
        };
        let arguments = [connection.object, connection.context, usize::from(message.unwrap_or(0))];
        let count = if message.is_some() { 3 } else { 2 };
        let before = cpu::set_irql(connection.irql);
        let answer = spin::acquire(kernel, connection.lock, Some(before)).and_then(|()| {
            cpu::call("an interrupt's handler", connection.routine, connection.irql, &arguments[..count])
        });
        if answer.is_some() {
            cpu::checked(spin::release(connection.lock, Some(before)));
        }
        cpu::set_irql(before);
        lock(&self.state).running = None;
        self.news.notify_all();
        answer.map(|answer| answer as u8 != 0)
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

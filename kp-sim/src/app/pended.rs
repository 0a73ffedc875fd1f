//! Waits as a port keeps them that pends requests rather than threads: started in the app's context, looked at at Dispatch, ended once.
#[path = "../../../kp-core/tests/test_plugin/mod.rs"]
mod test_plugin;

use super::*;
use crate::loaded::in_kernel;
use crate::{Sim, edu::Edu, level::DISPATCH, port};
use kp_abi::{
    TransportStatus,
    limits::MAX_WAITS,
    request::{ANY_VECTOR, IntWait, NO_TIMEOUT, kind},
};
use kp_core::{
    Dispatch,
    host::{PendingWait, WaitAnswer, dispatch},
};
use test_plugin::{TestPlugin, messages};

/// An app with the interrupt enabled, and the port that keeps its waits.
struct Port {
    app: Arc<App<TestPlugin>>,
    plugin: kp_user::Plugin,
}

/// One wait, and where its struct is.
struct Pended {
    wait: PendingWait,
    address: u64,
}

impl Port {
    fn new(sim: &Sim<TestPlugin>) -> Self {
        let app = Arc::new(sim.open());
        let plugin = kp_user::Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        Self { app, plugin }
    }

    fn raise(&self) {
        messages::Client(&self.plugin).raise(1).unwrap();
    }

    fn in_kernel<R>(&self, f: impl FnOnce(&mut Passive, &Session<TestPlugin>) -> R) -> R {
        let session = self.app.file.session();
        in_kernel(&self.app.file.loaded.machine, Some(&self.app.process), |cx| f(cx, session))
    }

    fn request(&self, address: u64) -> AppRequest<'_> {
        self.app.request(address, STATUS_AT)
    }

    /// Err: answered at once.
    fn start_of(&self, request: &IntWait) -> Result<Pended, Status> {
        let address = self.app.memory().place(request);
        match self.in_kernel(|cx, session| session.wait_start(cx, &mut self.request(address))).unwrap() {
            Some(wait) => Ok(Pended { wait, address }),
            None => Err(self.answer_at(address).0),
        }
    }

    fn start(&self, timeout_ns: u64, max: u32) -> Pended {
        self.start_of(&IntWait { timeout_ns, vector: ANY_VECTOR, max, ..IntWait::new() }).unwrap()
    }

    fn answer_at(&self, address: u64) -> (Status, u32) {
        let wait: IntWait = self.app.memory().value(address).unwrap();
        (Status(wait.head.status), wait.got)
    }

    /// At Dispatch, as a caller of wake may be. Err: still pending.
    fn step(&self, pended: Pended) -> Result<(Status, u32), Pended> {
        let Pended { wait, address } = pended;
        let stepped = self.at_dispatch(|cx, session| session.wait_step(cx, wait));
        match stepped {
            Ok(answer) => {
                assert_eq!(self.give(&answer, address), Ok(()));
                Ok(self.answer_at(address))
            }
            Err(wait) => Err(Pended { wait, address }),
        }
    }

    fn give(&self, answer: &WaitAnswer, address: u64) -> Result<(), Status> {
        self.at_dispatch(|_, _| answer.give(&mut self.request(address)))
    }

    fn at_dispatch<R>(&self, f: impl FnOnce(&mut Dispatch, &Session<TestPlugin>) -> R) -> R {
        self.in_kernel(|_, session| {
            context::current().interrupted(DISPATCH, || {
                // SAFETY: at Dispatch.
                unsafe { dispatch(|cx| f(cx, session)) }
            })
        })
    }

    fn waits(&self) -> u32 {
        self.app.query(0).unwrap().waits
    }

    /// How often the session's wait queue was woken: what tells the port to look.
    fn wakes(&self) -> u32 {
        let session = self.app.file.session();
        port::wakes(&self.app.file.loaded.machine, session.wait_queue())
    }
}

fn pending<T>(step: Result<T, Pended>) -> Pended {
    step.map(|_| ()).expect_err("the wait is over")
}

fn over(step: Result<(Status, u32), Pended>) -> (Status, u32) {
    step.unwrap_or_else(|_| panic!("the wait is still pending"))
}

#[test]
fn what_a_wait_took_and_gives_back_after_int_disable_is_lost() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let Pended { wait, .. } = port.start(NO_TIMEOUT, 16);
    port.raise();
    let Ok(answer) = port.at_dispatch(|cx, session| session.wait_step(cx, wait)) else {
        panic!("the wait is still pending")
    };
    let (_, counters) = port.app.int_disable().unwrap();
    assert_eq!((counters.delivered, counters.available, counters.lost), (1, 0, 0));
    port.at_dispatch(|cx, session| session.wait_put_back(cx, answer));
    let (_, counters) = port.app.int_count(ANY_VECTOR).unwrap();
    assert_eq!((counters.notified, counters.delivered, counters.available, counters.lost), (1, 0, 0, 1));
}

#[test]
fn a_notification_wakes_the_port_and_its_next_step_takes_it() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let wait = pending(port.step(port.start(NO_TIMEOUT, 16)));
    assert_eq!(port.waits(), 1);
    let woken = port.wakes();
    port.raise();
    assert!(port.wakes() > woken);
    assert_eq!(over(port.step(wait)), (Status::OK, 1));
    assert_eq!(port.waits(), 0);

    // One that was there before the wait is found by the first step.
    port.raise();
    assert_eq!(over(port.step(port.start(0, 16))), (Status::OK, 1));
}

#[test]
fn two_waits_share_one_notification_and_one_of_them_stays() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let (first, second) = (port.start(NO_TIMEOUT, 1), port.start(NO_TIMEOUT, 1));
    port.raise();
    assert_eq!(over(port.step(first)), (Status::OK, 1));
    let second = pending(port.step(second));
    assert_eq!(port.waits(), 1);
    port.raise();
    assert_eq!(over(port.step(second)), (Status::OK, 1));
    assert_eq!(port.waits(), 0);
    let (_, counters) = port.app.int_count(ANY_VECTOR).unwrap();
    assert_eq!((counters.notified, counters.delivered, counters.available), (2, 2, 0));
}

#[test]
fn a_cancelled_wait_takes_nothing() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let Pended { wait, .. } = port.start(NO_TIMEOUT, 16);
    port.raise();
    let answer = port.at_dispatch(|_, session| session.wait_end(wait, Status::INTERRUPTED));
    assert_eq!(answer.status(), Status::INTERRUPTED);
    assert_eq!(port.waits(), 0);
    assert_eq!(over(port.step(port.start(0, 16))), (Status::OK, 1), "the notification is still there");
}

#[test]
fn an_answer_that_nobody_can_have_is_put_back() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let Pended { wait, address } = port.start(NO_TIMEOUT, 16);
    port.raise();
    port.app.memory().protect(address, PAGE, Access::ReadOnly);
    let answer = port.at_dispatch(|cx, session| session.wait_step(cx, wait)).unwrap();
    assert_eq!(port.give(&answer, address), Err(TransportStatus::FAULT.status()));
    let woken = port.wakes();
    port.at_dispatch(|cx, session| session.wait_put_back(cx, answer));
    assert!(port.wakes() > woken, "another wait may take it");
    assert_eq!(port.waits(), 0);
    let (_, counters) = port.app.int_count(ANY_VECTOR).unwrap();
    assert_eq!((counters.delivered, counters.available, counters.lost), (0, 1, 0));
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let wait = pending(port.step(port.start(5_000_000, 1)));
    let left = wait.wait.deadline_ns().unwrap() - sim.now_ns();
    assert!(left > 4_000_000 && left <= 5_000_000, "{left} ns are left");
    sim.advance(left);
    assert_eq!(over(port.step(wait)).0, Status::TIMEOUT);
    assert_eq!(port.waits(), 0);

    let poll = port.start(0, 1);
    assert!(poll.wait.is_poll());
    assert_eq!(over(port.step(poll)).0, Status::TIMEOUT);
    let endless = port.start(NO_TIMEOUT, 1);
    assert_eq!((endless.wait.is_poll(), endless.wait.deadline_ns()), (false, None));
    sim.advance(1 << 40);
    let endless = pending(port.step(endless));
    // A notification beats the clock.
    let late = port.start(1, 1);
    sim.advance(1000);
    port.raise();
    assert_eq!(over(port.step(late)), (Status::OK, 1));
    let _ = port.in_kernel(|_, session| session.wait_end(endless.wait, Status::INTERRUPTED));
    assert_eq!(port.waits(), 0);
}

/// Whatever ends it wakes the port, and the step says why.
#[test]
fn a_pending_wait_is_ended_by_disable_close_removal_storm_and_panic() {
    type End = fn(&Sim<TestPlugin>, &Port);
    let ends: [(Status, End); 6] = [
        (Status::INT_DISABLED, |_, port| _ = port.app.int_disable().unwrap()),
        (Status::CLOSED, |_, port| port.app.close().unwrap()),
        (Status::DEVICE_GONE, |sim, _| sim.remove(true)),
        (Status::DEVICE_GONE, |sim, _| sim.remove(false)),
        (Status::INTERRUPT_STORM, |sim, port| {
            messages::Client(&port.plugin).stick().unwrap();
            port.raise();
            assert_eq!(sim.storms(), 1);
        }),
        // The enabling it was for has ended, whichever session has enabled since.
        (Status::INT_DISABLED, |_, port| {
            port.app.int_disable().unwrap();
            port.app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
            port.raise();
        }),
    ];
    for (status, end) in ends {
        let sim = Sim::<TestPlugin>::builder().device(Edu::new()).kinds(kind::LINE).build().unwrap();
        let port = Port::new(&sim);
        let wait = pending(port.step(port.start(NO_TIMEOUT, 1)));
        let woken = port.wakes();
        end(&sim, &port);
        assert!(port.wakes() > woken, "the port was not woken by {status}");
        assert_eq!(over(port.step(wait)).0, status);
        assert_eq!(port.waits(), 0, "after {status}");
    }
}

#[test]
fn a_panic_ends_a_pending_wait_with_poisoned() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let wait = pending(port.step(port.start(NO_TIMEOUT, 1)));
    assert_eq!(messages::Client(&port.plugin).panic(), Err(Status::POISONED.into()));
    assert_eq!(over(port.step(wait)).0, Status::POISONED);
    assert_eq!(port.waits(), 0);
}

#[test]
fn what_cannot_wait_is_refused_at_once_and_not_counted() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let request = |max| IntWait { timeout_ns: NO_TIMEOUT, vector: ANY_VECTOR, max, ..IntWait::new() };
    let refused = |port: &Port, max| port.start_of(&request(max)).err();
    assert_eq!(refused(&port, 0), Some(Status::BAD_FIELD));
    assert_eq!(port.waits(), 0);
    let mut waits: Vec<Pended> = (0..MAX_WAITS).map(|_| port.start(NO_TIMEOUT, 1)).collect();
    assert_eq!(refused(&port, 1), Some(Status::TOO_MANY_WAITS));
    assert_eq!(port.waits(), MAX_WAITS);
    let last = waits.pop().unwrap();
    let _ = port.in_kernel(|_, session| session.wait_end(last.wait, Status::INTERRUPTED));
    waits.push(port.start(NO_TIMEOUT, 1));
    port.app.int_disable().unwrap();
    for wait in waits {
        assert_eq!(over(port.step(wait)).0, Status::INT_DISABLED);
    }
    assert_eq!(port.waits(), 0);
    assert_eq!(refused(&port, 1), Some(Status::NOT_ENABLED));
    port.app.close().unwrap();
    assert_eq!(refused(&port, 1), Some(Status::CLOSED));
    assert_eq!(port.waits(), 0);
}

#[test]
fn a_vector_that_is_not_there_is_the_first_steps_answer() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let port = Port::new(&sim);
    let request = IntWait { timeout_ns: NO_TIMEOUT, vector: 7, max: 1, ..IntWait::new() };
    assert_eq!(over(port.step(port.start_of(&request).unwrap())).0, Status::BAD_VECTOR);
    assert_eq!(port.waits(), 0);
}

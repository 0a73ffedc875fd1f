//! The models: few threads, few steps, every order.
use crate::{
    Passive,
    host::{
        Deadline, KernelWaitQueue, become_task,
        gate::{Gate, Refused},
        has_panicked, is_killed,
        pending::Pending,
        robust_mutex::RobustMutex,
    },
};
use kp_abi::Status;
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::*},
    },
    thread,
};

/// Every order in which no thread is stopped more than `STOPS` times: with locks inside, all orders of three threads are too many.
pub(crate) fn model(f: impl Fn() + Sync + Send + 'static) {
    const STOPS: usize = 3;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(STOPS);
    builder.check(f);
}

/// A session as far as its gate goes: what calls read, and a tear-down takes.
struct Guarded {
    gate: Gate,
    drained: KernelWaitQueue,
    torn: AtomicU32,
    value: UnsafeCell<Option<u32>>,
}

/// Looks at the value, or is refused.
fn call(session: &Guarded) {
    if let Ok(_pass) = session.gate.enter(&session.drained) {
        // SAFETY: what the model is about: inside the gate nobody writes. loom finds out if somebody does.
        session.value.with(|value| assert_eq!(unsafe { *value }, Some(7)));
    }
}

fn open_session() -> Arc<Guarded> {
    let gate = Gate::new();
    gate.open();
    Arc::new(Guarded {
        gate,
        drained: KernelWaitQueue::new(&mut Passive).unwrap(),
        torn: AtomicU32::new(0),
        value: UnsafeCell::new(Some(7)),
    })
}

/// Shuts, drains, and takes the value.
fn tear_down(session: &Guarded) {
    session.gate.shut();
    assert!(session.gate.drain(&session.drained, Deadline::NEVER));
    // SAFETY: what the model is about: the gate is drained.
    session.value.with_mut(|value| unsafe { *value = None });
    session.torn.fetch_add(1, Relaxed);
}

#[test]
fn no_call_is_inside_a_gate_that_is_drained_and_the_drain_ends() {
    model(|| {
        let session = open_session();
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let session = session.clone();
                thread::spawn(move || call(&session))
            })
            .collect();
        tear_down(&session);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(session.torn.load(Relaxed), 1);
        assert_eq!(session.gate.inside(), 0);
    });
}

#[test]
fn no_call_is_inside_a_gate_that_is_paused_and_one_that_was_kept_out_knows_why() {
    model(|| {
        let session = open_session();
        let caller = {
            let session = session.clone();
            thread::spawn(move || match session.gate.enter(&session.drained) {
                // SAFETY: what the model is about: inside the gate nobody writes. loom finds out if somebody does.
                Ok(_pass) => session.value.with(|value| assert!(unsafe { *value }.is_some())),
                Err(refused) => assert!(matches!(refused, Refused::Paused), "it is not shut for good"),
            })
        };
        session.gate.pause();
        assert!(session.gate.drain(&session.drained, Deadline::NEVER));
        // SAFETY: what the model is about: nobody is inside.
        session.value.with_mut(|value| unsafe { *value = Some(8) });
        session.gate.resume();
        caller.join().unwrap();
        assert!(session.gate.enter(&session.drained).is_ok(), "the pause is over");
        session.gate.shut();
        session.gate.resume();
        assert!(matches!(session.gate.enter(&session.drained), Err(Refused::Shut)), "no pause outlives a session");
    });
}

#[test]
fn a_gate_opened_late_shows_what_was_written_before_it() {
    model(|| {
        let session = Arc::new(Guarded {
            gate: Gate::new(),
            drained: KernelWaitQueue::new(&mut Passive).unwrap(),
            torn: AtomicU32::new(0),
            value: UnsafeCell::new(None),
        });
        let caller = {
            let session = session.clone();
            thread::spawn(move || call(&session))
        };
        // SAFETY: what the model is about: the gate is still shut.
        session.value.with_mut(|value| unsafe { *value = Some(7) });
        session.gate.open();
        caller.join().unwrap();
    });
}

#[test]
fn turns_exclude_each_other_and_everybody_gets_one() {
    model(|| {
        let turn = Arc::new((RobustMutex::new(&mut Passive).unwrap(), UnsafeCell::new(0)));
        let take = |turn: &(RobustMutex, UnsafeCell<u32>)| {
            // SAFETY: what the model is about: one at a time. loom finds out if two are.
            turn.0.with(&mut Passive, |_| turn.1.with_mut(|count| unsafe { *count += 1 })).unwrap();
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let turn = turn.clone();
                thread::spawn(move || take(&turn))
            })
            .collect();
        take(&turn);
        others.into_iter().for_each(|other| other.join().unwrap());
        // SAFETY: nobody else is there any more.
        turn.1.with(|count| assert_eq!(unsafe { *count }, 3));
    });
}

/// As a reset takes the interrupt's lock: nobody waits for the one who tries, but for as long as it has it.
#[test]
fn who_only_tries_excludes_the_others_and_wakes_who_waits() {
    model(|| {
        let turn = Arc::new((RobustMutex::new(&mut Passive).unwrap(), UnsafeCell::new(0)));
        // SAFETY: what the model is about: one at a time. loom finds out if two are.
        let count = |cell: &UnsafeCell<u32>| cell.with_mut(|count| unsafe { *count += 1 });
        let waiter = {
            let turn = turn.clone();
            thread::spawn(move || turn.0.with(&mut Passive, |_| count(&turn.1)).unwrap())
        };
        let tried = turn.0.try_with(&mut Passive, |_| {
            assert!(turn.0.try_with(&mut Passive, |_| ()).is_none(), "it is taken, by the same thread");
            count(&turn.1);
        });
        waiter.join().unwrap();
        // SAFETY: nobody else is there any more.
        turn.1.with(|count| assert_eq!(unsafe { *count }, 1 + u32::from(tried.is_some())));
    });
}

#[test]
fn a_turn_is_not_waited_for_by_whom_is_killed_and_passes_over_it() {
    model(|| {
        let turn = Arc::new((RobustMutex::new(&mut Passive).unwrap(), UnsafeCell::new(0)));
        // SAFETY: what the model is about: one at a time. loom finds out if two are.
        let count = |cell: &UnsafeCell<u32>| cell.with_mut(|count| unsafe { *count += 1 });
        let killed = {
            let turn = turn.clone();
            thread::spawn(move || {
                is_killed();
                let taken = turn.0.with_killable(&mut Passive, |_| count(&turn.1));
                taken.inspect_err(|status| assert_eq!(*status, Status::INTERRUPTED)).is_ok()
            })
        };
        let other = {
            let turn = turn.clone();
            thread::spawn(move || turn.0.with_killable(&mut Passive, |_| count(&turn.1)).unwrap())
        };
        turn.0.with(&mut Passive, |_| count(&turn.1)).unwrap();
        let taken = killed.join().unwrap();
        other.join().unwrap();
        // SAFETY: nobody else is there any more.
        turn.1.with(|count| assert_eq!(unsafe { *count }, 2 + u32::from(taken)));
    });
}

#[test]
fn a_turn_that_its_holder_panics_in_is_given_up() {
    model(|| {
        has_panicked(0);
        let turn = RobustMutex::new(&mut Passive).unwrap();
        become_task(2);
        let inside = turn.with(&mut Passive, |_| {
            has_panicked(2);
            become_task(3);
            turn.with(&mut Passive, |_| ()).is_err()
        });
        assert!(inside.unwrap());
    });
}

/// A task that has panicked still goes through its exit, which closes its sessions: it takes turns, and ends them.
#[test]
fn a_turn_of_a_task_that_panicked_before_is_waited_for() {
    model(|| {
        has_panicked(2);
        let turn = Arc::new((RobustMutex::new(&mut Passive).unwrap(), UnsafeCell::new(0)));
        let take = |turn: &(RobustMutex, UnsafeCell<u32>), task| {
            become_task(task);
            // SAFETY: what the model is about: one at a time. loom finds out if two are.
            let taken = turn.0.with(&mut Passive, |_| turn.1.with_mut(|count| unsafe { *count += 1 }));
            assert!(taken.is_ok(), "task {task} gave a turn up whose holder lives");
        };
        let exiting = {
            let turn = turn.clone();
            thread::spawn(move || take(&turn, 2))
        };
        take(&turn, 3);
        exiting.join().unwrap();
        // SAFETY: nobody else is there any more.
        turn.1.with(|count| assert_eq!(unsafe { *count }, 2));
    });
}

/// An interrupt's vector, with a kernel that starts every queued DPC at once on another processor.
struct Vector {
    pending: Pending,
    /// What the runs were given, together. Only a run touches it.
    counted: UnsafeCell<u32>,
    /// DPCs that have returned.
    runs: AtomicU32,
}

fn queue(vector: &Arc<Vector>) {
    let vector = vector.clone();
    thread::spawn(move || dpc(&vector));
}

fn dpc(vector: &Arc<Vector>) {
    let run = vector.pending.begin().expect("no run is for nothing");
    assert!(run.deferred() > 0 || run.storm());
    // SAFETY: what the model is about: runs never overlap. loom finds out if two do.
    vector.counted.with_mut(|counted| unsafe { *counted += run.deferred() });
    vector.runs.fetch_add(1, Release);
    if vector.pending.done(run) {
        queue(vector);
    }
}

#[test]
fn every_deferral_is_in_one_run_and_runs_do_not_overlap() {
    model(|| {
        let vector = Arc::new(Vector { pending: Pending::new(), counted: UnsafeCell::new(0), runs: AtomicU32::new(0) });
        for _ in 0..2 {
            if vector.pending.defer() {
                queue(&vector);
            }
        }
        while vector.pending.begin().is_some() {
            thread::yield_now();
        }
        // SAFETY: nothing is pending, so no run is between its count and its end.
        vector.counted.with(|counted| assert_eq!(unsafe { *counted }, 2));
        assert!((1..=2).contains(&vector.runs.load(Acquire)));
    });
}

#[test]
fn a_storm_is_seen_beside_a_deferral() {
    model(|| {
        let pending = Arc::new(Pending::new());
        let other = {
            let pending = pending.clone();
            thread::spawn(move || u32::from(pending.storm()))
        };
        let queued = u32::from(pending.defer()) + other.join().unwrap();
        assert_eq!(queued, 1, "the DPC is queued once");
        let run = pending.begin().unwrap();
        assert!(run.storm());
        assert_eq!(run.deferred(), 1);
        assert!(!run.is_below(1000), "a storm is no ordinary run, however little was deferred");
        assert!(!pending.done(run));
        assert_eq!(pending.drain(), 0);
    });
}

#[test]
fn a_run_of_deferrals_alone_tells_of_no_storm_and_is_ordinary_up_to_a_crowd() {
    model(|| {
        let pending = Pending::new();
        let queued: u32 = (0..3).map(|_| u32::from(pending.defer())).sum();
        let run = pending.begin().unwrap();
        assert_eq!((queued, run.deferred(), run.storm()), (1, 3, false));
        assert_eq!([2, 3, 4].map(|crowd| run.is_below(crowd)), [false, false, true]);
        assert!(!pending.done(run));
    });
}

#[test]
fn what_comes_while_the_last_run_runs_is_left_and_the_storm_is_no_deferral() {
    model(|| {
        let pending = Pending::new();
        assert!(pending.defer());
        let run = pending.begin().unwrap();
        let left = u32::from(pending.defer()) + u32::from(pending.storm());
        assert_eq!(left, 0, "a run is on its way: it is queued by that, at its end");
        assert!(pending.done(run));
        assert_eq!(pending.drain(), 1);
        assert!(pending.begin().is_none(), "nothing is left");
    });
}

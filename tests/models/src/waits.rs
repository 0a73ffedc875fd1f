//! A plugin's wait queue: one waits, one wakes, one ends the session. And a run of a timer or a work item, which a pause holds back.
use crate::{
    Passive,
    host::{Deadline, EventCount, Timeout, runs::Runs, waker::Waker},
    models::model,
};
use kp_abi::Status;
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::*},
    },
    thread,
};

struct Session {
    waker: Waker,
    queue: EventCount,
    /// What is waited for. Nothing orders it but the queue.
    done: AtomicU32,
}

fn session() -> Arc<Session> {
    Arc::new(Session {
        waker: Waker::new(&mut Passive).unwrap(),
        queue: EventCount::new(&mut Passive).unwrap(),
        done: AtomicU32::new(0),
    })
}

/// As `WaitQueue::wait_until` without a limit: a wake-up that is missed is a deadlock to loom.
fn wait_until_done(session: &Session) -> Result<(), Status> {
    loop {
        let seen = session.queue.seen();
        if session.done.load(Relaxed) != 0 {
            return Ok(());
        }
        let status = session.waker.wait_on(&mut Passive, &session.queue, seen, Timeout::NEVER);
        if status != Status::OK {
            return Err(status);
        }
    }
}

#[test]
fn a_waiter_misses_no_wake_up() {
    model(|| {
        let session = session();
        let waiter = {
            let session = session.clone();
            thread::spawn(move || assert_eq!(wait_until_done(&session), Ok(())))
        };
        session.queue.wake();
        session.done.store(1, Relaxed);
        session.queue.wake();
        waiter.join().unwrap();
    });
}

#[test]
fn a_waiter_misses_no_end_of_its_session() {
    model(|| {
        let session = session();
        let waiter = {
            let session = session.clone();
            thread::spawn(move || assert_eq!(wait_until_done(&session), Err(Status::CLOSED)))
        };
        let other = {
            let session = session.clone();
            thread::spawn(move || session.queue.wake())
        };
        session.waker.cancel_for_close(&mut Passive);
        waiter.join().unwrap();
        other.join().unwrap();
    });
}

/// One timer or work item, as far as a pause goes.
struct Item {
    runs: Runs,
    /// Under the item's lock: it was due, and not let in.
    is_held_back: Mutex<bool>,
    /// How often it has run. Written in runs, and by who has drained them.
    ran: UnsafeCell<u32>,
}

impl Item {
    fn is_due(&self) {
        let mut is_held_back = self.is_held_back.lock().unwrap();
        let run = self.runs.begin();
        *is_held_back = run.is_none();
        drop(is_held_back);
        if run.is_some() {
            // SAFETY: what the model is about: a run overlaps neither another of its item nor a pause. loom finds out if it does.
            self.ran.with_mut(|ran| unsafe { *ran += 1 });
        }
    }
}

#[test]
fn what_a_pause_holds_back_runs_after_it_and_nothing_runs_in_it() {
    model(|| {
        let (runs, is_held_back) = (Runs::new(&mut Passive).unwrap(), Mutex::new(false));
        let item = Arc::new(Item { runs, is_held_back, ran: UnsafeCell::new(0) });
        item.runs.open(std::ptr::null());
        let due = {
            let item = item.clone();
            thread::spawn(move || item.is_due())
        };
        assert!(item.runs.pause(Deadline::NEVER));
        // SAFETY: what the model is about: nothing runs.
        item.ran.with(|ran| assert!(unsafe { *ran } <= 1));
        item.runs.resume();
        if std::mem::take(&mut *item.is_held_back.lock().unwrap()) {
            item.is_due();
        }
        due.join().unwrap();
        assert!(item.runs.end(&mut Passive));
        // SAFETY: what the model is about: nothing runs, or will.
        item.ran.with(|ran| assert_eq!(unsafe { *ran }, 1, "it was due once"));
        assert!(item.runs.begin().is_none());
    });
}

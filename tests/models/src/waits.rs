//! A plugin's wait queue: one waits, one wakes, one ends the session.
use crate::{
    Passive,
    host::{EventCount, waker::Waker},
    models::model,
};
use kp_abi::Status;
use loom::{
    sync::{
        Arc,
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
        session.waker.wait_on(&mut Passive, &session.queue, seen, u64::MAX).map_err(|error| error.status)?;
    }
}

#[test]
fn a_waiter_misses_no_wake_up() {
    model(|| {
        let session = session();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let session = session.clone();
                thread::spawn(move || assert_eq!(wait_until_done(&session), Ok(())))
            })
            .collect();
        session.queue.wake();
        session.done.store(1, Relaxed);
        session.queue.wake();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
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

//! Interrupts: enabling, waits, the handler thread, and what happens at the end.
use crate::{fake::Fake, interfaces::two::edu};
use kp_abi::Status;
use kp_user::{Enable, Kind, Plugin};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    time::Duration,
};

fn open() -> (Arc<Fake>, Plugin) {
    let fake = Fake::new(Some(edu::INTERFACE)).shared();
    let plugin = Plugin::over(fake.clone(), edu::INTERFACE, &[]).unwrap();
    (fake, plugin)
}

#[test]
fn enabling_asks_for_kinds_and_vectors() {
    let cases = [
        (Enable::any(), "INT_ENABLE 7 1 1 ", Kind::MsiX),
        (Enable::line(), "INT_ENABLE 1 1 1 ", Kind::Line),
        (Enable::msi().vectors(2..=4), "INT_ENABLE 2 2 4 ", Kind::Msi),
        (Enable::msix(3..=8).data(b"x"), "INT_ENABLE 4 3 8 x", Kind::MsiX),
    ];
    for (enable, request, kind) in cases {
        let (fake, plugin) = open();
        let interrupts = plugin.interrupts(enable).unwrap();
        assert_eq!(fake.log()[1], request);
        assert_eq!((interrupts.kind(), interrupts.generation()), (kind, 5));
    }
}

#[test]
fn a_wait_asks_for_what_it_is_told() {
    let (fake, plugin) = open();
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    fake.notify(1);
    assert_eq!(interrupts.wait(Duration::MAX).unwrap().got, 1);
    assert_eq!(interrupts.try_take(), Err(Status::TIMEOUT.into()));
    fake.notify(2);
    assert_eq!(interrupts.wait_many(3, 16, Duration::from_micros(5)).unwrap().got, 2);
    fake.notify(1);
    interrupts.wait_vector(4, Duration::MAX).unwrap();
    interrupts.counters().unwrap();
    interrupts.counters_of(4).unwrap();
    let any = u32::MAX;
    assert_eq!(
        fake.log()[2..],
        [
            format!("INT_WAIT {} {any} 1", u64::MAX),
            format!("INT_WAIT 0 {any} 1"),
            "INT_WAIT 5000 3 16".into(),
            format!("INT_WAIT {} 4 1", u64::MAX),
            format!("INT_COUNT {any}"),
            "INT_COUNT 4".into(),
        ]
    );
}

#[test]
fn dropping_disables_once() {
    let (fake, plugin) = open();
    drop(plugin.interrupts(Enable::any()).unwrap());
    assert_eq!(fake.log()[2..], ["INT_COUNT 4294967295", "INT_DISABLE"]);
    assert_eq!(plugin.interrupts(Enable::any()).unwrap().disable().unwrap().received, 3);
    assert_eq!(fake.log()[4..], ["INT_ENABLE 7 1 1 ", "INT_DISABLE"]);
}

/// It is enabled still then: dropping it asks until a call has left, or a handler's thread would be waited for without end.
#[test]
fn disabling_asks_again_while_too_many_calls_are_inside() {
    let disables = |fake: &Fake| fake.log().iter().filter(|line| *line == "INT_DISABLE").count();
    let (fake, plugin) = open();
    fake.refuse_disabling(3);
    drop(plugin.interrupts(Enable::any()).unwrap().on_notify(|_| {}).unwrap());
    assert_eq!(disables(&fake), 4);
    fake.refuse_disabling(2);
    assert_eq!(plugin.interrupts(Enable::any()).unwrap().disable().unwrap().received, 3);
    assert_eq!(disables(&fake), 7);
}

/// One that has ended by itself, and has a successor.
#[test]
fn dropping_an_enabling_that_is_over_disables_no_other() {
    let (fake, plugin) = open();
    let old = plugin.interrupts(Enable::any()).unwrap();
    let new = plugin.interrupts(Enable::any()).unwrap();
    drop(old);
    assert!(!fake.log().contains(&"INT_DISABLE".to_owned()));
    let thread = new.on_notify(|_| {}).unwrap();
    fake.end(Status::INT_DISABLED);
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    let newest = plugin.interrupts(Enable::any()).unwrap();
    drop(thread);
    assert!(!fake.log().contains(&"INT_DISABLE".to_owned()));
    drop(newest);
    assert_eq!(fake.log().last().unwrap(), "INT_DISABLE");
}

#[test]
fn the_handler_gets_each_notification() {
    let (fake, plugin) = open();
    let (sender, receiver) = mpsc::channel();
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    let thread = interrupts.on_notify(move |notification| sender.send(notification.got).unwrap()).unwrap();
    for count in [1, 3, 2] {
        fake.notify(count);
        assert_eq!(receiver.recv(), Ok(count));
    }
    assert!(!thread.is_finished());
    assert_eq!(thread.interrupts().counters().unwrap().received, 2);
    assert_eq!(thread.disable().unwrap().received, 3);
    assert!(receiver.recv().is_err(), "the handler is dropped with its thread");
    assert_eq!(fake.log().iter().filter(|line| *line == "INT_DISABLE").count(), 1);
}

#[test]
fn the_thread_ends_with_what_ended_the_wait() {
    for status in [Status::INT_DISABLED, Status::CLOSED, Status::DEVICE_GONE, Status::INTERRUPT_STORM] {
        let (fake, plugin) = open();
        let thread = plugin.interrupts(Enable::any()).unwrap().on_notify(|_| {}).unwrap();
        fake.end(status);
        assert_eq!(thread.join(), status);
    }
}

#[test]
fn dropping_the_plugin_ends_the_thread() {
    let (fake, plugin) = open();
    let thread = plugin.interrupts(Enable::any()).unwrap().on_notify(|_| {}).unwrap();
    drop(plugin);
    assert_eq!(thread.join(), Status::CLOSED);
    assert!(Arc::into_inner(fake).is_some(), "the thread has let go of the handle");
}

#[test]
fn dropping_the_thread_disables_and_waits_for_the_handler() {
    let (fake, plugin) = open();
    let (sender, receiver) = mpsc::channel();
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    let thread = interrupts.on_notify(move |notification| sender.send(notification.got).unwrap()).unwrap();
    fake.notify(4);
    assert_eq!(receiver.recv(), Ok(4));
    drop(thread);
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the thread is gone");
    assert_eq!(fake.log().iter().filter(|line| *line == "INT_DISABLE").count(), 1);
    drop(plugin);
    assert_eq!(fake.log().last().unwrap(), "CLOSE");
}

#[test]
fn a_panic_of_the_handler_comes_out_of_join() {
    let (fake, plugin) = open();
    let thread = plugin.interrupts(Enable::any()).unwrap().on_notify(|_| panic::resume_unwind(Box::new(42))).unwrap();
    fake.notify(1);
    let payload = panic::catch_unwind(AssertUnwindSafe(|| thread.join())).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&42));
    assert_eq!(fake.log().last().unwrap(), "INT_DISABLE", "the interrupt is off all the same");
}

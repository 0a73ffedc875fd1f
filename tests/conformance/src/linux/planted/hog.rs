//! An interrupt's processor that has no time for anybody: a real-time thread has it, or it hears no interrupts.
use super::{Loaded, NAME, counters, one_interrupt, open};
use crate::{
    interrupts::until,
    linux::{stay_on, stress::address},
    registry::guest_test,
};
use kp_abi::{Status, request::kind};
use kp_user::Plugin;
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};
use trouble_interface::trouble;

/// How long the thread runs, unless it is told to end.
const RUN: Duration = Duration::from_secs(10);
/// Its priority: that of the kernel's own interrupt threads.
const PRIORITY: i32 = 50;
/// The interrupt's processor. The rest of the program is on the other one.
const BUSY: usize = 0;
const FREE: usize = 1;

/// Disabling, closing and unbinding beside a thread that never lets go of the interrupt's processor.
#[guest_test("planted hog", stage = "planted")]
fn disabling_waits_for_a_processor_that_has_no_time() {
    fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1").expect("real-time threads may have all of a processor");
    let loaded = Loaded::new();
    stay_on(FREE);
    for what in ["INT_DISABLE", "CLOSE", "an exit's close", "an unbind"] {
        let plugin = open(&[]);
        let address = address(&plugin);
        enable(&plugin);
        beside_a_hog(what, || match what {
            "INT_DISABLE" => drop(plugin.connection().int_disable().expect("the interrupt can be disabled")),
            "CLOSE" => assert_eq!(plugin.close(), Ok(())),
            "an unbind" => {
                unbind(&address);
                assert_eq!(trouble::Client(&plugin).ping(), Err(Status::DEVICE_GONE.into()));
            }
            _ => drop(plugin),
        });
    }
    drop(loaded);
}

/// The device interrupts, and before the processor has heard it another one disables: the handler runs still.
#[guest_test("planted on-its-way", stage = "planted")]
fn on_its_way() {
    let loaded = Loaded::new();
    stay_on(FREE);
    let plugin = open(&[]);
    assert_eq!(trouble::Client(&plugin).meet(true), Ok(()));
    for _ in 0..3 {
        enable(&plugin);
        let before = counters(&plugin);
        thread::scope(|scope| {
            let masked = scope.spawn(|| {
                stay_on(BUSY);
                trouble::Client(&plugin).raise_masked()
            });
            let (_, last) = plugin.connection().int_disable().expect("the interrupt can be disabled");
            let raised = masked.join().expect("the caller does not panic").expect("the device was quieted meanwhile");
            let heard = (last.received + last.spurious) - (before.received + before.spurious);
            assert_eq!(heard, u64::from(raised), "a message on its way is waited for: {last:?}");
        });
    }
    drop(plugin);
    drop(loaded);
}

/// Runs `f` while a thread has the interrupt's processor. `f` has to end first.
fn beside_a_hog(what: &str, f: impl FnOnce()) {
    let (runs, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let start = Instant::now();
    thread::scope(|scope| {
        let hog = scope.spawn(|| {
            stay_on(BUSY);
            real_time();
            let start = Instant::now();
            runs.store(true, SeqCst);
            while !over.load(SeqCst) && start.elapsed() < RUN {
                std::hint::spin_loop();
            }
            start.elapsed() < RUN
        });
        until("the thread has the processor", || runs.load(SeqCst));
        f();
        over.store(true, SeqCst);
        assert!(hog.join().expect("it does not panic"), "{what} waits for a thread that has the processor");
    });
    println!("{what} beside a real-time thread: {} ms", start.elapsed().as_millis());
}

fn real_time() {
    let parameter = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the calling thread, and a parameter that is there.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) };
    assert_eq!(answer, 0, "the program may make its threads real-time ones");
}

/// A message, whose vector is the busy processor's, and one interrupt.
fn enable(plugin: &Plugin) {
    let got = plugin.connection().int_enable(kind::MSI, 1, 1, &[]).map(|got| got.kind);
    assert_eq!(got, Ok(kind::MSI));
    let lines = fs::read_to_string("/proc/interrupts").expect("the kernel has a list");
    let line = lines.lines().find(|line| line.ends_with(&format!("kp_{NAME}"))).expect("the interrupt is in it");
    let irq = line.split(':').next().expect("its number").trim();
    let busy = BUSY.to_string();
    fs::write(format!("/proc/irq/{irq}/smp_affinity_list"), &busy).expect("an interrupt can be moved");
    one_interrupt(plugin); // it moves when it comes
    let is = fs::read_to_string(format!("/proc/irq/{irq}/effective_affinity_list")).expect("it has a processor");
    assert_eq!(is.trim(), busy, "the interrupt's processor");
}

fn unbind(address: &str) {
    let path = format!("/sys/bus/pci/drivers/kp_{NAME}/unbind");
    fs::write(&path, address).unwrap_or_else(|error| panic!("{path}: {error}"));
}

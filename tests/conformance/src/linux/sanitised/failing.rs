//! Memory fails: each allocation of every request, of a binding and of a load, one after the other, and each copy from or to an app. What is
//! refused has changed nothing, and what was promised is kept.
use super::fail_nth::FailNth;
use crate::{
    Subject, World,
    linux::{Guest, Loaded, load, nodes::edus, stress, unload, until_its_name_is_free},
    registry::guest_test,
};
use echo_interface::echo;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Plugin, Ring};
use rustix::system::finit_module;
use std::{
    fs::{self, File},
    path::Path,
};

/// A hang, not a measure.
const PATIENCE_NS: u64 = 60_000_000_000;
/// The largest that a message may be; its buffers come from another place than those of small ones.
const LARGE: usize = 65_536;

/// Each request, on a session of its own.
#[guest_test("sanitised failing-requests", stage = "sanitised")]
fn a_request_that_is_refused_for_want_of_memory_has_changed_nothing() {
    let loaded = Loaded::all();
    let faults = FailNth::of_this_thread();
    sessions(&faults);
    calls(&faults);
    interrupts(&faults);
    rings(&faults);
    drop(loaded);
}

fn connect(subject: Subject) -> Plugin {
    Guest.connect(subject)
}

/// The session takes messages.
fn answers(plugin: &Plugin) {
    assert_eq!(echo::Client(plugin).say(b"hello"), Ok(5));
}

fn sessions(faults: &FailNth) {
    let open = |data: &[u8]| Plugin::open_interface("echo", echo::INTERFACE, data);
    // What this program itself has to load for it is there from the first time on.
    drop(open(&[]).expect("it opens"));
    let failed = faults.each(
        "open",
        || (),
        |()| open(&[]),
        |(), opened| {
            opened.iter().for_each(answers);
            answers(&connect(Subject::Echo));
        },
    );
    assert!(failed > 10, "a session takes memory of several kinds");
    let echo = || connect(Subject::Echo);
    faults.each("query", echo, |plugin| plugin.query().map(|_| ()), |plugin, _| answers(&plugin));
    faults.each(
        "close",
        echo,
        |plugin| plugin.connection().close(),
        |plugin, closed| {
            if closed.is_err() {
                // It may have been carried out before its answer failed.
                let again = plugin.connection().close();
                assert!([Ok(()), Err(Status::CLOSED.into())].contains(&again), "{again:?}");
            }
            assert_eq!(echo::Client(&plugin).said().map(|_| ()), Err(Status::CLOSED.into()));
        },
    );
}

fn calls(faults: &FailNth) {
    let (small, large) = (vec![1; 100], vec![2; LARGE]);
    for text in [small, large] {
        let echo = || connect(Subject::Echo);
        let what = format!("a message of {} bytes", text.len());
        faults.each(
            &what,
            echo,
            |plugin| echo::Client(&*plugin).say(&text),
            |plugin, said| {
                let texts = echo::Client(&plugin).said().expect("it can be asked").texts;
                if said.is_ok() {
                    assert_eq!((said, texts), (Ok(text.len() as u32), 1));
                }
                assert_eq!(echo::Client(&plugin).say(&text), Ok(text.len() as u32));
                assert_eq!(echo::Client(&plugin).said().map(|said| said.texts), Ok(texts + 1));
            },
        );
        let filled = || {
            let plugin = connect(Subject::Echo);
            assert_eq!(echo::Client(&plugin).say(&text), Ok(text.len() as u32));
            (plugin, vec![0; text.len()])
        };
        let what = format!("a reply of {} bytes", text.len());
        faults.each(
            &what,
            filled,
            |(plugin, reply)| echo::Client(&*plugin).hear(reply).map(<[u8]>::len),
            |(plugin, mut reply), heard| {
                if heard.is_ok() {
                    assert_eq!(reply, text);
                }
                echo::Client(&plugin).hear(&mut reply).expect("it can be heard again");
                assert_eq!(reply, text);
            },
        );
    }
}

fn interrupts(faults: &FailNth) {
    let edu = || connect(Subject::Edu);
    for kinds in [kind::LINE, kind::MSI] {
        let name = if kinds == kind::LINE { "the line" } else { "MSI" };
        let enable = |plugin: &mut Plugin| plugin.connection().int_enable(kinds, 1, 1, &[]).map(|_| ());
        faults.each(&format!("enabling {name}"), edu, enable, |plugin, enabled| {
            if enabled.is_ok() {
                plugin.connection().int_disable().expect("it is enabled");
            }
            stress::works(&plugin, kinds);
        });
        let raised = || {
            let plugin = connect(Subject::Edu);
            stress::enable(&plugin, kinds);
            stress::raise(&plugin);
            while stress::counters(&plugin).1.available == 0 {
                std::thread::yield_now();
            }
            plugin
        };
        let wait =
            |plugin: &mut Plugin| plugin.connection().int_wait(PATIENCE_NS, ANY_VECTOR, 1).map(|taken| taken.got);
        faults.each(&format!("a wait for {name}"), raised, wait, |plugin, taken| {
            if taken != Ok(1) {
                assert_eq!(wait(&mut { plugin }), Ok(1), "it is put back");
            }
        });
        let counts = |plugin: &mut Plugin| plugin.connection().int_count(ANY_VECTOR).map(|_| ());
        faults.each(&format!("counters of {name}"), raised, counts, |plugin, _| {
            assert_eq!(plugin.connection().int_wait(PATIENCE_NS, ANY_VECTOR, 1).map(|taken| taken.got), Ok(1));
        });
        let disable = |plugin: &mut Plugin| plugin.connection().int_disable().map(|_| ());
        faults.each(&format!("disabling {name}"), raised, disable, |plugin, disabled| {
            if disabled.is_err() {
                let again = plugin.connection().int_disable().map(|_| ());
                assert!([Ok(()), Err(Status::NOT_ENABLED.into())].contains(&again), "{again:?}");
            }
            stress::works(&plugin, kinds);
        });
        let poll = |plugin: &mut Plugin| {
            let descriptor = plugin.as_fd().expect("it has one");
            let mut asked = [rustix::event::PollFd::from_borrowed_fd(descriptor, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut asked, None).map(|_| ())
        };
        faults.each(&format!("poll(2) of {name}"), raised, poll, |plugin, _| {
            assert_eq!(plugin.connection().int_wait(PATIENCE_NS, ANY_VECTOR, 1).map(|taken| taken.got), Ok(1));
        });
    }
}

fn rings(faults: &FailNth) {
    let edu = || connect(Subject::Edu);
    let set_up = |plugin: &mut Plugin| Ring::set_up(plugin.connection(), 8, LARGE as u32);
    faults.each("a ring", edu, set_up, |mut plugin, ring| {
        let ring = ring.or_else(|_| set_up(&mut plugin)).expect("there is room for it again");
        enter(ring);
    });
    let entered = || {
        let plugin = connect(Subject::Edu);
        let ring = filled(Ring::set_up(plugin.connection(), 8, 64).expect("the driver has rings"));
        (plugin, ring)
    };
    faults.each(
        "a batch",
        entered,
        |(_, ring)| ring.enter(),
        |(plugin, ring), (taken, entered)| {
            assert!(taken <= 1, "there was one submission");
            if entered.is_err() || taken == 0 {
                let (more, again) = ring.enter();
                assert_eq!((taken + more, again), (1, Ok(())));
            }
            drop(ring);
            drop(plugin);
        },
    );
}

/// A ring with one message: 5!.
fn filled(mut ring: Ring) -> Ring {
    let submission = Submission {
        message: 4,
        flags: INLINE,
        args_len: 4,
        inline: [5, 0, 0, 0],
        out_len: 4,
        ..Submission::new_zeroed()
    };
    let mut queues = ring.queues();
    assert!(queues.push(&submission));
    queues.publish();
    drop(queues);
    ring
}

fn enter(ring: Ring) {
    assert_eq!(filled(ring).enter(), (1, Ok(())));
}

/// What the transport itself fails with, and what is no failure of it.
fn is_for_memory(error: &std::io::Error) -> bool {
    [libc::ENOMEM, libc::EFAULT, libc::EAGAIN].contains(&error.raw_os_error().unwrap_or(0))
}

/// A device is bound, and taken away again. A binding that fails can be repeated, and what it had begun is undone.
#[guest_test("sanitised failing-bindings", stage = "sanitised")]
fn a_binding_that_fails_for_want_of_memory_leaves_nothing_and_can_be_repeated() {
    load("edu");
    let faults = FailNth::of_this_thread();
    let device = stress::address(&connect(Subject::Edu));
    let drive = |what: &str| fs::write(format!("/sys/bus/pci/drivers/kp_edu/{what}"), &device);
    let is_bound = || Path::new(&format!("/sys/bus/pci/drivers/kp_edu/{device}")).exists();
    let is_free = || drive("unbind").expect("it is bound");
    // The node of a device for whose node's name there was no memory: Linux takes the device's own name, and tells nobody.
    let elsewhere = Path::new("/dev/kp-edu.0");
    is_free();
    switch(&device, true);
    drive("bind").expect("it is free");
    faults.each(
        "binding",
        is_free,
        |()| drive("bind"),
        |(), bound| {
            if let Err(error) = &bound {
                // A range of addresses that cannot be written down counts as taken.
                let is_other = [libc::ENODEV, libc::EBUSY].contains(&error.raw_os_error().unwrap_or(0));
                assert!(is_for_memory(error) || is_other, "{error}");
            }
            if !is_bound() {
                drive("bind").expect("it can be bound again");
            }
            if elsewhere.exists() {
                fs::remove_file(elsewhere).expect("it can be removed");
                drive("unbind").expect("it is bound");
                drive("bind").expect("it can be bound again");
            }
            stress::works(&connect(Subject::Edu), kind::MSI);
        },
    );
    faults.each(
        "unbinding",
        || (),
        |()| drive("unbind"),
        |(), _| {
            if is_bound() {
                drive("unbind").expect("it is bound still");
            }
            drive("bind").expect("it can be bound");
            stress::works(&connect(Subject::Edu), kind::MSI);
        },
    );
    unload("edu");
    switch(&device, false);
}

/// Switches a device that has no driver on, or off again. One that is on already asks ACPI for nothing as it is bound: ACPI's interpreter uses
/// what it has freed if its own memory fails.
fn switch(device: &str, on: bool) {
    let path = format!("/sys/bus/pci/devices/{device}/enable");
    fs::write(&path, u8::from(on).to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Modules are loaded, and unloaded: one without a device, and one that is bound to its device at once. A load that fails leaves nothing.
#[guest_test("sanitised failing-loads", stage = "sanitised")]
fn a_load_that_fails_for_want_of_memory_leaves_nothing_and_can_be_repeated() {
    let faults = FailNth::of_this_thread();
    let devices = edus();
    devices.iter().for_each(|device| switch(device, true));
    for subject in [Subject::Echo, Subject::Edu] {
        let path = format!("{}/kp-{}.ko", super::super::MODULES, subject.name());
        let is_loaded = || Path::new(&format!("/sys/module/kp_{}", subject.name())).exists();
        let load_it = |file: &mut File| finit_module(file, c"", 0);
        // Of many hundreds, each of which would take seconds, the first ones, and then ever fewer.
        faults.chosen(
            &format!("loading {}", subject.name()),
            |n| n + n / 2 + 2,
            || {
                until_its_name_is_free(subject.name());
                File::open(&path).expect("its file")
            },
            load_it,
            |file, loaded| {
                if loaded.is_err() {
                    assert!(!is_loaded(), "a load that fails leaves no module");
                    until_its_name_is_free(subject.name());
                    finit_module(&file, c"", 0).expect("it can be loaded again");
                }
                unload(subject.name());
            },
        );
    }
    devices.iter().for_each(|device| switch(device, false));
}

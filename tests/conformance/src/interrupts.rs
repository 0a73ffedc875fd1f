//! The part on edu: what the device computes, interrupts with coalescing, ownership, a client killed.
use crate::{
    transcript::{Transcript, answer, outcome},
    world::{Subject, World},
};
use edu_interface::edu;
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use std::time::{Duration, Instant};

/// How long an interrupt may take to arrive before the scenario gives up: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it.
pub fn run(world: &mut dyn World, t: &mut Transcript) {
    t.part("interrupts");
    world.load(Subject::Edu);
    device(&world.connect(Subject::Edu), t);
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        t.part(name);
        world.assign(kinds);
        let owner = world.connect(Subject::Edu);
        let other = world.connect(Subject::Edu);
        not_enabled(&owner, t);
        enable(&owner, kinds, name, t);
        ownership(&other, kinds, t);
        every_fifth(&owner, t);
        disable(&owner, t);
        each_one(&owner, kinds, t);
        drop(other);
        killed(world, &owner, kinds, t);
    }
    t.part("unload");
    let owner = world.connect(Subject::Edu);
    t.step("unload while open: module", world.unload(Subject::Edu), "stays");
    drop(owner);
    t.step("unload after the last close: module", world.unload(Subject::Edu), "gone");
}

fn device(plugin: &Plugin, t: &mut Transcript) {
    let client = edu::Client(plugin);
    let version =
        client.version().map(|v| format!("{} {}", v.number, String::from_utf8_lossy(&v.name).trim_end_matches('\0')));
    t.step("version", answer(version), "Ok 100 kp edu");
    t.step("identity", answer(client.identity().map(|id| format!("{}.{}", id.major, id.minor))), "Ok 1.0");
    t.step("invert 0x12345678", answer(client.invert(0x1234_5678).map(|n| format!("{n:#x}"))), "Ok 0xedcba987");
    t.step("factorial(0)", answer(client.factorial(0)), "Ok 1");
    t.step("factorial(12)", answer(client.factorial(12)), "Ok 479001600");
    t.step("factorial(13)", answer(client.factorial(13)), "Ok 1932053504");
    t.step("raise no bits", outcome(&client.raise(0)), "BadValue");
    t.step("defer every 0th", outcome(&client.defer_every(0)), "BadValue");
}

fn not_enabled(plugin: &Plugin, t: &mut Transcript) {
    t.step("wait before enabling", outcome(&plugin.connection().int_wait(0, ANY_VECTOR, 1)), "NotEnabled");
    t.step("disable before enabling", outcome(&plugin.connection().int_disable()), "NotEnabled");
}

fn enable(plugin: &Plugin, kinds: u32, name: &str, t: &mut Transcript) {
    t.step("defer every 5th", outcome(&edu::Client(plugin).defer_every(5)), "Ok");
    let enabled = plugin.connection().int_enable(kinds, 1, 1, &[]);
    let enabled = enabled.map(|enabled| {
        assert_eq!(enabled.kind, kinds);
        format!("{name}, {} vector", enabled.count)
    });
    t.step("enable", answer(enabled), &format!("Ok {name}, 1 vector"));
    t.step("enable again", outcome(&plugin.connection().int_enable(kinds, 1, 1, &[])), "AlreadyEnabled");
}

fn ownership(other: &Plugin, kinds: u32, t: &mut Transcript) {
    let connection = other.connection();
    t.step("another client enables", outcome(&connection.int_enable(kinds, 1, 1, &[])), "InterruptOwned");
    t.step("another client waits", outcome(&connection.int_wait(0, ANY_VECTOR, 1)), "InterruptOwned");
    t.step("another client disables", outcome(&connection.int_disable()), "InterruptOwned");
}

fn every_fifth(plugin: &Plugin, t: &mut Transcript) {
    raise(plugin, 10, 2);
    t.step(
        "10 interrupts, every 5th deferred",
        counters(plugin),
        "Ok received 10, deferred 2, notified 2, delivered 0, available 2, lost 0",
    );
    t.step("wait for up to 16", wait(plugin, 16), "Ok vector 0: got 2, available 0");
    t.step("wait for nothing", wait(plugin, 16), "Timeout");
    t.step("wait on vector 1", outcome(&plugin.connection().int_wait(0, 1, 1)), "BadVector");
    raise(plugin, 5, 1);
    t.step(
        "5 more, nobody waits",
        counters(plugin),
        "Ok received 15, deferred 3, notified 3, delivered 2, available 1, lost 0",
    );
}

fn disable(plugin: &Plugin, t: &mut Transcript) {
    let last = plugin.connection().int_disable().map(|(_, counters)| show(&counters));
    t.step("disable", answer(last), "Ok received 15, deferred 3, notified 3, delivered 2, available 0, lost 1");
    t.step(
        "count afterwards",
        counters(plugin),
        "Ok received 15, deferred 3, notified 3, delivered 2, available 0, lost 1",
    );
    t.step("wait afterwards", wait(plugin, 1), "NotEnabled");
}

fn each_one(plugin: &Plugin, kinds: u32, t: &mut Transcript) {
    t.step("defer every one", outcome(&edu::Client(plugin).defer_every(1)), "Ok");
    t.step("enable anew", outcome(&plugin.connection().int_enable(kinds, 1, 1, &[])), "Ok");
    t.step("count anew", counters(plugin), "Ok received 0, deferred 0, notified 0, delivered 0, available 0, lost 0");
    raise(plugin, 3, 3);
    t.step(
        "3 interrupts, nobody waits",
        counters(plugin),
        "Ok received 3, deferred 3, notified 3, delivered 0, available 3, lost 0",
    );
    t.step("wait for up to 16", wait(plugin, 16), "Ok vector 0: got 3, available 0");
    raise(plugin, 3, 3);
    t.step("3 more, wait for 1", wait(plugin, 1), "Ok vector 0: got 1, available 2");
    t.step("wait for up to 16", wait(plugin, 16), "Ok vector 0: got 2, available 0");
    let waited = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| plugin.connection().int_wait(PATIENCE.as_nanos() as u64, ANY_VECTOR, 1));
        until("a wait is pending", || plugin.connection().query(0).is_ok_and(|query| query.waits == 1));
        raise(plugin, 1, 1);
        waiter.join().expect("the waiter does not panic")
    });
    t.step("a wait that an interrupt ends", answer(waited.map(|n| format!("got {}", n.got))), "Ok got 1");
    let waited = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| plugin.connection().int_wait(PATIENCE.as_nanos() as u64, ANY_VECTOR, 1));
        until("a wait is pending", || plugin.connection().query(0).is_ok_and(|query| query.waits == 1));
        let last = plugin.connection().int_disable().map(|(_, counters)| show(&counters));
        (last, waiter.join().expect("the waiter does not panic"))
    });
    t.step(
        "disable during a wait",
        answer(waited.0),
        "Ok received 7, deferred 7, notified 7, delivered 7, available 0, lost 0",
    );
    t.step("the wait", outcome(&waited.1), "IntDisabled");
}

fn killed(world: &mut dyn World, plugin: &Plugin, kinds: u32, t: &mut Transcript) {
    let victim = world.client_that_waits(kinds);
    t.step(
        "enable while another client waits",
        outcome(&plugin.connection().int_enable(kinds, 1, 1, &[])),
        "InterruptOwned",
    );
    victim.kill();
    t.step("enable after it was killed", outcome(&plugin.connection().int_enable(kinds, 1, 1, &[])), "Ok");
    raise(plugin, 1, 1);
    t.step("an interrupt", wait(plugin, 1), "Ok vector 0: got 1, available 0");
    t.step("disable", outcome(&plugin.connection().int_disable()), "Ok");
}

/// Raises one at a time: waits until the driver has received each, and at the end until it has notified `notifications` more.
fn raise(plugin: &Plugin, times: u64, notifications: u64) {
    let count = || plugin.connection().int_count(ANY_VECTOR).expect("counters of an enabled interrupt").1;
    let before = count();
    for i in 1..=times {
        edu::Client(plugin).raise(1).expect("the device can be told to interrupt");
        until("the interrupt arrives", || count().received == before.received + i);
    }
    until("the notifications are made", || count().notified == before.notified + notifications);
}

/// Waits until `done`: each look is a request to the driver, so nothing is missed and nothing is slept through.
///
/// # Panics
/// After 30 s.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn wait(plugin: &Plugin, max: u32) -> String {
    let notification = plugin.connection().int_wait(0, ANY_VECTOR, max);
    answer(notification.map(|n| format!("vector {}: got {}, available {}", n.vector, n.got, n.available)))
}

fn counters(plugin: &Plugin) -> String {
    answer(plugin.connection().int_count(ANY_VECTOR).map(|(_, counters)| show(&counters)))
}

/// What a transcript shows of counters: nothing that timing decides.
fn show(c: &Counters) -> String {
    format!(
        "received {}, deferred {}, notified {}, delivered {}, available {}, lost {}",
        c.received, c.deferred, c.notified, c.delivered, c.available, c.lost
    )
}

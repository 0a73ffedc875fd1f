//! Bad and random requests, on the kernel that this program runs on, and a client of its plugins.
#[cfg(target_os = "linux")]
use crate::linux::{Guest as Machine, Loaded, codes, raw_ioctl::ThisProcess};
use crate::{
    Subject, World, interrupts,
    registry::{guest_test, helper},
};
#[cfg(windows)]
use crate::{
    codes,
    windows::{Loaded, Machine, raw_ioctl::ThisProcess},
};

/// Every bad request of the lists has its status. On Windows as far as it needs no device and no addresses.
#[guest_test("bad-input", stage = "hostile 32-bit wine")]
fn bad_input() {
    let loaded = Loaded::all();
    let process = ThisProcess::default();
    let seen = crate::bad_input::run(&process) + codes::run(&process);
    println!("{seen} bad requests, each with its status");
    let told = kp_user::schema_of("echo").expect("echo tells its messages");
    assert!(told == echo_interface::echo::SCHEMA, "what echo tells is its schema");
    drop(loaded);
}

/// Random requests leave a driver that works.
#[guest_test("fuzz", stage = "hostile wine", short = "1 100000", long = "1 1000000")]
fn fuzz(seed: u64, requests: u64) {
    println!("seed {seed}, {requests} requests");
    let loaded = Loaded::all();
    print!("{}", crate::fuzz::run(&ThisProcess::default(), seed, requests));
    drop(loaded);
}

/// Opens edu, enables its interrupt, waits, says so when the driver's own counters show it, and never ends by itself.
#[helper("client-that-waits")]
fn client_that_waits(kinds: u32) -> Result<(), String> {
    let plugin = world().connect(Subject::Edu);
    plugin.connection().int_enable(kinds, 1, 1, &[]).map_err(|error| format!("enable: {error}"))?;
    std::thread::scope(|scope| {
        scope.spawn(|| plugin.connection().int_wait(u64::MAX, u32::MAX, 1));
        interrupts::until("the wait is pending", || plugin.connection().query(0).is_ok_and(|query| query.waits == 1));
        println!("ready");
    });
    Err("the wait ended".into())
}

/// The world of this kernel.
#[cfg(target_os = "linux")]
pub fn world() -> Machine {
    Machine
}

/// The world of this kernel.
#[cfg(windows)]
pub fn world() -> Machine {
    Machine::default()
}

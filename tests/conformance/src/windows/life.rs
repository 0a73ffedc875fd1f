//! Drivers that come and go, and clients that go.
use super::{
    Machine,
    service::{Service, State},
};
use crate::{
    Subject, Unload, World,
    child::spawn,
    interrupts::until,
    registry::{guest_test, helper},
    transcript::text,
};
use echo_interface::echo;
use kp_user::Plugin;
use std::{
    io::{BufRead, BufReader},
    process::Command,
};
use trouble_interface::{Who, caller};

/// Runs a program of this folder while echo is loaded. `Err`: how it ended.
pub fn with_echo(program: &str, arguments: &[&str]) -> Result<(), String> {
    let loaded = super::Loaded::all();
    let status = Command::new(super::file(program)).args(arguments).status();
    let status = status.map_err(|error| format!("{program}: {error}"))?;
    drop(loaded);
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}

/// Whom the driver takes this program for: this process, an administrator's, and one of 32 bits if it is.
#[guest_test("who", stage = "wine")]
fn who() {
    let service = Service::create("caller", &super::file("kp-caller.sys"));
    service.start().unwrap_or_else(|error| panic!("load caller: {error}"));
    let plugin = Plugin::open_interface("caller", caller::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let is_32bit = u32::from(size_of::<usize>() == 4);
    assert_eq!(caller::Client(&plugin).who(), Ok(Who { process: std::process::id(), admin: 1, is_32bit }));
    drop(plugin);
    service.stop().unwrap_or_else(|error| panic!("unload caller: {error}"));
    until("the driver has unloaded", || service.state() == State::Stopped);
    println!("a {}-bit program, and the driver knows", 8 * size_of::<usize>());
}

/// Starts and stops echo's driver as often, with a session in each round.
#[guest_test("rounds", stage = "wine", short = "20", long = "100")]
fn rounds(times: u32) {
    let mut machine = Machine::default();
    for round in 1..=times {
        let error = Plugin::open("echo").expect_err("it is not loaded").to_string();
        let remedy = "no such device: is the driver loaded? `sc start kp-echo`, or install kp-echo.inf";
        assert_eq!(error, format!(r"\\.\kp-echo: {remedy}"));
        machine.load(Subject::Echo);
        let plugin = machine.connect(Subject::Echo);
        let client = echo::Client(&plugin);
        let said = format!("round {round}");
        client.say(said.as_bytes()).unwrap_or_else(|error| panic!("{said}: {error}"));
        assert_eq!(text(client.hear(&mut [0; 16])), format!("Ok \"{said}\""));
        drop(plugin);
        assert_eq!(machine.unload(Subject::Echo), Unload::Gone, "{said}");
    }
}

/// What the client of [`killed_in_a_call`] says before each call, and after it.
const BEGINS: &str = "nap begins";
const OVER: &str = "nap over";
/// How long each of its calls takes.
const NAP_MS: u32 = 300;

/// Naps in the driver, again and again, and says so.
#[helper("client-that-naps")]
fn client_that_naps() -> Result<(), String> {
    let plugin = Machine::default().connect(Subject::Echo);
    loop {
        println!("{BEGINS}");
        echo::Client(&plugin).nap(NAP_MS).map_err(|error| format!("nap: {error}"))?;
        println!("{OVER}");
    }
}

/// Kills a client while a call of it runs, as often: the driver lets its session go, and the next client finds it well.
#[guest_test("killed-in-a-call", stage = "wine", short = "3")]
fn killed_in_a_call(times: u32) {
    let mut machine = Machine::default();
    machine.load(Subject::Echo);
    let survivor = machine.connect(Subject::Echo);
    let mut killed = 0;
    for _ in 0..3 * times {
        let mut child = spawn(&["client-that-naps"]);
        let mut lines =
            BufReader::new(child.stdout.take().expect("its output is a pipe")).lines().map_while(Result::ok);
        // The first call of a process may be a slow one.
        for want in [BEGINS, OVER, BEGINS] {
            assert_eq!(lines.next().as_deref(), Some(want));
        }
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        // Its last word says whether a call was under way.
        let in_a_call = lines.last().is_none_or(|last| last == BEGINS);
        killed += u32::from(in_a_call);
        until("its session is over", || survivor.query().is_ok_and(|query| query.sessions == 1));
        echo::Client(&survivor).say(b"still here").unwrap_or_else(|error| panic!("the survivor: {error}"));
        if killed == times {
            break;
        }
    }
    assert_eq!(killed, times, "clients killed in a call");
    drop(survivor);
    assert_eq!(machine.unload(Subject::Echo), Unload::Gone);
}

//! The program that `cargo kp sim` makes of a plugin and its model, and runs.
use super::{
    linux::{Signals, wait_for_process},
    server::{Server, StartError, Watch},
};
use crate::Builder;
use kp_core::Plugin;
use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{ExitCode, exit},
    sync::mpsc::{self, Sender},
    thread,
};

/// What `cargo kp sim` passes on.
#[derive(Default)]
struct Arguments {
    listen: PathBuf,
    record: Option<PathBuf>,
    until_closed: bool,
    /// Only says how many entries the plugin's `devices` has.
    devices: bool,
}

impl Arguments {
    fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut arguments = Self::default();
        while let Some(arg) = args.next() {
            match arg.to_str()? {
                "--listen" => arguments.listen = args.next()?.into(),
                "--record" => arguments.record = Some(args.next()?.into()),
                "--until-closed" => arguments.until_closed = true,
                "--devices" => arguments.devices = true,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

enum Event {
    /// It is to end, as a signal or its first app's end says.
    End,
    /// The device goes.
    Remove,
    /// A rule of the kernel was broken.
    Failed,
}

/// The program's `main`.
pub fn program<P: Plugin>(builder: Builder<P>) -> ExitCode {
    let Some(arguments) = Arguments::parse(env::args_os().skip(1)) else {
        eprintln!("kp-sim: started by `cargo kp sim`, with other arguments");
        return ExitCode::from(2);
    };
    if arguments.devices {
        println!("{}", P::TABLE.devices.len());
        return ExitCode::SUCCESS;
    }
    let signals = Signals::block(&[libc::SIGINT, libc::SIGTERM, libc::SIGUSR1]);
    let path = arguments.listen;
    let server = match Server::start(builder, &path, arguments.record.as_deref()) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::from(if let StartError::Exists = error { 6 } else { 1 });
        }
    };
    let (tell, events) = mpsc::channel();
    on_signals(signals, tell.clone());
    on_watched(server.watch(), tell, arguments.until_closed);
    say(&format!("{} listens: KP_NODE={}", P::TABLE.name, path.display()));
    for event in events {
        match event {
            Event::Remove => remove(server.watch()),
            Event::Failed => fail(&path),
            Event::End => {
                let watch = server.watch();
                let live = panic::catch_unwind(AssertUnwindSafe(|| server.end()));
                let Ok(live) = live else { return ExitCode::FAILURE };
                say(&format!("live: {live}"));
                return if watch.sim().is_poisoned() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            }
        }
    }
    ExitCode::FAILURE
}

/// The first signal ends the server in order, the second one at once.
fn on_signals(signals: Signals, tell: Sender<Event>) {
    thread::spawn(move || {
        let mut is_ending = false;
        loop {
            let event = if signals.wait() == libc::SIGUSR1 { Event::Remove } else { Event::End };
            if is_ending && matches!(event, Event::End) {
                exit(1);
            }
            is_ending |= matches!(event, Event::End);
            let _ = tell.send(event);
        }
    });
}

/// What a server does by itself: it fails, or its first app ends.
fn on_watched<P: Plugin>(watch: Watch<P>, tell: Sender<Event>, until_closed: bool) {
    if until_closed {
        let (watch, tell) = (watch.clone(), tell.clone());
        thread::spawn(move || {
            if let Some(process) = watch.first_app() {
                wait_for_process(process);
                let _ = tell.send(Event::End);
            }
        });
    }
    thread::spawn(move || {
        watch.failed();
        let _ = tell.send(Event::Failed);
    });
}

/// The device vanishes. It may take long: calls end first.
fn remove<P: Plugin>(watch: Watch<P>) {
    thread::spawn(move || {
        if watch.guard(|| watch.sim().remove(false)) {
            say("the device is gone");
        }
    });
}

fn fail(path: &Path) -> ! {
    let _ = fs::remove_file(path);
    eprintln!("error: the plugin has broken a rule of the kernel, as is said above: the socket is closed");
    exit(1)
}

fn say(line: &str) {
    println!("{line}");
    let _ = io::stdout().flush();
}

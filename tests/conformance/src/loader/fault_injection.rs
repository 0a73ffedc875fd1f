//! Each call of a kernel function that can fail, failed once for each place that it is made from: the driver refuses or degrades with
//! a status, never crashes, and leaves nothing behind.
use super::path;
use crate::{Subject, interrupts::until, registry::guest_test};
use echo_interface::{Style, Trim, echo};
use edu_interface::edu;
use kp_abi::{
    Status,
    limits::MAX_OPEN_DATA,
    request::{ANY_VECTOR, kind},
};
use kp_user::{ControlNode, Plugin};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use windows_loader::{
    Assigned, Device, Driver, Machine, Mode, Options, Process,
    Processor::{self, Arm64, X64},
    Site, Sites, StartError, Token, access, fallible_calls,
};

/// How long a wait lasts for what may never come, because its cause has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls that no run reaches: for which plugin, the function, how many at most, and why.
const NOT_REACHED: &[(&str, &str, usize, &str)] = &[
    (
        "echo",
        "ExAllocatePoolWithTag",
        2,
        "a wait that pends: echo's device has no interrupt; memory of a greater alignment than the pool's: nothing there needs it",
    ),
    (
        "edu",
        "ExAllocatePoolWithTag",
        2,
        "memory of a greater alignment than the pool's; making a mutex where any kind of lock can be made: that of edu is made inline",
    ),
    ("edu", "PoRequestPowerIrp", 1, "asking again for a device's power: only after a failure, as in `power`"),
];

/// How INT_ENABLE ends where no interrupt can be connected; the number is STATUS_PROCEDURE_NOT_FOUND's.
const NOT_CONNECTED: Option<&str> = Some("INT_ENABLE: ConnectFailed (3221225594)");

/// Kernels that lack functions which drivers look up, and what becomes of edu there: nothing, or the first step that is refused. Echo
/// is as ever on all of them. The table of imports has each function's fallback.
const OLDER: &[(Processor, &[&str], Option<&str>)] = &[
    (X64, &["MmMapIoSpaceEx", "KeQueryUnbiasedInterruptTimePrecise"], None),
    (X64, &["KeQueryUnbiasedInterruptTimePrecise", "KeQueryUnbiasedInterruptTime"], None),
    (
        X64,
        &["KeQueryUnbiasedInterruptTimePrecise", "KeQueryUnbiasedInterruptTime", "KeQueryInterruptTimePrecise"],
        None,
    ),
    (X64, &["PsIsThreadTerminating"], None),
    (X64, &["IoConnectInterruptEx"], NOT_CONNECTED),
    (X64, &["IoDisconnectInterruptEx"], NOT_CONNECTED),
    (X64, &["KeGetCurrentIrql"], NOT_CONNECTED),
    (X64, &["KfRaiseIrql"], NOT_CONNECTED),
    (X64, &["KeLowerIrql"], NOT_CONNECTED),
    (Arm64, &[], None),
    (Arm64, &["KfLowerIrql"], NOT_CONNECTED),
    (Arm64, &["KeFlushIoBuffers"], None),
    (X64, &["KeQueryTickCount", "KeQueryTimeIncrement"], None),
    // What they are for is in `storm`.
    (X64, super::storm::ELSEWHERE, None),
];

/// Runs it for both drivers, and prints each place with what came of it.
///
/// # Panics
/// If a driver crashes, breaks a rule or leaves something behind, or a place is not reached that should be. If a kernel that lacks
/// functions does without in another way than it should.
#[guest_test("loader faults", stage = "loader")]
fn every_kernel_call_that_can_fail_fails_once(drivers: &str) {
    let mut missed = Vec::new();
    for subject in [Subject::Echo, Subject::Edu] {
        let name = subject.name();
        let sys: PathBuf = [drivers, name, "windows-x86_64", &format!("kp-{name}.sys")].iter().collect();
        let sites = Sites::new();
        each_place(subject, &sys, &sites, (X64, &[]), None);
        for &(processor, absent, outcome) in OLDER {
            each_place(subject, &sys, &sites, (processor, absent), outcome.filter(|_| subject == Subject::Edu));
        }
        let met = sites.met();
        missed.extend(not_reached(name, &sys, &met));
    }
    assert_eq!(without_a_trial(include_str!("../../../../cargo-kp/windows-imports.toml")), [""; 0], "never missing");
    assert!(missed.is_empty(), "places that no run reaches, or that one reaches now:\n{}", missed.join("\n"));
}

/// The functions that drivers look up, by the table of imports, and that no kernel here lacks.
fn without_a_trial(imports: &str) -> Vec<&str> {
    let (_, looked_up) = imports.split_once("[looked-up]\n").expect("the table has a part for what is looked up");
    let names = looked_up.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
    names.filter(|name| !OLDER.iter().any(|(_, absent, _)| absent.contains(name))).collect()
}

/// Runs until no new place is met, on a kernel without these functions. `outcome`: of a run in which nothing fails.
fn each_place(
    subject: Subject,
    sys: &Path,
    sites: &Arc<Sites>,
    (processor, absent): (Processor, &[&str]),
    outcome: Option<&str>,
) {
    let mut runs = 0;
    loop {
        let mut options = Options::default();
        options.faults = Some(sites.clone());
        options.processor = processor;
        options.absent = absent.iter().map(|&name| name.to_owned()).collect();
        let machine = Machine::new(options);
        sites.arm();
        let mut story = Story { subject, outcome: None };
        let told = catch_unwind(AssertUnwindSafe(|| story.tell(&machine, sys)));
        let failed = sites.disarm();
        let place = failed.as_ref().map_or_else(|| "no failure".into(), ToString::to_string);
        let left = machine.leaks().unwrap_or_else(|verdict| panic!("{}: {place}: {verdict}", subject.name()));
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
        assert!(left.is_empty(), "{}: {place}: left behind:\n{}", subject.name(), left.join("\n"));
        let Some(site) = failed else {
            assert_eq!(story.outcome.as_deref(), outcome, "{}, {processor:?} without {absent:?}", subject.name());
            break;
        };
        let outcome = story.outcome.unwrap_or_else(|| "went on".into());
        println!("{}: {site}: {outcome}", subject.name());
        let guards = ["ObOpenObjectByPointer", "ZwSetSecurityObject", "RtlSetDaclSecurityDescriptor", "RtlCreateAcl"];
        if guards.contains(&site.function) {
            assert!(outcome.starts_with("start"), "without its list of rights the driver must not start: {outcome}");
        }
        runs += 1;
    }
    println!(
        "{}: {runs} places, each failed once; {processor:?}, kernel functions that were not there: {absent:?}; {}",
        subject.name(),
        outcome.unwrap_or("all went on")
    );
}

/// What the list of places that are not reached gets wrong.
fn not_reached(plugin: &str, sys: &Path, met: &[Site]) -> Vec<String> {
    let met: BTreeSet<(&str, u32)> = met.iter().map(|site| (site.function, site.callers[0])).collect();
    let mut missed: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (function, at) in fallible_calls(sys).unwrap_or_else(|error| panic!("{error}")) {
        if !met.contains(&(function, at)) {
            println!("{plugin}: not reached: {function} <- {at:#x}: {}", reason(plugin, function));
            missed.entry(function).or_default().push(at);
        }
    }
    let listed = |function: &str| {
        let row = NOT_REACHED.iter().find(|(of, name, ..)| *of == plugin && *name == function);
        row.map_or(0, |(_, _, count, _)| *count)
    };
    let functions: BTreeSet<&str> = (missed.keys().copied())
        .chain(NOT_REACHED.iter().filter(|(of, ..)| *of == plugin).map(|(_, name, ..)| *name))
        .collect();
    // Which copies of a function there are is the compiler's choice: fewer than listed are well, but not none.
    let wrong = functions.into_iter().filter(|name| {
        let missed = missed.get(name).map_or(0, Vec::len);
        missed > listed(name) || missed == 0
    });
    wrong.map(|name| format!("{plugin}: {name}: {:#x?}, listed {}", missed.get(name), listed(name))).collect()
}

/// Why a place is not reached, as far as that is known.
fn reason(plugin: &str, function: &str) -> &'static str {
    let row = NOT_REACHED.iter().find(|(of, name, ..)| *of == plugin && *name == function);
    row.map_or("why is not known", |(.., why)| *why)
}

/// One run: everything that a driver does in its life, as far as the failure lets it come.
struct Story {
    subject: Subject,
    /// The first step that was refused, and how.
    outcome: Option<String>,
}

impl Story {
    /// The step's value, or a note of the refusal.
    fn step<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.outcome.get_or_insert_with(|| format!("{what}: {error}"));
                None
            }
        }
    }

    fn kernel<T>(&mut self, what: &str, result: Result<T, i32>) -> Option<T> {
        self.step(what, result.map_err(|status| format!("{status:#x}")))
    }

    /// A step that is refused in any case; with another status only because something has failed.
    fn expect(&mut self, what: &str, result: Result<(), Status>, want: Status) {
        match result {
            Err(status) if status == want => {}
            Err(status) => {
                self.step::<(), _>(what, Err(status));
            }
            Ok(()) => panic!("{what} was not refused"),
        }
    }

    fn tell(&mut self, machine: &Machine, sys: &Path) {
        let driver = match machine.start(sys) {
            Ok(driver) => driver,
            Err(StartError::Image(why)) => panic!("{why}"),
            Err(refused) => {
                self.step::<(), _>("start", Err(refused));
                return;
            }
        };
        match self.subject {
            Subject::Echo => {
                self.connected(machine, |story, plugin| story.calls(plugin));
                self.connected(machine, |story, plugin| story.no_interrupt(plugin));
            }
            Subject::Edu | Subject::Bmd => self.with_device(machine, &driver),
        }
        let stopped = driver.stop();
        self.kernel("stop", stopped);
        driver.wait_until_unloaded();
    }

    /// Opens the device, and closes it afterwards.
    fn connected(&mut self, machine: &Machine, f: impl FnOnce(&mut Self, &Plugin)) {
        self.connected_in(&machine.process(Token::Administrator), f);
    }

    fn connected_in(&mut self, process: &Arc<Process>, f: impl FnOnce(&mut Self, &Plugin)) {
        let opened = process.open(path(self.subject), access::READ | access::WRITE, Mode::Overlapped);
        let Some(handle) = self.kernel("open", opened) else { return };
        let connection = Arc::new(ControlNode::over(handle));
        let plugin = Plugin::over(connection, self.subject.interface(), &[0; MAX_OPEN_DATA]);
        if let Some(plugin) = self.step("OPEN", plugin) {
            f(self, &plugin);
        }
    }

    fn calls(&mut self, plugin: &Plugin) {
        let client = echo::Client(plugin);
        self.step("say", client.say(b"hello"));
        let long = vec![7; 60_000];
        self.step("say much", client.say(&long));
        self.step("hear much", client.hear(&mut vec![0; 60_000]).map(|_| ()));
        self.step("repeat", client.repeat(Style::Loud, Trim::all(), &long[..5000], &mut vec![0; 5000]).map(|_| ()));
        self.step("nap", client.nap(1));
        // Two calls at once.
        std::thread::scope(|scope| {
            let nap = scope.spawn(|| client.nap(5));
            self.step("say meanwhile", client.say(&long));
            self.step("nap meanwhile", nap.join().expect("the caller does not panic"));
        });
        let mut batch = client.batch().expect("every driver has rings");
        if let Some(said) = self.step("queue", batch.say(&long)) {
            self.step("batch", batch.run().get(said));
        }
    }

    fn no_interrupt(&mut self, plugin: &Plugin) {
        let refused =
            plugin.connection().int_enable(kind::ANY, 1, 1, &[0; MAX_OPEN_DATA]).map_err(|error| error.status);
        assert!(matches!(refused, Err(Status::NO_INTERRUPT | Status::NO_MEMORY)), "{refused:?}");
        self.expect("INT_ENABLE", refused.map(|_| ()), Status::NO_INTERRUPT);
        let refused = plugin.connection().int_wait(1, ANY_VECTOR, 1).map_err(|error| error.status);
        self.expect("INT_WAIT", refused.map(|_| ()), Status::NOT_ENABLED);
    }

    fn with_device(&mut self, machine: &Machine, driver: &Driver) {
        let device = machine.plug(kp_sim::edu::Edu::new());
        if self.kernel("AddDevice", device.add(driver)).is_none() {
            return;
        }
        let started = device.start(Assigned::Line);
        if self.kernel("START_DEVICE", started).is_some() {
            self.connected(machine, |story, plugin| story.interrupts(plugin, kind::LINE));
            let process = machine.process(Token::Administrator);
            self.connected_in(&process, |story, plugin| story.asleep((machine, &process), plugin, &device));
            let stopped = device.stop();
            self.kernel("STOP_DEVICE", stopped);
            let started = device.start(Assigned::Messages(1));
            if self.kernel("START_DEVICE again", started).is_some() {
                self.connected(machine, |story, plugin| story.interrupts(plugin, kind::MSI));
                self.connected(machine, |_, _| device.surprise_removal());
            }
        }
        device.removed();
    }

    fn asleep(&mut self, (machine, process): (&Machine, &Process), plugin: &Plugin, device: &Device) {
        let slept = device.set_system_power(false);
        self.kernel("sleep", slept);
        std::thread::scope(|scope| {
            let call = scope.spawn(|| edu::Client(plugin).invert(1));
            // It waits for the device, or was answered because the device does not sleep.
            until("the call waits", || call.is_finished() || machine.waiting_threads() > 0);
            let woke = device.set_system_power(true);
            self.kernel("wake", woke);
            let awake = edu::Client(&plugin.nowait()).invert(1);
            if self.step("invert", awake).is_none() {
                // The device's own power could not be asked for: it sleeps on, and only the end of its process ends the call.
                process.exit();
            }
            self.step("invert when awake", call.join().expect("the caller does not panic"));
        });
    }

    fn interrupts(&mut self, plugin: &Plugin, kinds: u32) {
        let (client, connection) = (edu::Client(plugin), plugin.connection());
        self.step("invert", client.invert(1));
        let mut batch = client.batch().expect("every driver has rings");
        if let Some(inverted) = self.step("queue", batch.invert(1)) {
            self.step("batch", batch.run().get(inverted));
        }
        drop(batch);
        let refused = connection.call(2, 0, &[], &[0; 5000], &mut [0; 5000]).map_err(|error| error.status);
        self.expect("a call with data that it has not", refused.map(|_| ()), Status::INPUT_LENGTH);
        self.step("defer", client.defer_every(1));
        let enabled = connection.int_enable(kinds, 1, 1, &[0; MAX_OPEN_DATA]);
        if self.step("INT_ENABLE", enabled).is_none() {
            return;
        }
        std::thread::scope(|scope| {
            let wait = scope.spawn(|| connection.int_wait(PATIENCE.as_nanos() as u64, ANY_VECTOR, 1));
            self.step("raise", client.raise(1));
            self.step("INT_WAIT", wait.join().expect("the waiter does not panic"));
        });
        self.step("INT_COUNT", connection.int_count(ANY_VECTOR));
        self.step("INT_DISABLE", connection.int_disable());
    }
}

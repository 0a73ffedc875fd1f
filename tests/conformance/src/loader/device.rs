//! edu's real .sys through a device's life: stopped, suspended, pulled out, with waits pending and calls under way.
use crate::{interrupts::until, registry::guest_test};
use kp_abi::{
    Status,
    request::{
        self, ANY_VECTOR, Call, Close, Head, IntCount, IntDisable, IntEnable, IntWait, NO_TIMEOUT, Open, Query,
        Request, kind,
    },
    zerocopy::{FromBytes, IntoBytes},
};
use kp_user::{ControlNode, Enable, Plugin};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use trouble_interface::{BYTES, Happened, trouble};
use windows_loader::{
    Assigned, Buffer, Device, Done, Driver, Handle, Machine, Mode, Options, Pending, Process, Token, Verdict, access,
};

const READ_WRITE: u32 = access::READ | access::WRITE;
const SUCCESS: i32 = 0;
const CANCELLED: i32 = 0xC000_0120_u32 as i32;
/// Messages of edu's interface.
const INVERT: u32 = 3;
const RAISE: u32 = 5;
const DEFER_EVERY: u32 = 6;
/// For seeing that something is not over: it would be at once.
pub(super) const NO_WAIT_ENDS: Duration = Duration::from_millis(50);

/// A request's control code.
fn control_code(nr: u32) -> u32 {
    request::control_code(nr).unwrap()
}

/// The status in a reply's head.
fn status(reply: &[u8]) -> Status {
    Status(Head::read_from_prefix(reply).unwrap().0.status)
}

/// A machine with edu.
pub(super) struct Edu {
    pub(super) process: Arc<Process>,
    pub(super) device: Device,
    driver: Driver,
    pub(super) machine: Machine,
}

impl Edu {
    pub(super) fn started(drivers: &str, assigned: Assigned) -> Self {
        Self::driven_by("edu", drivers, assigned)
    }

    /// Driven by another plugin.
    pub(super) fn driven_by(plugin: &str, drivers: &str, assigned: Assigned) -> Self {
        Self::in_machine(Machine::default(), plugin, drivers, assigned)
    }

    pub(super) fn in_machine(machine: Machine, plugin: &str, drivers: &str, assigned: Assigned) -> Self {
        let sys: PathBuf = [drivers, plugin, "windows-x86_64", &format!("kp-{plugin}.sys")].iter().collect();
        let driver = machine.start(&sys).unwrap();
        let device = if super::is_qemu() { machine.plug(super::qemu()) } else { machine.plug(kp_sim::edu::Edu::new()) };
        device.add(&driver).unwrap();
        device.start(assigned).unwrap();
        Self { process: machine.process(Token::Administrator), device, driver, machine }
    }

    fn try_open(&self, mode: Mode) -> Result<Client, i32> {
        self.process.open(r"\\.\kp-edu.0", READ_WRITE, mode).map(Client)
    }

    /// A handle whose session is open.
    pub(super) fn client(&self) -> Client {
        let client = self.try_open(Mode::Overlapped).unwrap();
        client.open();
        client
    }

    /// The device goes in order, the driver is unloaded, and nothing is left.
    pub(super) fn finish(self) {
        self.device.remove().unwrap();
        self.unload();
    }

    pub(super) fn unload(self) {
        let Self { process, device, driver, machine } = self;
        driver.stop().unwrap();
        driver.wait_until_unloaded();
        let log = machine.log();
        let live = log.iter().find(|line| line.contains("live:"));
        assert!(live.is_some_and(|line| line.contains("live: 0 allocations, 0 locks, 0 mappings")), "{log:?}");
        drop((process, device, driver));
        machine.finish();
    }
}

/// A handle.
pub(super) struct Client(Handle);

impl Client {
    /// The device inverts a word.
    pub(super) fn invert(&self, word: u32) -> (Status, u32) {
        self.call(INVERT, word)
    }

    /// The device interrupts, if it may.
    pub(super) fn raise(&self, bits: u32) {
        self.call(RAISE, bits);
    }

    /// Is the device at work?
    pub(super) fn is_awake(&self) -> bool {
        self.ask(Query::new()).state == request::state::BOUND
    }

    /// How often a handler has deferred.
    pub(super) fn deferrals(&self) -> u64 {
        self.ask(IntCount { vector: ANY_VECTOR, ..IntCount::new() }).counters.deferred
    }

    /// Closes the handle.
    pub(super) fn close(self) {
        self.0.close();
    }

    /// One request whose answer is its own struct.
    fn ask<R: Request>(&self, mut request: R) -> R {
        request.head().size = size_of::<R>() as u32;
        let mut reply = request;
        let (input, output) = (Buffer::input(request.as_bytes()), Buffer::output(reply.as_mut_bytes()));
        assert_eq!(self.0.control(control_code(R::NR), input, output).status, SUCCESS);
        reply
    }

    pub(super) fn status<R: Request>(&self, request: R) -> Status {
        Status(self.ask(request).head().status)
    }

    fn try_open(&self) -> Status {
        let Query { abi_major, chain, .. } = self.ask(Query::new());
        self.status(Open { abi_major, fingerprint: chain, ..Open::new() })
    }

    fn open(&self) {
        assert_eq!(self.try_open(), Status::OK);
    }

    /// A call with one number, and the number of its reply.
    fn call(&self, message: u32, argument: u32) -> (Status, u32) {
        let mut call = Call { message, args_len: 4, out_len: 4, ..Call::new() };
        call.head.size = size_of::<Call>() as u32;
        let input = [call.as_bytes(), argument.as_bytes()].concat();
        let mut reply = [0; 24];
        let done = self.0.control(control_code(Call::NR), Buffer::input(&input), Buffer::output(&mut reply));
        assert_eq!(done.status, SUCCESS);
        (status(&reply), u32::read_from_bytes(&reply[16..20]).unwrap())
    }

    pub(super) fn enable(&self, kinds: u32) -> Status {
        self.status(IntEnable { kinds, min: 1, max: 1, ..IntEnable::new() })
    }

    /// Every interrupt is deferred, and enabled.
    pub(super) fn armed(&self) {
        assert_eq!(self.call(DEFER_EVERY, 1).0, Status::OK);
        assert_eq!(self.enable(kind::ANY), Status::OK);
    }

    pub(super) fn wait(&self, timeout_ns: u64) -> Waiting {
        let mut request = IntWait { timeout_ns, vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        request.head.size = size_of::<IntWait>() as u32;
        let mut bytes = Box::new([0; size_of::<IntWait>()]);
        bytes.copy_from_slice(request.as_bytes());
        let (input, output) = (Buffer::input(&*bytes), Buffer::output(&mut *bytes));
        let pending = self.0.start(control_code(IntWait::NR), input, output).unwrap();
        Waiting { pending, bytes }
    }

    fn waits(&self) -> u32 {
        self.ask(Query::new()).waits
    }
}

/// A wait under way, and its buffer.
pub(super) struct Waiting {
    pending: Pending,
    bytes: Box<[u8; size_of::<IntWait>()]>,
}

impl Waiting {
    /// How it ended: the request, and what its reply says.
    /// Is it answered?
    pub(super) fn is_over(&self) -> bool {
        self.pending.is_over()
    }

    pub(super) fn end(self) -> (Done, IntWait) {
        until("the wait is over", || self.pending.is_over());
        let done = self.pending.wait();
        (done, IntWait::read_from_bytes(&*self.bytes).unwrap())
    }

    /// The reply's status; the request must have succeeded.
    pub(super) fn status(self) -> Status {
        let (done, wait) = self.end();
        assert_eq!(done.status, SUCCESS);
        Status(wait.head.status)
    }
}

#[guest_test(stage = "loader")]
fn a_wait_stays_pending_until_a_notification_comes(drivers: &str) {
    for assigned in [Assigned::Line, Assigned::Messages(1)] {
        let edu = Edu::started(drivers, assigned);
        let client = edu.client();
        client.armed();
        let waits = [client.wait(NO_TIMEOUT), client.wait(NO_TIMEOUT)];
        assert_eq!(client.waits(), 2);
        assert!(waits.iter().all(|wait| !wait.pending.is_over()));
        for over in [1, 2] {
            // One after the other: two that come together are one interrupt.
            assert_eq!(client.call(RAISE, 1).0, Status::OK);
            until("a wait is over", || waits.iter().filter(|wait| wait.pending.is_over()).count() == over);
        }
        for wait in waits {
            let (done, wait) = wait.end();
            assert_eq!((done.status, done.information), (SUCCESS, size_of::<IntWait>()));
            assert_eq!((Status(wait.head.status), wait.got, wait.available), (Status::OK, 1, 0));
        }
        assert_eq!(client.waits(), 0);
        client.0.close();
        edu.finish();
    }
}

#[guest_test(stage = "loader")]
fn whatever_ends_a_wait_ends_it_once_and_says_so(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Line);
    let client = edu.client();
    client.armed();
    assert_eq!(client.wait(0).status(), Status::TIMEOUT);
    assert_eq!(client.wait(2_000_000).status(), Status::TIMEOUT);

    let (one, other) = (client.wait(NO_TIMEOUT), client.wait(NO_TIMEOUT));
    one.pending.cancel();
    assert_eq!(one.end().0, Done { status: CANCELLED, information: 0 });
    assert!(!other.pending.is_over());
    client.0.cancel();
    assert_eq!(other.end().0.status, CANCELLED);

    let wait = client.wait(NO_TIMEOUT);
    assert_eq!(client.status(IntDisable::new()), Status::OK);
    assert_eq!(wait.status(), Status::INT_DISABLED);

    client.armed();
    let wait = client.wait(NO_TIMEOUT);
    assert_eq!(client.status(Close::new()), Status::OK);
    assert_eq!(wait.status(), Status::CLOSED);
    assert_eq!(client.wait(NO_TIMEOUT).status(), Status::CLOSED);
    client.0.close();

    // A cancelled wait takes nothing: what comes afterwards is the next one's.
    let client = edu.client();
    client.armed();
    let wait = client.wait(60_000_000_000);
    wait.pending.cancel();
    assert_eq!(wait.end().0.status, CANCELLED);
    assert_eq!(client.call(RAISE, 1).0, Status::OK);
    assert_eq!(client.wait(NO_TIMEOUT).status(), Status::OK);

    // The last handle goes: the request is cancelled, as Windows asks for.
    let wait = client.wait(60_000_000_000);
    client.0.close();
    assert_eq!(wait.end().0.status, CANCELLED);
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_process_that_ends_leaves_no_wait_and_no_interrupt(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Messages(1));
    let process = edu.machine.process(Token::Administrator);
    let client = Client(process.open(r"\\.\kp-edu.0", READ_WRITE, Mode::Overlapped).unwrap());
    client.open();
    client.armed();
    let waits = [client.wait(NO_TIMEOUT), client.wait(60_000_000_000)];
    process.exit();
    for wait in waits {
        assert_eq!(wait.end().0.status, CANCELLED);
    }
    let next = edu.client();
    assert_eq!(next.enable(kind::ANY), Status::OK, "nobody owns the interrupt any more");
    next.0.close();
    drop(client);
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_synchronous_handle_may_ask_but_not_wait(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Line);
    let client = edu.try_open(Mode::Synchronous).unwrap();
    client.open();
    client.armed();
    let wait = |timeout_ns| client.status(IntWait { timeout_ns, vector: ANY_VECTOR, max: 1, ..IntWait::new() });
    assert_eq!(wait(0), Status::TIMEOUT);
    assert_eq!(wait(1), Status::NEEDS_OVERLAPPED);
    assert_eq!(wait(NO_TIMEOUT), Status::NEEDS_OVERLAPPED);
    assert_eq!(client.waits(), 0);
    client.0.close();
    edu.finish();
}

#[guest_test(stage = "loader")]
fn only_what_start_assigned_can_be_enabled(drivers: &str) {
    for (assigned, fits, other) in
        [(Assigned::Line, kind::LINE, kind::MSI | kind::MSIX), (Assigned::Messages(1), kind::MSI, kind::LINE)]
    {
        let edu = Edu::started(drivers, assigned);
        let client = edu.client();
        assert_eq!(client.enable(other), Status::NO_INTERRUPT);
        let enabled = client.ask(IntEnable { kinds: kind::ANY, min: 1, max: 4, ..IntEnable::new() });
        assert_eq!((Status(enabled.head.status), enabled.kind, enabled.count), (Status::OK, fits, 1));
        client.0.close();
        edu.finish();
    }
    let edu = Edu::started(drivers, Assigned::Nothing);
    let client = edu.client();
    assert_eq!(client.enable(kind::ANY), Status::NO_INTERRUPT);
    assert_eq!(client.call(INVERT, 1), (Status::OK, !1));
    client.0.close();
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_device_that_is_pulled_out_ends_everything_before_the_removal_returns(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Messages(1));
    let (client, fresh) = (edu.client(), edu.try_open(Mode::Overlapped).unwrap());
    client.armed();
    let waits = [client.wait(NO_TIMEOUT), client.wait(60_000_000_000)];
    edu.device.surprise_removal();
    for wait in waits {
        assert_eq!(wait.status(), Status::DEVICE_GONE);
    }
    assert_eq!(client.call(INVERT, 1).0, Status::DEVICE_GONE);
    assert_eq!(fresh.try_open(), Status::DEVICE_GONE);
    assert_eq!(client.status(Close::new()), Status::OK);
    assert!(edu.try_open(Mode::Overlapped).is_err(), "nobody opens it any more");
    client.0.close();
    fresh.0.close();
    edu.device.removed();
    edu.unload();
}

#[guest_test(stage = "loader")]
fn a_call_and_a_wait_under_way_end_before_the_removal_returns(drivers: &str) {
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Line);
    let handle = Arc::new(ControlNode::over(open_trouble(&trouble.process)));
    let plugin = Plugin::over(handle, trouble::INTERFACE, &[]).unwrap();
    let interrupts = plugin.interrupts(Enable::line()).unwrap();
    std::thread::scope(|scope| {
        let nap = scope.spawn(|| trouble::Client(&plugin).nap(60_000).map_err(|error| error.status));
        let wait = scope.spawn(|| interrupts.wait(Duration::from_secs(60)).map_err(|error| error.status));
        until("both are under way", || plugin.query().is_ok_and(|query| (query.calls, query.waits) == (1, 1)));
        trouble.device.surprise_removal();
        let query = plugin.query().unwrap();
        assert_eq!((query.calls, query.waits, query.state), (0, 0, request::state::GONE));
        assert_eq!(nap.join().unwrap(), Err(Status::DEVICE_GONE));
        assert_eq!(wait.join().unwrap(), Err(Status::DEVICE_GONE));
    });
    drop((interrupts, plugin));
    trouble.device.removed();
    trouble.unload();
}

#[guest_test(stage = "loader")]
fn a_device_is_stopped_only_while_nobody_has_it_open_and_starts_again(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Line);
    let client = edu.client();
    assert!(edu.device.stop().is_err());
    assert!(edu.device.remove().is_err());
    assert_eq!(client.call(INVERT, 5), (Status::OK, !5), "it goes on as before");
    edu.client().0.close();
    client.0.close();
    edu.device.stop().unwrap();
    assert!(edu.try_open(Mode::Overlapped).is_err());
    edu.device.start(Assigned::Messages(1)).unwrap();
    let client = edu.client();
    assert_eq!(client.enable(kind::MSI), Status::OK);
    client.0.close();
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_suspended_device_holds_calls_and_keeps_waits(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Line);
    let client = edu.client();
    client.armed();
    let wait = client.wait(NO_TIMEOUT);
    for _ in 0..3 {
        edu.device.set_system_power(false).unwrap();
        let mut call = Call { message: INVERT, args_len: 4, out_len: 4, ..Call::new() };
        (call.head.size, call.head.flags) = (size_of::<Call>() as u32, kp_abi::request::CALL_NOWAIT);
        let input = [call.as_bytes(), 7_u32.as_bytes()].concat();
        let mut reply = [0; 24];
        client.0.control(control_code(Call::NR), Buffer::input(&input), Buffer::output(&mut reply));
        assert_eq!(status(&reply), Status::SUSPENDED);
        std::thread::scope(|scope| {
            let held = scope.spawn(|| client.call(INVERT, 7));
            edu.device.set_system_power(true).unwrap();
            assert_eq!(held.join().unwrap(), (Status::OK, !7));
        });
        assert!(!wait.pending.is_over());
    }
    // It has forgotten what it was told, or not: it is enabled again, and the wait belongs to the enabling before.
    assert_eq!(client.status(IntDisable::new()), Status::OK);
    assert_eq!(wait.status(), Status::INT_DISABLED);
    edu.device.set_system_power(false).unwrap();
    edu.device.surprise_removal();
    assert_eq!(client.call(INVERT, 7).0, Status::DEVICE_GONE);
    client.0.close();
    edu.device.removed();
    edu.unload();
}

#[guest_test(stage = "loader")]
fn a_plugin_hears_of_sleep_waking_and_removal_once_each(drivers: &str) {
    /// What the plugin has heard of so far.
    fn heard(trouble: &Edu) -> Vec<String> {
        let log = trouble.machine.log();
        log.iter().filter_map(|line| Some(line.split_once("kp-trouble: event: ")?.1.trim_end().to_owned())).collect()
    }
    let happened = |plugin: &Plugin| trouble::Client(plugin).happened();
    let connect = |trouble: &Edu| {
        let handle = Arc::new(ControlNode::over(open_trouble(&trouble.process)));
        Plugin::over(handle, trouble::INTERFACE, &[]).unwrap()
    };

    // With a session open; the removal in order, of a device that nobody has open.
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Line);
    let plugin = connect(&trouble);
    assert_eq!(happened(&plugin), Ok(Happened { suspends: 0, resumes: 0 }));
    for nth in 1..=2 {
        trouble.device.set_system_power(false).unwrap();
        trouble.device.set_system_power(true).unwrap();
        assert_eq!(happened(&plugin), Ok(Happened { suspends: nth, resumes: nth }));
    }
    drop(plugin);
    trouble.device.remove().unwrap();
    assert_eq!(heard(&trouble), ["Suspend", "Resume", "Suspend", "Resume", "Removing"]);
    trouble.unload();

    // Pulled out while it sleeps: told before the removal returns, and not again with the REMOVE_DEVICE that follows.
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Line);
    let plugin = connect(&trouble);
    trouble.device.set_system_power(false).unwrap();
    trouble.device.surprise_removal();
    assert_eq!(heard(&trouble), ["Suspend", "Removing"]);
    drop(plugin);
    trouble.device.removed();
    assert_eq!(heard(&trouble), ["Suspend", "Removing"]);
    trouble.unload();

    // Stopped: the plugin goes, and a new one comes with the next start.
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Line);
    trouble.device.set_system_power(false).unwrap();
    trouble.device.set_system_power(true).unwrap();
    trouble.device.stop().unwrap();
    assert_eq!(heard(&trouble), ["Suspend", "Resume", "Removing"]);
    trouble.device.start(Assigned::Line).unwrap();
    let plugin = connect(&trouble);
    assert_eq!(happened(&plugin), Ok(Happened { suspends: 0, resumes: 0 }));
    drop(plugin);
    trouble.device.remove().unwrap();
    assert_eq!(heard(&trouble), ["Suspend", "Resume", "Removing", "Removing"]);
    trouble.unload();
}

#[guest_test(stage = "loader")]
fn a_name_behind_the_device_is_refused(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Nothing);
    let opened = edu.process.open(r"\\.\kp-edu.0\x", READ_WRITE, Mode::Overlapped);
    assert_eq!(opened.err(), Some(0xC000_0034_u32 as i32));
    let user = edu.machine.process(Token::User);
    assert_eq!(user.open(r"\\.\kp-edu.0", READ_WRITE, Mode::Overlapped).err(), Some(0xC000_0022_u32 as i32));
    until("the refused handle is gone", || edu.device.open_handles() == 0);
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_32_bit_process_sends_the_same_bytes_and_the_plugin_knows_who_it_is(drivers: &str) {
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Line);
    let processes = [
        (trouble.machine.process(Token::Administrator), 0),
        (trouble.machine.process_32bit(Token::Administrator), 1),
        (trouble.machine.process_32bit(Token::System), 1),
    ];
    let mut numbers = Vec::new();
    for (process, is_32bit) in &processes {
        let handle = Arc::new(ControlNode::over(open_trouble(process)));
        let plugin = Plugin::over(handle, trouble::INTERFACE, &[]).unwrap();
        let client = trouble::Client(&plugin);
        let who = client.who().unwrap();
        assert_eq!((who.admin, who.is_32bit), (1, *is_32bit));
        numbers.push(who.process);
        assert_eq!(client.invert(0x0F0F_0F0F), Ok(0xF0F0_F0F0));
        let interrupts = plugin.interrupts(Enable::line()).unwrap();
        client.raise(1).unwrap();
        assert_eq!(interrupts.wait(Duration::MAX).map(|notification| notification.got), Ok(1));
    }
    // Each session has a process of its own, and says so.
    let mut distinct = numbers.clone();
    distinct.dedup();
    assert_eq!(distinct, numbers);
    drop(processes);
    trouble.finish();
}

#[guest_test(stage = "loader")]
fn an_administrator_is_known_as_such_and_nobody_else(drivers: &str) {
    let mut options = Options::default();
    options.open_to_all = true;
    let trouble = Edu::in_machine(Machine::new(options), "trouble", drivers, Assigned::Nothing);
    for (own, impersonated, admin) in [
        (Token::System, None, 1),
        (Token::Administrator, None, 1),
        (Token::User, None, 0),
        // Whose rights a thread has borrowed counts, in both directions.
        (Token::Administrator, Some(Token::User), 0),
        (Token::User, Some(Token::Administrator), 1),
    ] {
        let process = trouble.machine.process(own);
        let handle = process.open_as(impersonated, r"\\.\kp-trouble.0", READ_WRITE, Mode::Overlapped).unwrap();
        let plugin = Plugin::over(Arc::new(ControlNode::over(handle)), trouble::INTERFACE, &[]).unwrap();
        let who = trouble::Client(&plugin).who().unwrap();
        assert_eq!(who.admin, admin, "{own:?}, as {impersonated:?}");
    }
    trouble.finish();
}

pub(super) fn open_trouble(process: &Arc<Process>) -> Handle {
    process.open(r"\\.\kp-trouble.0", READ_WRITE, Mode::Overlapped).unwrap()
}

#[guest_test(stage = "loader")]
fn a_panic_stops_the_machine_and_names_plugin_and_line(drivers: &str) {
    const BOOM: u32 = 2;
    let source = include_str!("../../../plugins/trouble/plugin/src/lib.rs");
    let line = 1 + source.lines().position(|line| line.contains("// panics: call")).unwrap();
    let edu = Edu::driven_by("trouble", drivers, Assigned::Nothing);
    let client = Client(open_trouble(&edu.process));
    client.open();
    // The call never comes back: the run ends.
    assert!(catch_unwind(AssertUnwindSafe(|| client.call(BOOM, BYTES))).is_err());
    let Some(Verdict::BugCheck { code, parameters: [plugin, file, at, message] }) = edu.machine.verdict() else {
        panic!("no bug check: {:?}", edu.machine.verdict());
    };
    assert_eq!((code, plugin.to_le_bytes(), at), (0x4B50_0001, *b"trouble\0", line));
    const FILE: &str = "tests/plugins/trouble/plugin/src/lib.rs";
    assert_eq!(edu.machine.dumped_text(file).as_deref(), Some(FILE));
    let said = edu.machine.dumped_text(message).unwrap();
    let place = format!("panicked at {FILE}:{line}:");
    assert!(said.starts_with(&place) && said.ends_with("the len is 4 but the index is 4"), "{said}");
    // The log has it in one line.
    let line = format!("kp-trouble: {}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    let log = edu.machine.log();
    assert!(log.iter().any(|logged| logged.split_whitespace().collect::<Vec<_>>().join(" ") == line), "{log:?}");
    // The handle's machine is no more; nothing is closed in it.
    std::mem::forget((client, edu));
}

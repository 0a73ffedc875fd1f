//! The schedule of a seeded world: one thread runs at a time, and a random number says which.
//!
//! Nothing here depends on real time, addresses or hash order, so a seed gives the same run every time.
use crate::{clock::STEP_NS, misuse::misuse, random::Random, sync::lock, trace::Event};
use std::{
    cell::RefCell,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::*},
    },
};

/// A run with more events than this has no end.
const MAX_EVENTS: usize = 400_000;
/// Simulated time without any wake-up or interrupt after which a run is stuck, in ns. A tear-down asks about panics now and
/// then, so a thread always sleeps there.
const STUCK_NS: u64 = 60_000_000_000;

/// Waiting for the end of a scope's threads.
const JOIN: u64 = 0;

thread_local! {
    static ME: RefCell<Option<(Arc<Schedule>, usize)>> = const { RefCell::new(None) };
}

/// What a world drives: a kernel with its device.
pub(crate) trait Member: Send + Sync {
    /// `ns` pass for its device.
    fn advance(&self, ns: u64);
    /// When the next of its timers is due, by the clock.
    fn next_timer(&self) -> Option<u64>;
    /// Is there an interrupt for a processor that is idle?
    fn is_due(&self) -> bool;
    /// Takes all of them, on this thread.
    fn deliver(self: Arc<Self>);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ThreadState {
    Runnable,
    Blocked { channel: u64, until: Option<u64> },
    Done,
}

struct Thread {
    name: String,
    state: ThreadState,
    wakeup: Arc<Condvar>,
    /// No scope waits for it, but the world's end does.
    is_kernels: bool,
}

struct State {
    random: Random,
    /// A schedule point changes the thread once in this many times; a property of the run.
    switch_one_in: u64,
    /// Something due is delivered at a schedule point once in this many times; a property of the run.
    deliver_one_in: u64,
    threads: Vec<Thread>,
    running: usize,
    events: Vec<Event>,
    members: Vec<Weak<dyn Member>>,
    member_ids: u32,
    /// Simulated time since anything happened, in ns.
    quiet_ns: u64,
    /// Why the run is over, if it is stuck.
    stuck: Option<String>,
}

pub(crate) struct Schedule {
    state: Mutex<State>,
    pub(crate) clock: Arc<AtomicU64>,
}

/// Ends the calling thread's part in its world.
struct Leave;
impl Drop for Leave {
    fn drop(&mut self) {
        ME.with(|me| *me.borrow_mut() = None);
    }
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let mut random = Random(seed);
        let switch_one_in = 2 << random.below(4);
        let deliver_one_in = 1 + random.below(6);
        let state = State {
            random,
            switch_one_in,
            deliver_one_in,
            threads: Vec::new(),
            running: 0,
            events: Vec::new(),
            members: Vec::new(),
            member_ids: 0,
            quiet_ns: 0,
            stuck: None,
        };
        Arc::new(Self { state: Mutex::new(state), clock: Arc::default() })
    }

    /// The world of the calling thread.
    pub(crate) fn current() -> Option<Arc<Self>> {
        ME.with(|me| me.borrow().as_ref().map(|(schedule, _)| schedule.clone()))
    }

    pub(crate) fn is_mine(self: &Arc<Self>) -> bool {
        Self::current().is_some_and(|mine| Arc::ptr_eq(&mine, self))
    }

    /// The calling thread's number. Only threads of this world come here.
    fn me(&self) -> usize {
        ME.with(|me| me.borrow().as_ref().map_or(0, |&(_, number)| number))
    }

    pub(crate) fn new_member_id(&self) -> u32 {
        let mut state = lock(&self.state);
        state.member_ids += 1;
        state.member_ids
    }

    pub(crate) fn add_member(&self, member: Weak<dyn Member>) {
        lock(&self.state).members.push(member);
    }

    /// The events so far, with the names of the threads.
    pub(crate) fn take_events(&self) -> (Vec<Event>, Vec<String>) {
        let mut state = lock(&self.state);
        let names = state.threads.iter().map(|thread| thread.name.clone()).collect();
        (std::mem::take(&mut state.events), names)
    }

    // Threads.

    /// A new thread, which may be chosen from now on; its number.
    pub(crate) fn add_thread(&self, name: &str) -> usize {
        self.add(name, false)
    }

    /// A new thread of a kernel's own; its number.
    pub(crate) fn add_kernel_thread(&self, name: &str) -> usize {
        self.add(name, true)
    }

    fn add(&self, name: &str, is_kernels: bool) -> usize {
        let mut state = lock(&self.state);
        let (name, wakeup) = (name.to_owned(), Arc::default());
        state.threads.push(Thread { name, state: ThreadState::Runnable, wakeup, is_kernels });
        state.threads.len() - 1
    }

    pub(crate) fn thread_count(&self) -> usize {
        lock(&self.state).threads.len()
    }

    /// Runs `f` as thread `number`, as soon as it is chosen, and ends the thread.
    pub(crate) fn run_thread<R>(self: &Arc<Self>, number: usize, f: impl FnOnce() -> R) -> R {
        drop(self.wait_until_running(lock(&self.state), number));
        ME.with(|me| *me.borrow_mut() = Some((self.clone(), number)));
        let _leave = Leave;
        let answer = f();
        self.end_thread(number);
        answer
    }

    fn end_thread(&self, me: usize) {
        let mut state = lock(&self.state);
        state.threads[me].state = ThreadState::Done;
        state.record(me, "ends", 0);
        state.wake(JOIN);
        // The thread that opened the scope is there, and has just been woken. At the end of a kernel's thread all others may wait: one of
        // them has to look, and let time pass.
        let next = state.choose().or_else(|| {
            state.wake_blocked();
            state.choose()
        });
        if let Some(next) = next {
            state.switch_to(next);
        }
    }

    /// Waits until threads `first..` have ended, but for the kernels' own.
    pub(crate) fn join(&self, first: usize) {
        self.join_all(|number, thread| number >= first && !thread.is_kernels);
    }

    /// Waits until the kernels' own threads have ended.
    pub(crate) fn join_kernels(&self) {
        self.join_all(|_, thread| thread.is_kernels);
    }

    fn join_all(&self, which: impl Fn(usize, &Thread) -> bool) {
        let ended = || {
            let state = lock(&self.state);
            state
                .threads
                .iter()
                .enumerate()
                .all(|(number, thread)| !which(number, thread) || thread.state == ThreadState::Done)
        };
        while !ended() {
            // Even if the run is stuck: the threads have to run to leave.
            drop(self.wait_blocked(JOIN, None));
        }
        self.leave_if_stuck(lock(&self.state));
    }

    fn wait_until_running<'a>(&self, mut state: MutexGuard<'a, State>, me: usize) -> MutexGuard<'a, State> {
        let wakeup = state.threads[me].wakeup.clone();
        while state.running != me {
            state = wakeup.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    // What happens at a kernel call.

    /// Another thread may run now.
    pub(crate) fn schedule_point(&self, what: &'static str, value: u64) {
        let me = self.me();
        let mut state = lock(&self.state);
        state.record(me, what, value);
        if state.events.len() > MAX_EVENTS && state.stuck.is_none() {
            state.stop(format!("no end after {MAX_EVENTS} events"));
        }
        let one_in = state.switch_one_in;
        if state.random.one_in(one_in)
            && let Some(next) = state.choose()
            && next != me
        {
            state.switch_to(next);
            state = self.wait_until_running(state, me);
        }
        self.leave_if_stuck(state);
    }

    /// Is something that is due delivered now, on this thread?
    pub(crate) fn deliver_now(&self) -> bool {
        let mut state = lock(&self.state);
        let one_in = state.deliver_one_in;
        state.random.one_in(one_in)
    }

    /// Lets the others run until `channel` is woken, or the clock shows `until`; perhaps earlier.
    pub(crate) fn block(&self, channel: u64, until: Option<u64>) {
        let state = self.wait_blocked(channel, until);
        self.leave_if_stuck(state);
    }

    fn wait_blocked(&self, channel: u64, until: Option<u64>) -> MutexGuard<'_, State> {
        let me = self.me();
        let mut state = lock(&self.state);
        state.record(me, "waits", channel & 0xFFFF_FFFF);
        state.threads[me].state = ThreadState::Blocked { channel, until };
        loop {
            match state.choose() {
                Some(next) => {
                    state.switch_to(next);
                    state = self.wait_until_running(state, me);
                    if state.threads[me].state == ThreadState::Runnable {
                        break;
                    }
                }
                None => {
                    let delivered = self.idle(state, me);
                    state = lock(&self.state);
                    if delivered || state.threads[me].state == ThreadState::Runnable {
                        break;
                    }
                }
            }
        }
        state
    }

    /// No thread can run: takes what the devices have to say, or lets time pass. Says whether the first was the case; the thread
    /// is no longer blocked then, since it was away.
    fn idle<'a>(&'a self, mut state: MutexGuard<'a, State>, me: usize) -> bool {
        let members = state.members();
        drop(state);
        let next_timer = members.iter().filter_map(|member| member.next_timer()).min();
        if let Some(member) = members.into_iter().find(|member| member.is_due()) {
            state = lock(&self.state);
            state.threads[me].state = ThreadState::Runnable;
            state.quiet_ns = 0;
            drop(state);
            member.deliver();
            return true;
        }
        state = lock(&self.state);
        let now = self.clock.load(Acquire);
        let Some(next) = state.next_deadline().into_iter().chain(next_timer).min() else {
            let waiting = state.waiting();
            state.stop(format!("deadlock: every thread waits, and nothing will wake any: {waiting}"));
            return false;
        };
        let step = next.saturating_sub(now).min(STEP_NS);
        state.quiet_ns += step;
        // A test that fails already may wait for a time in what it drops: that passes.
        if state.quiet_ns > STUCK_NS && state.stuck.is_none() {
            let waiting = state.waiting();
            state.stop(format!("stuck: nothing has happened for a simulated minute: {waiting}"));
            return false;
        }
        drop(state);
        self.pass(step);
        lock(&self.state).wake_sleepers(now + step);
        false
    }

    /// Time passes for the clock and all devices.
    pub(crate) fn pass(&self, ns: u64) {
        self.clock.fetch_add(ns, AcqRel);
        let members = lock(&self.state).members();
        for member in members {
            member.advance(ns);
        }
    }

    pub(crate) fn wake(&self, channel: u64) {
        lock(&self.state).wake(channel);
    }

    pub(crate) fn wake_all(&self) {
        let mut state = lock(&self.state);
        state.quiet_ns = 0;
        state.wake_blocked();
    }

    /// A thread of a kernel's has failed: the run ends.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = lock(&self.state);
        if state.stuck.is_none() {
            state.stop(why.to_owned());
        }
    }

    fn leave_if_stuck(&self, state: MutexGuard<'_, State>) {
        if let Some(why) = state.stuck.clone() {
            drop(state);
            if !std::thread::panicking() {
                misuse(&why);
            }
        }
    }
}

impl State {
    fn record(&mut self, thread: usize, what: &'static str, value: u64) {
        self.events.push(Event { thread: thread as u32, what, value });
    }

    /// One of those that can run.
    fn choose(&mut self) -> Option<usize> {
        let can_run: Vec<usize> =
            (0..self.threads.len()).filter(|&at| self.threads[at].state == ThreadState::Runnable).collect();
        let chosen = self.random.below(can_run.len() as u64) as usize;
        can_run.get(chosen).copied()
    }

    fn switch_to(&mut self, next: usize) {
        self.running = next;
        self.threads[next].wakeup.notify_one();
    }

    fn wake(&mut self, woken: u64) {
        for thread in &mut self.threads {
            if matches!(thread.state, ThreadState::Blocked { channel, .. } if channel == woken) {
                thread.state = ThreadState::Runnable;
                self.quiet_ns = 0;
            }
        }
    }

    fn wake_sleepers(&mut self, now: u64) {
        for thread in &mut self.threads {
            if matches!(thread.state, ThreadState::Blocked { until: Some(until), .. } if until <= now) {
                thread.state = ThreadState::Runnable;
            }
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let deadline = |thread: &Thread| match thread.state {
            ThreadState::Blocked { until, .. } => until,
            _ => None,
        };
        self.threads.iter().filter_map(deadline).min()
    }

    /// Ends the run: every thread leaves at its next kernel call.
    fn stop(&mut self, why: String) {
        self.stuck = Some(why);
        self.wake_blocked();
    }

    /// Every thread that waits looks again.
    fn wake_blocked(&mut self) {
        for thread in &mut self.threads {
            if matches!(thread.state, ThreadState::Blocked { .. }) {
                thread.state = ThreadState::Runnable;
            }
        }
    }

    fn waiting(&self) -> String {
        let waits = |thread: &&Thread| matches!(thread.state, ThreadState::Blocked { .. });
        let names: Vec<&str> = self.threads.iter().filter(waits).map(|thread| thread.name.as_str()).collect();
        names.join(", ")
    }

    fn members(&self) -> Vec<Arc<dyn Member>> {
        self.members.iter().filter_map(Weak::upgrade).collect()
    }
}

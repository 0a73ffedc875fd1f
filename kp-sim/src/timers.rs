//! The kernel's timers: which are started, and which are due. Two runs of one timer may overlap here, if it is started anew while its entry
//! runs: kernels promise no more.
use kp_core::host::TimerEntry;
use std::collections::BTreeMap;

/// Those that were made and not freed, by number.
#[derive(Default)]
pub(crate) struct Timers {
    made: u32,
    all: BTreeMap<u32, Timer>,
}

struct Timer {
    entry: TimerEntry,
    /// By the clock.
    due: Option<u64>,
    /// How many runs are under way.
    running: u32,
}

impl Timers {
    pub(crate) fn make(&mut self, entry: TimerEntry) -> u32 {
        self.made += 1;
        self.all.insert(self.made, Timer { entry, due: None, running: 0 });
        self.made
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// It is due then; None: it is stopped. Errors: there is no such timer.
    pub(crate) fn set(&mut self, number: u32, due: Option<u64>) -> Result<(), String> {
        let timer = self.all.get_mut(&number).ok_or("a timer was started or stopped that is freed already")?;
        timer.due = due;
        Ok(())
    }

    /// One that is due.
    pub(crate) fn due(&self, now: u64) -> Option<u32> {
        self.all.iter().find(|(_, timer)| timer.due.is_some_and(|due| due <= now)).map(|(&number, _)| number)
    }

    /// When the next one is.
    pub(crate) fn next(&self) -> Option<u64> {
        self.all.values().filter_map(|timer| timer.due).min()
    }

    /// Marks one that is due as running. None: another thread was faster, or it was stopped.
    pub(crate) fn begin(&mut self, number: u32, now: u64) -> Option<TimerEntry> {
        let timer = self.all.get_mut(&number).filter(|timer| timer.due.is_some_and(|due| due <= now))?;
        timer.due = None;
        timer.running += 1;
        Some(timer.entry)
    }

    pub(crate) fn end(&mut self, number: u32) {
        if let Some(timer) = self.all.get_mut(&number) {
            timer.running -= 1;
        }
    }

    pub(crate) fn is_running(&self, number: u32) -> bool {
        self.all.get(&number).is_some_and(|timer| timer.running > 0)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.all.remove(&number);
    }
}

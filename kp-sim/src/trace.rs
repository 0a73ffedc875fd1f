//! What happened in a seeded run, event by event.
use std::fmt;

/// One event: a kernel call, an interrupt, or a thread's wait or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The thread's number, from 0.
    pub thread: u32,
    /// What it did.
    pub what: &'static str,
    /// With what: a size, a lock's number, a register's offset.
    pub value: u64,
}

/// A seeded run. Two runs of one seed have equal traces.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// The seed.
    pub seed: u64,
    /// The threads' names, by number.
    pub threads: Vec<String>,
    /// The events, in their order.
    pub events: Vec<Event>,
}

impl Trace {
    /// The last `count` events, a line each.
    pub fn tail(&self, count: usize) -> String {
        let from = self.events.len().saturating_sub(count);
        self.events[from..].iter().map(|event| self.line(event)).collect()
    }

    fn line(&self, event: &Event) -> String {
        let name = self.threads.get(event.thread as usize).map_or("?", String::as_str);
        format!("{name:>12}  {} {:#x}\n", event.what, event.value)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} events", self.seed, self.events.len())?;
        f.write_str(&self.tail(self.events.len()))
    }
}

/// Short: a failed assertion prints it.
impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace of seed {}, {} events", self.seed, self.events.len())
    }
}

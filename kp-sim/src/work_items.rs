//! The kernel's work items: which are queued, and which run.
use kp_core::host::WorkEntry;
use std::collections::BTreeMap;

/// Those that were made and not freed, by number.
#[derive(Default)]
pub(crate) struct WorkItems {
    made: u32,
    all: BTreeMap<u32, Item>,
    /// What a run's thread was told of a rule that it has broken.
    pub(crate) failure: Option<String>,
}

struct Item {
    entry: WorkEntry,
    is_queued: bool,
    /// How many runs are under way.
    running: u32,
}

impl WorkItems {
    pub(crate) fn make(&mut self, entry: WorkEntry) -> u32 {
        self.made += 1;
        self.all.insert(self.made, Item { entry, is_queued: false, running: 0 });
        self.made
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Errors: how the caller is wrong.
    pub(crate) fn queue(&mut self, number: u32) -> Result<(), String> {
        let item = self.all.get_mut(&number).ok_or("a work item was queued that is freed already")?;
        if std::mem::replace(&mut item.is_queued, true) {
            return Err("a work item was queued that is queued already".to_owned());
        }
        Ok(())
    }

    /// Marks one that was queued as running.
    pub(crate) fn begin(&mut self, number: u32) -> Option<WorkEntry> {
        let item = self.all.get_mut(&number)?;
        item.is_queued = false;
        item.running += 1;
        Some(item.entry)
    }

    pub(crate) fn end(&mut self, number: u32) {
        if let Some(item) = self.all.get_mut(&number) {
            item.running -= 1;
        }
    }

    /// Is it queued, or does it run?
    pub(crate) fn is_busy(&self, number: u32) -> bool {
        self.all.get(&number).is_some_and(|item| item.is_queued || item.running > 0)
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.all.remove(&number);
    }
}

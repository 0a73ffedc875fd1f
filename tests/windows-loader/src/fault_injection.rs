//! Planned failures: each call of a kernel function that can fail, failed once for each place that it is made from.
use crate::{
    kernel::{Kernel, lock},
    unwind,
};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
};

/// How many callers tell one place from another.
const DEPTH: usize = 6;

/// A place in a driver that calls a kernel function: the function, and the return addresses in the driver from the call outwards,
/// relative to its image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The kernel's function.
    pub function: &'static str,
    /// The call, its caller, and so on.
    pub callers: Vec<u32>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function)?;
        self.callers.iter().try_for_each(|caller| write!(f, " <- {caller:#x}"))
    }
}

/// The places that were met so far. Machines made with it fail, each, the first call from a place that was not met before.
#[derive(Debug, Default)]
pub struct Sites {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    met: BTreeSet<Site>,
    failed: Option<Site>,
    is_on: bool,
    /// The function whose next call fails, wherever it comes from.
    next: Option<&'static str>,
}

impl Sites {
    /// None was met.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next call from a new place fails.
    pub fn arm(&self) {
        let mut state = lock(&self.state);
        (state.failed, state.is_on) = (None, true);
    }

    /// The next call of this function fails.
    pub fn fail_next(&self, function: &'static str) {
        lock(&self.state).next = Some(function);
    }

    /// No call fails any more. The one that failed since [`arm`](Self::arm), if one did.
    pub fn disarm(&self) -> Option<Site> {
        let mut state = lock(&self.state);
        state.is_on = false;
        state.failed.take()
    }

    /// All places that were met.
    pub fn met(&self) -> Vec<Site> {
        lock(&self.state).met.iter().cloned().collect()
    }
}

/// A kernel's own part of it.
pub(crate) struct Faults {
    sites: Option<Arc<Sites>>,
}

impl Faults {
    pub(crate) fn new(sites: Option<Arc<Sites>>) -> Self {
        Self { sites }
    }

    /// Do calls fail on purpose in this machine?
    pub(crate) fn are_planned(&self) -> bool {
        self.sites.is_some()
    }

    /// Shall this call fail? `rsp` and `rbp` are the caller's.
    pub(crate) fn call(
        &self,
        kernel: &Kernel,
        function: &'static str,
        return_address: usize,
        rsp: usize,
        rbp: usize,
    ) -> bool {
        let Some(sites) = &self.sites else { return false };
        let Some(image) = kernel.image_at(return_address) else { return false };
        let mut state = lock(&sites.state);
        if state.next == Some(function) {
            state.next = None;
            return true;
        }
        if !state.is_on || state.failed.is_some() {
            return false;
        }
        let site = Site { function, callers: unwind::callers(&image, return_address, rsp, rbp, DEPTH) };
        if !state.met.insert(site.clone()) {
            return false;
        }
        state.failed = Some(site);
        true
    }
}

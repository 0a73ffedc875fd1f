//! `cargo kp bench`: the plugins against what somebody would write by hand, in the same guest, by the same loops.
//!
//! [`guest`] counts instructions of calls, interrupts and transfers, [`host`] those of a message's dispatch in one process, [`author`] measures
//! sizes and the times that an author waits. Each gives [`Row`]s; [`report`] prints and keeps them, and [`plot`] draws them.
pub mod author;
pub mod baselines;
pub mod guest;
pub mod host;
pub mod plot;
pub mod report;
pub mod stock;

use crate::command::Command;
use crate::packages::{Packages, Purpose, ThisMachine};
use crate::programs;
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use serde::Serialize;
use std::path::PathBuf;

/// What is measured when nothing is named, and the kernels it is measured on.
const KERNELS: [&str; 2] = ["6.1-cloud", "6.12-cloud"];

/// Measures the framework against hand-written baselines, prints one table, and keeps it in target/kp/bench.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// A kernel to measure on; may be given often. Without it: 6.1-cloud and 6.12-cloud.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Vec<String>,
    /// Measure only this part; may be given often.
    #[arg(long, value_enum)]
    pub only: Vec<Part>,
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
}

impl BenchArgs {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// What these measures want packages for.
    fn needed(&self) -> Vec<Purpose> {
        let mut needed = vec![Purpose::Build, Purpose::Boot];
        if self.wants(Part::Host) {
            needed.push(Purpose::Bench);
        }
        needed
    }
}

/// One part of the measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Calls: `call-*`.
    Calls,
    /// Interrupts: `irq-*`, `wait-wake*`.
    Interrupts,
    /// Transfers of a device's own: `dma-*`.
    Transfers,
    /// A message's dispatch in one process: `*-64`.
    Host,
    /// Sizes: `text-*`.
    Sizes,
    /// Times that an author waits: `build-*`, `boot-to-result`.
    Author,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Calls => "calls",
            Part::Interrupts => "interrupts",
            Part::Transfers => "transfers",
            Part::Host => "a message's dispatch",
            Part::Sizes => "sizes",
            Part::Author => "times that an author waits",
        }
    }
}

/// What a limit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limited {
    /// Of the ratio.
    Ratio,
    /// Of what ours has more than the baseline.
    Difference,
}

/// One measure on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub measure: String,
    /// The kernel's release, or `host`.
    pub kernel: String,
    /// Ours.
    pub ours: f64,
    /// The baseline's. None: there is nothing to compare with.
    pub baseline: Option<f64>,
    /// Ours by the baseline's.
    pub ratio: Option<f64>,
    /// What may be this at most. None: the row is only reported.
    pub limit_of: Option<Limited>,
    /// What it may be at most.
    pub limit: Option<f64>,
    /// Is the limit kept?
    pub reached: Option<bool>,
    /// What is counted.
    pub unit: &'static str,
    /// What the baseline is, and how both were measured.
    pub how: String,
}

impl Row {
    /// A row that is only reported.
    pub fn new(measure: &str, kernel: &str, ours: f64, baseline: Option<f64>, unit: &'static str, how: &str) -> Self {
        Row {
            measure: measure.into(),
            kernel: kernel.into(),
            ours,
            baseline,
            ratio: baseline.map(|baseline| ours / baseline),
            limit_of: None,
            limit: None,
            reached: None,
            unit,
            how: how.into(),
        }
    }

    /// The ratio may be this at most.
    pub fn at_most(mut self, limit: f64) -> Self {
        (self.limit_of, self.limit) = (Some(Limited::Ratio), Some(limit));
        self.reached = self.ratio.map(|ratio| ratio <= limit);
        self
    }

    /// The difference may be this at most.
    pub fn over_at_most(mut self, limit: f64) -> Self {
        (self.limit_of, self.limit) = (Some(Limited::Difference), Some(limit));
        self.reached = self.baseline.map(|baseline| self.ours - baseline <= limit);
        self
    }

    /// The ratio at which the limit is just kept.
    pub fn limit_as_ratio(&self) -> Option<f64> {
        match (self.limit_of?, self.limit?) {
            (Limited::Ratio, limit) => Some(limit),
            (Limited::Difference, limit) => self.baseline.map(|baseline| (baseline + limit) / baseline),
        }
    }
}

/// Where results and what they need are put, and where the workspace is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The workspace's folder.
    pub workspace: PathBuf,
    /// `target/kp/bench`.
    pub output: PathBuf,
}

impl Place {
    /// The workspace around the working folder.
    pub fn here() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
        let output = metadata.target_directory.join("kp/bench");
        std::fs::create_dir_all(&output).with_context(|| format!("cannot make {output}"))?;
        Ok(Place { workspace: metadata.workspace_root.into(), output: output.into() })
    }
}

impl Command for BenchArgs {
    /// Fails where a measure stops. A limit that is not kept is no error: the table says so.
    fn run(self) -> Result<()> {
        programs::require_repository("bench")?;
        let place = Place::here()?;
        Packages::new(&ThisMachine).require(&self.needed(), self.setup)?;
        let wants = |part, place: &str| {
            let wanted = self.wants(part);
            if wanted {
                eprintln!("measuring on {place}: {}", part.name());
            }
            wanted
        };
        let mut rows = Vec::new();
        if wants(Part::Host, "host") {
            rows.extend(host::measure()?);
        }
        let named: Vec<&str> = self.kernel.iter().map(String::as_str).collect();
        for kernel in if named.is_empty() { &KERNELS[..] } else { &named } {
            let built = guest::Built::new(&place, kernel, self.setup)?;
            if wants(Part::Calls, kernel) {
                rows.extend(guest::calls(&built)?);
            }
            if wants(Part::Interrupts, kernel) {
                rows.extend(guest::interrupts(&built)?);
            }
            if wants(Part::Transfers, kernel) {
                rows.extend(guest::transfers(&built)?);
            }
            if wants(Part::Sizes, kernel) {
                rows.extend(author::sizes(&built)?);
            }
            if wants(Part::Author, kernel) {
                rows.extend(author::times(&place, &built)?);
            }
        }
        report::print(&rows);
        report::keep(&place, &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valgrind_is_asked_for_if_instructions_are_counted_here() {
        let args = |only: &[Part]| BenchArgs { kernel: vec![], only: only.to_vec(), setup: false };
        assert!(args(&[]).needed().contains(&Purpose::Bench));
        assert!(args(&[Part::Sizes, Part::Host]).needed().contains(&Purpose::Bench));
        assert!(!args(&[Part::Calls]).needed().contains(&Purpose::Bench));
    }
}

//! A message's dispatch in one process, by callgrind's count and by the clock.
use super::Row;
use crate::programs;
use anyhow::{Context, Result, bail};
use std::{path::Path, process::Command};

/// Two runs whose difference is this many calls: what start and end cost drops out.
const COUNTS: [u64; 2] = [1000, 11_000];
/// Calls of one run by the clock, and runs: the fastest counts.
const TIMED: (u64, usize) = (1_000_000, 9);

/// What one way costs.
struct Cost {
    instructions: f64,
    nanoseconds: f64,
    allocations: u64,
}

/// The rows.
pub fn measure() -> Result<Vec<Row>> {
    let program = programs::build_with("bench-host", &["--package", "bench-host", "--release"])?;
    let direct = cost(&program, "direct-64")?;
    let ours = cost(&program, "dispatch-64")?;
    let how = format!("client, checks, handler, checks; callgrind; {} allocations", ours.allocations);
    let row =
        |measure: &str, ours, baseline, unit, how: &str| Row::new(measure, "host", ours, Some(baseline), unit, how);
    let by_clock = "wall clock, fastest of nine runs; depends on the machine";
    let mut rows = vec![
        row("dispatch-64", ours.instructions, direct.instructions, "instructions", &format!("direct call; {how}"))
            .over_at_most(40.0),
        row("dispatch-64-ns", ours.nanoseconds, direct.nanoseconds, "ns", &format!("direct call; {by_clock}")),
        Row::new("direct-64", "host", direct.instructions, None, "instructions", "the handler's method; callgrind"),
        Row::new("direct-64-ns", "host", direct.nanoseconds, None, "ns", by_clock),
    ];
    for way in ["bincode-64", "rkyv-64"] {
        let other = cost(&program, way)?;
        let how = format!("dispatch-64 against {way}, {} allocations; callgrind", other.allocations);
        rows.push(row(way, ours.instructions, other.instructions, "instructions", &how).at_most(1.0));
        rows.push(row(&format!("{way}-ns"), ours.nanoseconds, other.nanoseconds, "ns", by_clock));
    }
    Ok(rows)
}

fn cost(program: &Path, way: &str) -> Result<Cost> {
    let [few, many] = COUNTS;
    let instructions = (counted(program, way, many)? - counted(program, way, few)?) as f64 / (many - few) as f64;
    let mut cost = Cost { instructions, nanoseconds: f64::INFINITY, allocations: 0 };
    for _ in 0..TIMED.1 {
        let done = Command::new(program).args([way, &TIMED.0.to_string()]).output();
        let done = done.with_context(|| format!("cannot start {}", program.display()))?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let numbers = text.trim().split_once(' ').and_then(|(a, b)| Some((a.parse::<f64>().ok()?, b.parse().ok()?)));
        let (nanoseconds, allocations) = numbers.with_context(|| format!("bench-host {way} says: {text}"))?;
        cost.nanoseconds = cost.nanoseconds.min(nanoseconds);
        cost.allocations = allocations;
    }
    Ok(cost)
}

/// All instructions of a run.
fn counted(program: &Path, way: &str, count: u64) -> Result<u64> {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([way, &count.to_string()])
        .output()
        .context("cannot start valgrind")?;
    let text = String::from_utf8_lossy(&done.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match collected {
        Some(collected) if done.status.success() => Ok(collected),
        _ => bail!("valgrind fails on bench-host {way}: {}", text.lines().last().unwrap_or_default()),
    }
}

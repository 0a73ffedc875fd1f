//! The table, and what is kept of it.
use super::{Limited, Place, Row, plot};
use anyhow::{Context, Result};
use std::fmt::Write;

/// Prints the rows as one table.
pub fn print(rows: &[Row]) {
    print!("{}", table(rows));
}

/// The columns with numbers, which stand at their right edge.
const NUMBERS: std::ops::RangeInclusive<usize> = 2..=4;

/// The rows as a table that Markdown understands too.
pub fn table(rows: &[Row]) -> String {
    let header = ["measure", "kernel", "ours", "baseline", "ratio", "to reach", "unit", "baseline and method"];
    let mut lines: Vec<[String; 8]> = vec![header.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> =
        (0..header.len()).map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match NUMBERS.contains(&at) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        if index == 0 {
            let rules = widths.iter().enumerate().map(|(at, &width)| {
                let end = if NUMBERS.contains(&at) { ':' } else { '-' };
                format!("-{}{end}", "-".repeat(width))
            });
            let _ = writeln!(text, "|{}|", rules.collect::<Vec<_>>().join("|"));
        }
    }
    text
}

fn cells(row: &Row) -> [String; 8] {
    let number = |value: f64| if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") };
    let reach = match (row.limit_of, row.limit, row.reached) {
        (Some(limited), Some(limit), Some(reached)) => {
            let sign = if limited == Limited::Difference { "+" } else { "" };
            format!("{sign}{limit} {}", if reached { "reached" } else { "NOT REACHED" })
        }
        _ => String::new(),
    };
    [
        row.measure.clone(),
        row.kernel.clone(),
        number(row.ours),
        row.baseline.map(number).unwrap_or_default(),
        row.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
        reach,
        row.unit.to_owned(),
        row.how.clone(),
    ]
}

/// Writes `results.json`, `results.md` and `results.svg` into target/kp/bench.
pub fn keep(place: &Place, rows: &[Row]) -> Result<()> {
    let json = serde_json::to_string_pretty(rows).context("cannot write down the results")? + "\n";
    for (name, text) in [("results.json", json), ("results.md", table(rows)), ("results.svg", plot::svg(rows))] {
        let path = place.output.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_kept_shows_in_the_table() {
        let row = |ours| Row::new("call-0", "6.1", ours, Some(100.0), "instructions", "plain").at_most(1.05);
        let text = table(&[row(105.0), row(106.0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("1.050 | 1.05 reached "), "{text}");
        assert!(lines[3].contains("1.060 | 1.05 NOT REACHED"), "{text}");
    }

    #[test]
    fn a_difference_is_judged_as_one() {
        let row = |ours| Row::new("dispatch-64", "host", ours, Some(50.0), "instructions", "direct").over_at_most(40.0);
        assert_eq!((row(90.0).reached, row(91.0).reached), (Some(true), Some(false)));
        let text = table(&[row(90.0)]);
        assert!(text.contains("| 1.800 | +40 reached |"), "{text}");
    }
}

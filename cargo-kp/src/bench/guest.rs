//! Calls and interrupts, counted in a guest whose clock moves one nanosecond with each instruction.
//!
//! One boot has ours and the baselines. The counts are exact: on the same kernel and modules they come out the same on any machine.
//! What the devices do takes no instruction, and neither does an interrupt's way to the CPU.
use super::{Place, Row, baselines};
use crate::{
    guest::plan::Step,
    host::{self, MODULES, Modules, PROGRAM},
    programs,
};
use anyhow::{Context, Result, bail};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// What one kernel's guest needs.
pub struct Built {
    /// Our modules: bench, edu, echo.
    pub modules: Modules,
    /// The folder of the hand-written ones.
    pub baselines: PathBuf,
    uio: Vec<PathBuf>,
    program: PathBuf,
}

impl Built {
    /// Builds them.
    pub fn new(place: &Place, kernel: &str, setup: bool) -> Result<Self> {
        let modules = host::modules(kernel, &["bench", "edu", "echo"], setup)?;
        let baselines = baselines::build(place, &modules.kernel)?;
        let uio = baselines::uio(place, &modules.kernel)?;
        let program = programs::build_with("bench-guest", &["--bin", "bench-guest", "--release"])?;
        Ok(Built { modules, baselines, uio, program })
    }

    /// The kernel's release.
    pub fn kernel(&self) -> &str {
        &self.modules.kernel.release
    }

    /// A hand-written module's file.
    pub fn baseline(&self, name: &str) -> PathBuf {
        self.baselines.join(format!("{name}.ko"))
    }

    /// Boots the guest and runs one command of its program.
    fn counted(&self, command: &str) -> Result<Medians> {
        let mut vm = self.modules.guest(&self.program);
        let file = |path: &Path| path.file_name().map(|name| format!("{MODULES}/{}", name.to_string_lossy()));
        let baselines = ["plain", "plain-irq"].map(|name| self.baseline(name));
        for path in baselines.iter().chain(&self.uio) {
            vm = vm.file(path, &file(path).context("a module without a name")?);
        }
        let report = vm
            .qemu_arg("-icount")
            .qemu_arg("shift=0,sleep=off")
            // `rep movsb` counts one instruction for each byte, which no CPU takes that has it.
            .kernel_arg("clearcpuid=erms,rep_good,fsrm")
            // The program rings the device's doorbell itself, while a driver has the device.
            .kernel_arg("iomem=relaxed")
            .step(Step::run(&[PROGRAM, command]))
            .timeout(Duration::from_secs(300))
            .run(&mut |_| {})?;
        if let Err(error) = report.clone().into_result() {
            bail!("bench-guest {command} on {}: {error}: {}", self.kernel(), report.output.join("; "));
        }
        Medians::read(&report.output)
    }
}

/// What the guest's program has counted, by name.
struct Medians(HashMap<String, f64>);

impl Medians {
    fn read(lines: &[String]) -> Result<Self> {
        let read = |line: &String| -> Option<(String, f64)> {
            let mut words = line.split(' ');
            let (name, median) = (words.next()?, words.nth(2)?);
            Some((name.to_owned(), median.parse().ok()?))
        };
        let all: Option<_> = lines.iter().map(read).collect();
        all.map(Medians).with_context(|| format!("the guest's program says: {}", lines.join("; ")))
    }

    fn get(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("the guest's program has not counted {name}"))
    }
}

const INSTRUCTIONS: &str = "instructions";

/// The rows of the calls.
pub fn calls(built: &Built) -> Result<Vec<Row>> {
    let counted = built.counted("calls")?;
    let mut rows = Vec::new();
    for (size, limit) in [(0, 1.05), (64, 1.05), (1024, 1.05), (65_536, 1.02)] {
        let ours = counted.get(&format!("call-{size}-ours"))?;
        let row = |measure: &str, ours, baseline: &str, how: &str| -> Result<Row> {
            let baseline = counted.get(&format!("call-{size}-{baseline}"))?;
            Ok(Row::new(measure, built.kernel(), ours, Some(baseline), INSTRUCTIONS, how))
        };
        let how = "plain: one buffer in and out; ioctl to ioctl, median";
        rows.push(row(&format!("call-{size}"), ours, "plain", how)?.at_most(limit));
        let how = "the request CALL, with its struct, in the place of its direct form; ioctl to ioctl, median";
        rows.push(row(&format!("call-{size}-struct"), counted.get(&format!("call-{size}-struct"))?, "plain", how)?);
        if size > 0 {
            let how = "plain that copies the request to a reply buffer, as our handler does; median";
            rows.push(row(&format!("call-{size}-same-work"), ours, "plain-moved", how)?);
        }
        if let Ok(client) = counted.get(&format!("call-{size}-client")) {
            let how = "the client library's typed method against plain's ioctl; median";
            rows.push(row(&format!("call-{size}-client"), client, "plain", how)?);
        }
    }
    let how = "one plain ioctl of 64 bytes; a message of a batch of 64 on kp_user::Ring, submission and completion included, median";
    let how_client =
        "the same by the client library's batch(): a typed method, its bytes into the ring, the reply's out of it";
    let plain = Some(counted.get("call-64-plain")?);
    let row = |measure: &str, count: &str, how: &str| -> Result<Row> {
        Ok(Row::new(measure, built.kernel(), counted.get(count)? / 64.0, plain, INSTRUCTIONS, how))
    };
    let how_empty = "a batch of none: what 64 messages share";
    rows.push(Row::new("ring-64-empty", built.kernel(), counted.get("ring-64-empty")?, None, INSTRUCTIONS, how_empty));
    rows.push(row("ring-64", "ring-64-batch", how)?.at_most(0.15));
    rows.push(row("ring-64-client", "ring-64-client", how_client)?);
    Ok(rows)
}

/// The rows of the interrupts.
pub fn interrupts(built: &Built) -> Result<Vec<Row>> {
    let counted = built.counted("interrupts")?;
    let row = |measure: &str, ours: &str, baseline: &str, how: &str| -> Result<Row> {
        let (ours, baseline) = (counted.get(ours)?, counted.get(baseline)?);
        Ok(Row::new(measure, built.kernel(), ours, Some(baseline), INSTRUCTIONS, how))
    };
    let (wake, wake_line, inside) = ("irq-wake-msi-ours", "irq-wake-line-ours", "irq-inside-msi-ours");
    let in_plain = "plain-irq: MSI, tasklet, blocked read; doorbell to app running, median";
    let in_uio = "uio_pci_generic: doorbell to app running, acknowledged and enabled again; median";
    Ok(vec![
        row("irq-wake", wake, "irq-wake-msi-plain", in_plain)?.at_most(1.05),
        row(
            "irq-wake-client",
            "irq-wake-msi-client",
            "irq-wake-msi-plain",
            "the client library's wait; else as irq-wake",
        )?,
        row("irq-wake-vs-uio", wake, "irq-wake-uio", in_uio)?.at_most(1.0),
        row("irq-wake-line-vs-uio", wake_line, "irq-wake-uio", "ours by INTx too; else as irq-wake-vs-uio")?,
        row("irq-wake-vs-uio-running", wake, "irq-wake-uio-running", "UIO only up to the app running; median")?,
        row(
            "irq-in-plugin-vs-uio",
            inside,
            "irq-wake-uio",
            "ours ends in the handler, UIO's in the app; each, median",
        )?
        .at_most(0.5),
        row(
            "irq-in-plugin",
            inside,
            "irq-inside-msi-plain",
            "plain-irq that wakes nobody; doorbell to next instruction",
        )?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_measure_is_shown_and_not_passed_over() {
        let lines = ["call-0-ours 2001 986 990".to_owned()];
        assert_eq!(Medians::read(&lines).unwrap().get("call-0-ours").unwrap(), 990.0);
        let lines = [lines[0].clone(), "cannot unload plain: busy".to_owned()];
        let error = Medians::read(&lines).err().expect("it is refused").to_string();
        assert!(error.contains("cannot unload plain"), "{error}");
    }
}

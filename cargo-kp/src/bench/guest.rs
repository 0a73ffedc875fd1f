//! Calls, interrupts and transfers, counted in a guest whose clock moves one nanosecond with each instruction.
//!
//! One boot has ours and the baselines; VFIO's has an IOMMU, which changes how interrupts are delivered. The counts are exact: on the same kernel and modules they come out the same on any machine.
//! What the devices do takes no instruction, and neither does an interrupt's way to the CPU.
use super::{Place, Row, baselines, stock::Stock};
use crate::{
    guest::plan::Step,
    host::{self, MODULES, Modules, PROGRAM},
    programs,
    vm::Vm,
};
use anyhow::{Context, Result, bail};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// What one kernel's guest needs.
pub struct Built {
    /// Our modules.
    pub modules: Modules,
    /// The folder of the hand-written ones.
    pub baselines: PathBuf,
    stock: Stock,
    program: PathBuf,
}

impl Built {
    /// Builds them.
    pub fn new(place: &Place, kernel: &str, setup: bool) -> Result<Self> {
        let modules = host::modules(kernel, &["bench", "bench-wake", "bench-handler", "bmd", "edu", "echo"], setup)?;
        let baselines = baselines::build(place, &modules.kernel)?;
        let stock = Stock::of(place, &modules.kernel)?;
        let program = programs::build_with("bench-guest", &["--package", "bench-guest", "--release"])?;
        Ok(Built { modules, baselines, stock, program })
    }

    /// The kernel's release.
    pub fn kernel(&self) -> &str {
        &self.modules.kernel.release
    }

    /// A hand-written module's file.
    pub fn baseline(&self, name: &str) -> PathBuf {
        self.baselines.join(format!("{name}.ko"))
    }

    /// A guest whose clock counts instructions.
    fn guest(&self) -> Result<Vm> {
        let mut vm = self.modules.guest(&self.program);
        let file = |path: &Path| path.file_name().map(|name| format!("{MODULES}/{}", name.to_string_lossy()));
        let baselines = ["plain", "plain-edu", "plain-irq"].map(|name| self.baseline(name));
        for path in baselines.iter().chain(&self.stock.uio).chain(&self.stock.vfio) {
            vm = vm.file(path, &file(path).context("a module without a name")?);
        }
        let vm = vm
            .qemu_arg("-icount")
            .qemu_arg("shift=0,sleep=off")
            // `rep movsb` counts one instruction for each byte, which no CPU takes that has it.
            .kernel_arg("clearcpuid=erms,rep_good,fsrm")
            // The program rings the device's doorbell itself, while a driver has the device.
            .kernel_arg("iomem=relaxed");
        Ok(vm.timeout(Duration::from_secs(300)))
    }

    /// The same with an IOMMU, and one that checks interrupts: without it VFIO hands out no device.
    fn guest_with_iommu(&self) -> Result<Vm> {
        Ok(self.guest()?.device("intel-iommu,intremap=on").kernel_arg("intel_iommu=on"))
    }

    /// Boots a guest and runs one command of its program.
    fn counted(&self, vm: Vm, command: &str) -> Result<Medians> {
        let report = vm.step(Step::run(&[PROGRAM, command])).run(&mut |_| {})?;
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

    /// A row of two of them.
    fn row(&self, kernel: &str, measure: &str, ours: &str, baseline: &str, how: &str) -> Result<Row> {
        Ok(Row::new(measure, kernel, self.get(ours)?, Some(self.get(baseline)?), INSTRUCTIONS, how))
    }
}

const INSTRUCTIONS: &str = "instructions";

/// The rows of the calls.
pub fn calls(built: &Built) -> Result<Vec<Row>> {
    let counted = built.counted(built.guest()?, "calls")?;
    let mut rows = Vec::new();
    for (size, limit) in [(0, 1.05), (64, 1.05), (1024, 1.05), (65_536, 1.02)] {
        let ours = counted.get(&format!("call-{size}-ours"))?;
        let row = |measure: &str, ours, baseline: &str, how: &str| -> Result<Row> {
            let baseline = counted.get(&format!("call-{size}-{baseline}"))?;
            Ok(Row::new(measure, built.kernel(), ours, Some(baseline), INSTRUCTIONS, how))
        };
        let how = "plain: one buffer in and out; ioctl to ioctl, median";
        rows.push(row(&format!("call-{size}"), ours, "plain", how)?.at_most(limit));
        let how = "the request CALL with its struct, not the direct form; ioctl to ioctl, median";
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
    let how = "one plain ioctl of 64 bytes; a message of a batch of 64 on kp_user::Ring, written and read; median";
    let how_client = "the same by the client library's batch(): a typed method and its reply";
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
    let counted = built.counted(built.guest()?, "interrupts")?;
    let beside_vfio = built.counted(built.guest_with_iommu()?, "vfio")?;
    let mut rows = without_iommu(built.kernel(), &counted)?;
    rows.extend(against_vfio(built.kernel(), &beside_vfio)?);
    Ok(rows)
}

const WAKE: &str = "irq-wake-msi-ours";
const BY_HANDLER: &str = "irq-wake-handler-ours";
const INSIDE: &str = "irq-inside-msi-ours";
const PLAIN: &str = "irq-wake-msi-plain";

/// Against plain-irq and UIO.
fn without_iommu(kernel: &str, counted: &Medians) -> Result<Vec<Row>> {
    let row = |measure: &str, ours: &str, baseline: &str, how: &str| counted.row(kernel, measure, ours, baseline, how);
    let in_plain = "plain-irq: MSI, tasklet, blocked read; doorbell to app running, median";
    let client = "the client library's wait; else as irq-wake";
    let in_a_call = "plain-edu; from the DPC's wake-up to the call that waits in the driver; median";
    let to_app = "the same from the doorbell to app running; median";
    let in_uio = "uio_pci_generic: doorbell to app running, acknowledged and enabled again; median";
    let by_line = "ours by INTx too; else as irq-wake-vs-uio";
    let running = "UIO only up to the app running; median";
    let in_app = "ours ends in the handler, UIO's in the app; each, median";
    let nobody = "plain-irq that wakes nobody; doorbell to next instruction";
    Ok(vec![
        row("irq-wake", WAKE, PLAIN, in_plain)?.at_most(1.05),
        row("irq-wake-client", "irq-wake-msi-client", PLAIN, client)?,
        row("irq-wake-by-handler", BY_HANDLER, PLAIN, "ours without a deferred handler; else as irq-wake")?,
        row("wait-wake", "wait-wake-ours", "wait-wake-plain", in_a_call)?.at_most(1.05),
        row("wait-wake-app", "wait-wake-app-ours", "wait-wake-app-plain", to_app)?.at_most(1.05),
        row("irq-wake-vs-uio", WAKE, "irq-wake-uio", in_uio)?.at_most(1.0),
        row("irq-wake-line-vs-uio", "irq-wake-line-ours", "irq-wake-uio", by_line)?,
        row("irq-wake-vs-uio-running", WAKE, "irq-wake-uio-running", running)?,
        row("irq-in-plugin-vs-uio", INSIDE, "irq-wake-uio", in_app)?.at_most(0.5),
        row("irq-in-plugin", INSIDE, "irq-inside-msi-plain", nobody)?,
    ])
}

/// Against VFIO, in the boot with an IOMMU: ours and plain-irq are counted there too.
fn against_vfio(kernel: &str, counted: &Medians) -> Result<Vec<Row>> {
    let row = |measure: &str, ours: &str, baseline: &str, how: &str| counted.row(kernel, measure, ours, baseline, how);
    let handled = "VFIO, MSI, eventfd; doorbell to app running, acknowledged; with an IOMMU; median";
    let by_handler = "ours without a deferred handler; else as irq-wake-vs-vfio";
    let running = "VFIO only up to the app running; else as irq-wake-vs-vfio";
    let in_app = "ours ends in the handler, VFIO's in the app; else as irq-wake-vs-vfio";
    Ok(vec![
        row("irq-wake-vs-vfio", WAKE, "irq-wake-vfio", handled)?,
        row("irq-wake-by-handler-vs-vfio", BY_HANDLER, "irq-wake-vfio", by_handler)?.at_most(1.05),
        row("irq-wake-vs-vfio-running", WAKE, "irq-wake-vfio-running", running)?,
        row("irq-in-plugin-vs-vfio", INSIDE, "irq-wake-vfio", in_app)?,
        row("irq-wake-iommu", WAKE, PLAIN, "irq-wake, in the boot with an IOMMU")?,
    ])
}

/// The rows of the transfers.
pub fn transfers(built: &Built) -> Result<Vec<Row>> {
    let with_iommu = built.counted(built.guest_with_iommu()?, "transfers-vfio")?;
    let without = built.counted(built.guest()?, "transfers")?;
    transfer_rows(built.kernel(), &with_iommu, &without)
}

fn transfer_rows(kernel: &str, with_iommu: &Medians, without: &Medians) -> Result<Vec<Row>> {
    const OURS: &str = "dma-2k-ours";
    let row = |counted: &Medians, measure: &str, ours: &str, baseline: &str, how: &str| {
        counted.row(kernel, measure, ours, baseline, how)
    };
    let in_plain =
        "plain-edu, its buffer registered once as ours; CALL to sleep, and interrupt to app; with an IOMMU; median";
    let part = "that part of dma-2k";
    let mapped_each = "VFIO that maps and unmaps the buffer for each transfer; else as dma-2k";
    let mapped_once = "VFIO with the buffer mapped once, ours for each transfer; else as dma-2k";
    let pinned = "plain-edu that pins the pages for each transfer; else as dma-2k";
    let by_handler = "plain-edu whose handler wakes, without a tasklet; else as dma-2k";
    let client = "the client library's typed method; else as dma-2k";
    Ok(vec![
        row(with_iommu, "dma-2k", OURS, "dma-2k-plain", in_plain)?.at_most(1.05),
        row(with_iommu, "dma-2k-to-sleep", "dma-2k-ours-to-sleep", "dma-2k-plain-to-sleep", part)?,
        row(with_iommu, "dma-2k-from-irq", "dma-2k-ours-from-interrupt", "dma-2k-plain-from-interrupt", part)?,
        row(with_iommu, "dma-2k-client", "dma-2k-client", "dma-2k-plain", client)?,
        row(with_iommu, "dma-2k-vs-pinning", OURS, "dma-2k-plain-pinned", pinned)?,
        row(with_iommu, "dma-2k-vs-handler", OURS, "dma-2k-plain-irq", by_handler)?,
        row(with_iommu, "dma-2k-vs-vfio", OURS, "dma-2k-vfio-mapped-each", mapped_each)?.at_most(0.5),
        row(with_iommu, "dma-2k-vs-vfio-mapped", OURS, "dma-2k-vfio", mapped_once)?,
        row(without, "dma-2k-no-iommu", OURS, "dma-2k-plain", "dma-2k, in a boot without an IOMMU")?.at_most(1.05),
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

    #[test]
    fn against_vfio_both_are_acknowledged_at_the_end_and_the_handler_alone_has_a_limit() {
        let lines = [
            "irq-wake-msi-ours 1 0 300",
            "irq-wake-handler-ours 1 0 208",
            "irq-inside-msi-ours 1 0 40",
            "irq-wake-vfio-running 1 0 150",
            "irq-wake-vfio 1 0 200",
            "irq-wake-msi-plain 1 0 240",
        ];
        let counted = Medians::read(&lines.map(str::to_owned)).unwrap();
        let rows = against_vfio("6.1", &counted).unwrap();
        let ratios: Vec<_> = rows.iter().map(|row| (row.measure.as_str(), row.ratio, row.limit)).collect();
        let wanted = [
            ("irq-wake-vs-vfio", Some(1.5), None),
            ("irq-wake-by-handler-vs-vfio", Some(1.04), Some(1.05)),
            ("irq-wake-vs-vfio-running", Some(2.0), None),
            ("irq-in-plugin-vs-vfio", Some(0.2), None),
            ("irq-wake-iommu", Some(1.25), None),
        ];
        assert_eq!(ratios, wanted);
    }

    #[test]
    fn transfers_have_a_limit_against_plain_edu_in_both_boots_and_against_vfio_that_maps_for_each() {
        let lines = |ours: u32| {
            let all = [
                ("ours", ours),
                ("ours-to-sleep", 60),
                ("ours-from-interrupt", 50),
                ("client", 120),
                ("plain", 100),
                ("plain-to-sleep", 50),
                ("plain-from-interrupt", 50),
                ("plain-pinned", 110),
                ("plain-irq", 90),
                ("vfio", 80),
                ("vfio-mapped-each", 210),
            ];
            Medians::read(&all.map(|(name, median)| format!("dma-2k-{name} 1 0 {median}"))).unwrap()
        };
        let rows = transfer_rows("6.1", &lines(105), &lines(106)).unwrap();
        let limited: Vec<_> =
            rows.iter().filter_map(|row| Some((row.measure.as_str(), row.limit?, row.reached?))).collect();
        assert_eq!(limited, [("dma-2k", 1.05, true), ("dma-2k-vs-vfio", 0.5, true), ("dma-2k-no-iommu", 1.05, false)]);
        assert_eq!(rows.len(), 9);
    }
}

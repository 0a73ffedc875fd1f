//! `cargo kp demo`: the apps of edu and bmd against the modules in a real kernel, told as a person would want to read it. `windows` tells it of
//! Windows drivers.
use crate::{
    command::Command,
    guest::plan::Step,
    host::{self, PROGRAM},
    programs,
    vm::{Report, Stage, Verdict},
};
use anyhow::{Result, bail};
use clap::Args;
use std::time::Instant;

mod windows;

/// The kernel of the demo: the quickest to boot.
const KERNEL: &str = "6.1-cloud";

/// Where bmd's app is in the guest.
const BMD_APP: &str = "/kp/bmd-app";

/// Shows the edu and bmd plugins at work in a stock kernel, in a virtual machine.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
    /// Show the plugins as Windows drivers instead.
    #[arg(long)]
    pub windows: bool,
}

impl Command for DemoArgs {
    /// Where no guest can be booted, the story is told in the simulator, and a line says so and why. A guest that was booted and
    /// failed is an error.
    fn run(self) -> Result<()> {
        programs::require_repository("demo")?;
        if self.windows {
            return windows::command(self.setup);
        }
        let start = Instant::now();
        let kernel = match host::kernel_to_boot(KERNEL, self.setup) {
            Ok(kernel) => kernel,
            Err(why) => return simulated(&why),
        };
        println!("building   the edu and bmd plugins as modules for Debian's kernel {KERNEL}");
        let modules = host::modules_for(kernel, &["edu", "bmd"])?;
        let app = programs::build("edu-app")?;
        let bmd_app = programs::build("bmd-app")?;
        println!("booting    {} in QEMU, with an edu device", modules.kernel.release);
        let vm = modules
            .guest(&app)
            .step(Step::load_until("/kp/kp-edu.ko", "", "/dev/kp/edu.0"))
            .step(Step::run(&[PROGRAM]))
            .step(Step::unload("kp_edu"))
            .file(&bmd_app, BMD_APP)
            .step(Step::load_until("/kp/kp-bmd.ko", "", "/dev/kp/bmd.0"))
            .step(Step::run(&[BMD_APP]))
            .step(Step::unload("kp_bmd"));
        let mut first = true;
        let ran = vm.run(&mut |line| {
            if std::mem::take(&mut first) {
                println!("loaded     kp-edu.ko: the app opens /dev/kp/edu.0");
            }
            println!("{line}");
        });
        let report = match booted(ran) {
            Ok(report) => report,
            Err(why) => return simulated(&why),
        };
        if let Verdict::Failed(why) = &report.verdict {
            report.log.iter().for_each(|line| eprintln!("    {line}"));
            bail!("{why}");
        }
        for (module, live) in report.log.iter().filter_map(|line| line.split_once(": unloaded; live: ")) {
            println!("unloaded   {module} left {live} behind");
        }
        println!(
            "powered off, after {:.1} s in the guest and {:.1} s in all",
            report.seconds,
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// A guest that came as far as its first process, however it ended. `Err` says why none did.
fn booted(ran: Result<Report>) -> Result<Report> {
    match ran? {
        Report { stage: Stage::Refused | Stage::Boot, verdict: Verdict::Failed(why), .. } => bail!("{why}"),
        report => Ok(report),
    }
}

fn simulated(why: &anyhow::Error) -> Result<()> {
    println!("SIMULATED  no kernel can be booted here: {}", format!("{why:#}").replace('\n', " "));
    println!("SIMULATED  the same plugins and apps, on the simulator with its model of the device:");
    for (app, example) in [("edu-app", "edu-simulated"), ("bmd-app", "bmd-simulated")] {
        let program = programs::build_with(app, &["--example", example])?;
        programs::run_file(&program, &[], &mut |line| println!("{line}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_never_came_to_its_first_process_is_none_and_one_that_failed_later_is_one() {
        let report = |stage, verdict| {
            let (output, steps, log) = (vec![], vec![], vec![]);
            Ok(Report { stage, output, steps, log, failed_by: None, stopped: false, verdict, seconds: 1.0 })
        };
        let failed = || Verdict::Failed("no edu".into());
        assert_eq!(booted(report(Stage::Refused, failed())).unwrap_err().to_string(), "no edu");
        assert_eq!(booted(report(Stage::Boot, failed())).unwrap_err().to_string(), "no edu");
        assert_eq!(booted(Err(anyhow::anyhow!("no QEMU"))).unwrap_err().to_string(), "no QEMU");
        assert_eq!(booted(report(Stage::Process, failed())).unwrap().verdict, failed());
        assert_eq!(booted(report(Stage::Process, Verdict::Passed)).unwrap().verdict, Verdict::Passed);
    }
}

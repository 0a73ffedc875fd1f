//! What host and guest agree on: the plan, and how the guest reports.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the guest finds its first process.
pub const INIT: &str = "/init";
/// Where the guest finds its plan: a JSON list of [`Step`]s.
pub const PATH: &str = "/kp/plan";
/// The line of the kernel's log that ends the boot.
pub const LOG_START: &str = "kp-guest: start of log";
/// The line in front of those of modules that are not judged.
pub const NEEDS_START: &str = "kp-guest: loading what the modules need";
/// The line behind them.
pub const NEEDS_END: &str = "kp-guest: loaded what the modules need";
/// The last line of the kernel's log. The host answers it with one byte on the result port.
pub const LOG_END: &str = "kp-guest: end of log";
/// What the guest writes to the exit device if every step came out as planned. QEMU then ends with twice that plus one.
pub const SUCCESS_CODE: u8 = 0x2a;
/// What it writes if not.
pub const FAILURE_CODE: u8 = 1;
/// The I/O port of the exit device.
pub const EXIT_PORT: u16 = 0xf4;
/// Starts a result line that holds a program's output.
pub const OUTPUT_TAG: char = '>';
/// Starts a result line that reports on a step.
pub const STEP_TAG: char = '#';
/// Starts a result line about the guest's own trouble.
pub const TROUBLE_TAG: char = '!';
/// Starts the last result line: what is written to the exit device too, which not every kernel lets a program do.
pub const END_TAG: char = '=';

/// One thing for the guest to do. Steps are done in order, also after one that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Loads modules of the kernel's own, which stay. One that is there already will do.
    Needs(Vec<String>),
    /// Loads a module, and waits for its device nodes.
    Load {
        /// The module's file in the guest.
        path: String,
        /// Its parameters, as in `msi=1 count=3`.
        params: String,
        /// Device nodes that have to exist afterwards, as in `/dev/kp/edu.0`. Left out if the load is expected to fail.
        nodes: Vec<String>,
        /// How the load has to end.
        expect: Outcome,
    },
    /// Unloads a module.
    Unload {
        /// Its name, as in `kp_edu`.
        name: String,
        /// How the unload has to end.
        expect: Outcome,
    },
    /// Waits until a loaded module's driver has a PCI device. One that has none then is looked at again before the next unload, and at the
    /// end: a program may have bound it.
    Bound(Wanted),
    /// Runs a program to its end, and to the end of everything that writes to its output.
    Run {
        /// Its file in the guest, and its arguments.
        argv: Vec<String>,
        /// Its environment.
        env: BTreeMap<String, String>,
        /// How it has to end.
        expect: Outcome,
    },
}

/// A module that is made for PCI devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The module's name, as in `kp_edu`.
    pub module: String,
    /// What it drives, as the failure is to name it.
    pub devices: String,
    /// The same as the kernel has it, as in `pci:v00001234d000011E8sv*sd*bc*sc*i*`.
    pub aliases: Vec<String>,
    /// Such a device is taken from the driver that has it.
    pub take: bool,
}

/// How a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Success,
    /// The system call failed, with this error number.
    Errno(i32),
    /// The program ended with this status.
    Exit(i32),
    /// The program was ended by this signal.
    Signal(i32),
}

impl Step {
    /// Loads a module without parameters.
    pub fn load(path: &str) -> Self {
        Step::Load { path: path.into(), params: String::new(), nodes: Vec::new(), expect: Outcome::Success }
    }

    /// Loads a module and waits until the node exists.
    pub fn load_until(path: &str, params: &str, node: &str) -> Self {
        Step::Load { path: path.into(), params: params.into(), nodes: vec![node.into()], expect: Outcome::Success }
    }

    /// Unloads a module.
    pub fn unload(name: &str) -> Self {
        Step::Unload { name: name.into(), expect: Outcome::Success }
    }

    /// Runs a program.
    pub fn run(argv: &[&str]) -> Self {
        let argv = argv.iter().map(|&arg| arg.into()).collect();
        Step::Run { argv, env: BTreeMap::new(), expect: Outcome::Success }
    }

    /// The same step with another end. Panics on [`Step::Needs`] and [`Step::Bound`], which have only one.
    pub fn expecting(mut self, outcome: Outcome) -> Self {
        match &mut self {
            Step::Load { expect, .. } | Step::Unload { expect, .. } | Step::Run { expect, .. } => *expect = outcome,
            Step::Needs(_) => unreachable!("nobody plans that they cannot be loaded"),
            Step::Bound(_) => unreachable!("a device is there or not"),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_way_into_the_guest() {
        let run = Step::Run {
            argv: vec!["/bin/a".into(), "b \"c\"\n".into()],
            env: BTreeMap::from([("K".into(), "V".into())]),
            expect: Outcome::Exit(3),
        };
        let plan = vec![
            Step::Needs(vec!["/kp/needs/mc.ko".into()]),
            Step::load_until("/kp/m.ko", "msi=1", "/dev/kp/m"),
            Step::Bound(Wanted {
                module: "m".into(),
                devices: "1234:11e8".into(),
                aliases: vec!["pci:v*".into()],
                take: true,
            }),
            run,
            Step::run(&["/bin/a"]).expecting(Outcome::Signal(11)),
            Step::unload("m").expecting(Outcome::Errno(16)),
        ];
        let text = serde_json::to_vec(&plan).unwrap();
        assert_eq!(serde_json::from_slice::<Vec<Step>>(&text).unwrap(), plan);
    }
}

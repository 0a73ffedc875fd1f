//! A kernel that looks for data races: it finds none of a plugin's, and each that is planted, in both halves.
use super::faults::{InRust, in_core};
use crate::{
    host,
    kernels::Kernel,
    packages::{Packages, Purpose, ThisMachine},
    programs, sanitised,
    test::{
        log::Log,
        mutations::Copy,
        planted::{self, Fault, Guest, program_guest},
        registered,
        report::clean,
        stage::Tally,
    },
    vm::Expected,
};
use anyhow::Result;
use std::{path::Path, time::Duration};

/// What the conformance program runs that has to bring two processors to one place.
const TOGETHER: &[&str] = &["sanitised", "together"];

/// Beside what is made for it, what other stages run in stock kernels.
const RUNS: [&[&str]; 6] = [
    &["--host", "guest"],
    &["stress", "storms", "5"],
    &["stress", "kills", "1"],
    &["stress", "unbind", "1"],
    &["stress", "affinity", "20"],
    &["stress", "rounds", "5"],
];

/// Counts requests, and any two at once count one.
const IN_C: Fault = Fault {
    name: "counts without agreement in C",
    plugin: "trouble",
    run: TOGETHER,
    file: "node.c",
    find: "\tif (likely((cmd & ~message) == direct))\n",
    replace: "\t{ static unsigned long requests; requests++; }\n\tif (likely((cmd & ~message) == direct))\n",
    reasons: &["kernel log: BUG: KCSAN: data-race in *[kp_trouble] / *[kp_trouble]"],
    says: "",
};

/// Looks before it takes, and others take meanwhile.
const IN_RUST: InRust = InRust {
    name: "core looks at what others change",
    run: TOGETHER,
    file: "kp-core/src/host/buffers.rs",
    find: "NonNull::new(self.pair.swap(ptr::null_mut(), Acquire))",
    replace: "NonNull::new(unsafe { *self.pair.as_ptr() }).and_then(|_| NonNull::new(self.pair.swap(ptr::null_mut(), Acquire)))",
    reason: "kernel log: BUG: KCSAN: data-race in *[kp_trouble] / *[kp_trouble]",
};

/// A guest for each run, which has to pass without a report of a module's; and one for each fault.
pub fn found(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
    let kernel = sanitised::build("--kcsan", setup)?;
    let program = programs::build("conformance")?;
    let mut guests = sound(&kernel, &program)?;
    guests.push(looking(planted::with_fault(IN_C, &kernel, &program)?));
    guests.push(looking(in_core(&IN_RUST, &Copy::of_workspace(setup)?, &kernel, &program)?));
    Ok(planted::run(guests, log))
}

fn sound(kernel: &Kernel, program: &Path) -> Result<Vec<Guest>> {
    let modules = host::modules_for(kernel.clone(), &["echo", "edu", "bmd", "trouble"])?;
    let together = registered::runs("races", true)?;
    let others = RUNS.iter().map(|run| run.iter().map(|word| (*word).to_owned()).collect());
    let guests = together.into_iter().chain(others).map(|run: Vec<String>| {
        let words: Vec<&str> = run.iter().map(String::as_str).collect();
        // One run moves interrupts: an IOMMU does it so that none goes astray.
        let vm = program_guest(&modules, program, &words).device("intel-iommu,intremap=on");
        looking(Guest { name: format!("{}: {}", kernel.name, run.join(" ")), vm, verdict: Box::new(clean) })
    });
    Ok(guests.collect())
}

/// Linux has races of its own, most of them meant.
fn looking(mut guest: Guest) -> Guest {
    guest.vm = guest.vm.expect(Expected::Races).timeout(Duration::from_secs(1200));
    guest
}

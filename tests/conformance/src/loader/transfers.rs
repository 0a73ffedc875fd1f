//! A device's own transfers: memory that it shares, pages of the kernel's own and apps' buffers, on machines that reach memory in different ways.
use super::{
    Loaded,
    resources::{connect, finish},
};
use crate::registry::guest_test;
use copier_interface::copier::{self, Client};
use kp_sim::edu::Edu;
use kp_user::Plugin;
use std::path::PathBuf;
use windows_loader::{Assigned, Machine, Options, Token};

const PATH: &str = r"\\.\kp-copier.0";

/// A machine of this kind with the card, and its plugin.
fn started(drivers: &str, options: Options) -> Loaded {
    let machine = Machine::new(options);
    let sys: PathBuf = [drivers, "copier", "windows-x86_64", "kp-copier.sys"].iter().collect();
    let driver = machine.start(&sys).unwrap_or_else(|error| panic!("start copier: {error}"));
    let device = machine.attach(Edu::new(), &driver, Assigned::Line).unwrap_or_else(|refused| panic!("{refused}"));
    Loaded { process: machine.process(Token::Administrator), device: Some(device), driver, machine }
}

fn opened(loaded: &Loaded) -> Plugin {
    connect(&loaded.process, PATH, copier::INTERFACE)
}

/// The kinds of machine: adapters of version 3 and 2; memory that devices reach where it is, or through so many map registers.
fn machines() -> impl Iterator<Item = Options> {
    [None, Some(1), Some(64)].into_iter().flat_map(|map_registers| {
        [false, true].map(|old_adapters| {
            let mut options = Options::default();
            (options.map_registers, options.old_adapters) = (map_registers, old_adapters);
            options
        })
    })
}

/// What is shared is seen by both at once, and pages arrive, however the machine's devices reach memory; and all of it is given back.
#[guest_test(stage = "loader")]
fn what_a_device_copies_arrives_on_every_kind_of_machine(drivers: &str) {
    for options in machines() {
        let loaded = started(drivers, options);
        let plugin = opened(&loaded);
        let client = Client(&plugin);
        assert_eq!(client.shared(0x1234_5678), Ok(0x1234_5678));
        assert_eq!(client.pages(4096 + 100), Ok(4096 + 100));
        drop(plugin);
        assert!(loaded.unload(), "nobody has it open");
        let log = loaded.machine.log();
        let last = log.last().expect("a line");
        assert!(last.ends_with("live: 0 allocations, 0 locks, 0 mappings, 0 dma, 0 pinned"), "{last}");
        loaded.finish();
    }
    let _ = finish;
}

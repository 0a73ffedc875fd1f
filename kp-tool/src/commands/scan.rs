//! `kp scan`.

use crate::found::{FORMAT, Scan};
use crate::machine::System;
use crate::scan::scan;
use crate::{Command, json};
use anyhow::Result;
use clap::Args;

/// Lists this machine's PCI devices, with what a driver has to know of each.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// As one JSON object, for another machine's `cargo kp new --scan`.
    #[arg(long)]
    json: bool,
}

impl Command for ScanArgs {
    fn run(self) -> Result<()> {
        let devices = scan(&System::this());
        if self.json {
            println!("{}", json(FORMAT, &Scan { devices })?);
        } else if devices.is_empty() {
            eprintln!("this machine has no PCI device");
        } else {
            devices.iter().for_each(|device| print!("{device}"));
        }
        Ok(())
    }
}

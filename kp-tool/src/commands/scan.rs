//! `kp scan`.

use crate::machine::System;
use crate::scan::{Found, scan};
use crate::{Command, json};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Lists this machine's PCI devices, with what a driver has to know of each.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// As one JSON object, for another machine's `cargo kp new --scan`.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    devices: Vec<Found>,
}

impl Command for ScanArgs {
    fn run(self) -> Result<()> {
        let devices = scan(&System::this());
        if self.json {
            println!("{}", json("kp-scan/1", &Report { devices })?);
        } else if devices.is_empty() {
            eprintln!("this machine has no PCI device");
        } else {
            devices.iter().for_each(|device| print!("{device}"));
        }
        Ok(())
    }
}

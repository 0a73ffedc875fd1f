//! `kp uninstall`.

use super::lock::lock;
use crate::install::{removal, uninstall};
use crate::machine::System;
use crate::{Command, json};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Removes what `kp install` has made for a plugin, and unloads its module. Finishes what a killed one has begun.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// The plugin's name, as `kp list` has it.
    name: String,
    /// The folder that it was installed in by `--root`.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
    /// What was done, or would be, as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    steps: Vec<String>,
}

impl Command for UninstallArgs {
    fn run(self) -> Result<()> {
        let machine = self.root.as_deref().map_or_else(System::this, System::staged);
        let _locked = if self.dry_run { None } else { lock(&machine) };
        let steps = removal(&machine, &self.name)?;
        if self.dry_run && !self.json {
            steps.iter().for_each(|step| println!("{step}"));
        }
        if !self.dry_run {
            uninstall(&machine, &self.name, &mut |line| eprintln!("{line}"))?;
            eprintln!("{} is removed", self.name);
        }
        if self.json {
            println!("{}", json("kp-uninstall/1", &Report { name: &self.name, steps })?);
        }
        Ok(())
    }
}

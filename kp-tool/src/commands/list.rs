//! `kp list`.

use crate::machine::System;
use crate::plugins::{Entry, NONE, entry, names};
use crate::{Command, json};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Lists the plugins that are installed or loaded.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    plugins: Vec<Entry>,
}

impl Command for ListArgs {
    fn run(self) -> Result<()> {
        let machine = System::this();
        let plugins: Vec<Entry> =
            names(&machine)?.iter().map(|name| entry(&machine, name)).collect::<Result<_, _>>()?;
        if self.json {
            println!("{}", json("kp-list/1", &Report { plugins })?);
            return Ok(());
        }
        if plugins.is_empty() {
            eprintln!("{NONE}");
        }
        for plugin in plugins {
            println!("{}", plugin.line());
        }
        Ok(())
    }
}

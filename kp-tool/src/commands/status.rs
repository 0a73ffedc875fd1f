//! `kp status`.

use crate::machine::System;
use crate::plugins::{NONE, Status, names, status};
use crate::{Command, json};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Says how a plugin is, or how all are: what is installed and loaded, which devices it has, who may use them, and what is wrong.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The plugin's name, as `kp list` has it. Without it: all.
    name: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    plugins: &'a [Status],
}

impl Command for StatusArgs {
    /// Fails with what is wrong, behind all that there is to say.
    fn run(self) -> Result<()> {
        let machine = System::this();
        let names = match self.name {
            Some(name) => vec![name],
            None => names(&machine)?,
        };
        let all: Vec<Status> = names.iter().map(|name| status(&machine, name)).collect::<Result<_, _>>()?;
        if names.is_empty() && !self.json {
            eprintln!("{NONE}");
        }
        if self.json {
            println!("{}", json("kp-status/1", &Report { plugins: &all })?);
        } else {
            all.iter().for_each(|status| print!("{status}"));
        }
        match all.into_iter().find_map(|status| status.problem) {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }
}

//! `kp load`, `kp unload` and `kp reload`.

use crate::Command;
use crate::loaded;
use crate::machine::{Machine, System};
use crate::message::Message;
use anyhow::Result;
use clap::Args;
use std::thread;
use std::time::Duration;

/// How often a node that is open is looked at again.
const AGAIN: Duration = Duration::from_millis(200);

/// Loads an installed plugin, and says why it has no device if it has none.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The plugin's name, as `kp list` has it.
    name: String,
    /// Takes the device at this address from the driver that has it, as in `0000:00:04.0`.
    #[arg(long, value_name = "ADDRESS")]
    take: Option<String>,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
}

impl Command for LoadArgs {
    fn run(self) -> Result<()> {
        if self.dry_run {
            println!("run modprobe kp-{}", self.name);
            self.take.iter().for_each(|address| println!("bind {address} to it"));
            return Ok(());
        }
        Ok(loaded::load(&System::this(), &self.name, self.take.as_deref())?)
    }
}

/// Unloads a plugin. Its devices have no driver then.
#[derive(Debug, Args)]
pub struct UnloadArgs {
    /// The plugin's name, as `kp list` has it.
    name: String,
    /// Waits until no process has a node of it open.
    #[arg(long)]
    wait: bool,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
}

impl Command for UnloadArgs {
    fn run(self) -> Result<()> {
        if self.dry_run {
            println!("run modprobe -r kp-{}", self.name);
            return Ok(());
        }
        Ok(unload(&System::this(), &self.name, self.wait)?)
    }
}

/// Unloads a plugin and loads it again, as it is installed now.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// The plugin's name, as `kp list` has it.
    name: String,
    /// Waits until no process has a node of it open.
    #[arg(long)]
    wait: bool,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
}

impl Command for ReloadArgs {
    fn run(self) -> Result<()> {
        if self.dry_run {
            println!("run modprobe -r kp-{0}\nrun modprobe kp-{0}", self.name);
            return Ok(());
        }
        let machine = System::this();
        unload(&machine, &self.name, self.wait)?;
        Ok(loaded::load(&machine, &self.name, None)?)
    }
}

fn unload(machine: &dyn Machine, name: &str, wait: bool) -> Result<(), Message> {
    loop {
        match loaded::unload(machine, name) {
            Err(Message::InUse { .. }) if wait => thread::sleep(AGAIN),
            ended => return ended,
        }
    }
}

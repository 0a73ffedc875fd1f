//! `kp load`, `kp unload` and `kp reload`.

use super::lock::lock;
use crate::Command;
use crate::loaded;
use crate::machine::System;
use crate::message::Message;
use anyhow::Result;
use clap::Args;
use std::fs::File;
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
        let machine = System::this();
        let _locked = lock(&machine);
        Ok(loaded::load(&machine, &self.name, self.take.as_deref(), &mut told)?)
    }
}

/// Unloads a plugin. Its devices have no driver then, but for those that it took: they go back.
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
            loaded::unload_steps(&System::this(), &self.name).iter().for_each(|step| println!("{step}"));
            return Ok(());
        }
        let machine = System::this();
        when_unused(&machine, self.wait, || loaded::unload(&machine, &self.name, &mut told))?;
        Ok(())
    }
}

/// Unloads a plugin and loads it again, as it is installed now. It keeps the devices that it took.
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
        let machine = System::this();
        if self.dry_run {
            println!("{}\nrun modprobe kp-{}", loaded::unload_steps(&machine, &self.name)[0], self.name);
            return Ok(());
        }
        let _locked = when_unused(&machine, self.wait, || loaded::unload_for_reload(&machine, &self.name))?;
        Ok(loaded::load(&machine, &self.name, None, &mut told)?)
    }
}

fn told(line: &str) {
    eprintln!("{line}");
}

/// Unloads, and gives the lock that it did that under. While it waits for apps, another `kp` may do its work.
fn when_unused(
    machine: &System,
    wait: bool,
    unload: impl Fn() -> Result<(), Message>,
) -> Result<Option<File>, Message> {
    loop {
        let locked = lock(machine);
        match unload() {
            Err(Message::InUse { .. }) if wait => {
                drop(locked);
                thread::sleep(AGAIN);
            }
            ended => return ended.map(|()| locked),
        }
    }
}

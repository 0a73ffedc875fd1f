//! From a card to an app that has its interrupt: what somebody types who has a card's numbers and its registers, and edits nothing.
use super::{
    log::Log,
    stage::{Stage, Tally, with_lines},
    step::succeeds,
};
use crate::{kernels, programs, temporary::TempFolder, vm};
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A device of QEMU's, and what is typed for it.
struct Card {
    /// The name of its register file in `tests/cards`.
    name: &'static str,
    /// `cargo kp new`'s arguments.
    new: &'static str,
    /// `cargo kp vm`'s arguments.
    vm: &'static str,
    /// What the app prints, among other lines.
    prints: &'static [&'static str],
}

const CARDS: [Card; 4] = [
    Card {
        name: "edu",
        new: "--pci 1234:11e8 --irq-raise IRQ_RAISE",
        vm: "--device edu -- --raise 0x5",
        prints: &["ID         0x010000ed", "interrupts 1 by Msi, of 0x5"],
    },
    Card {
        name: "e1000",
        new: "--pci 8086:100e --irq-status ICR --irq-ack read-clears --irq-enable IMS=0x4 --irq-disable IMC --irq-raise ICS",
        vm: "--device e1000 -- --raise 4",
        prints: &["interrupts 1 by Line, of 0x4"],
    },
    Card {
        name: "ivshmem",
        new: "--pci 1af4:1110 --irq-ack none --irq-raise DOORBELL",
        vm: "--device ivshmem-doorbell -- --raise 0x50000",
        prints: &["IV_POSITION 0x00000005", "interrupts  1 by MsiX"],
    },
    Card { name: "testdev", new: "--pci 1b36:0005", vm: "--device pci-testdev", prints: &["COUNT      0x00000000"] },
];

impl Card {
    /// What the plugin is called: nothing else in the target folder is.
    fn plugin(&self) -> String {
        format!("{}-card", self.name)
    }
}

/// How long the way may take, the first build of kp's crates included.
const LIMIT: Duration = Duration::from_secs(300);

/// The stage: one card, with crates that are built already; with `--long` all, each from nothing.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("from a card to an app", move |setup, log| run(long, setup, log));
    // With `--long` its time counts.
    vec![if long { stage } else { stage.beside_another() }]
}

fn run(long: bool, setup: bool, log: &Log) -> Result<Tally> {
    // What is downloaded is not counted.
    kernels::get(vm::command::DEFAULT, setup)?;
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let target = metadata.target_directory.into_std_path_buf();
    let mut tally = Tally::default();
    let all = CARDS.iter().map(|card| (card, true));
    let cards: Vec<_> = if long { all.collect() } else { vec![(&CARDS[0], false)] };
    for (card, from_nothing) in cards {
        let walk = Walk::begin(metadata.workspace_root.as_std_path(), &target, from_nothing)?;
        let start = Instant::now();
        let walked = walk.walk(card, log);
        let took = start.elapsed();
        let windows = walked.and_then(|()| walk.kp(card, "build --target windows", log).map(drop));
        let in_time = if from_nothing && took > LIMIT {
            Err(format!("it took {:.0} s, and may take {}", took.as_secs_f64(), LIMIT.as_secs()))
        } else {
            Ok(())
        };
        println!("           {}: {:.0} s", card.name, took.as_secs_f64());
        tally.check(card.name, windows.and(in_time));
    }
    Ok(tally)
}

/// A folder in which one card's way is walked.
struct Walk {
    repository: PathBuf,
    folder: TempFolder,
    /// Where Cargo builds; the workspace's own folder for it, if nothing is said.
    target: Option<PathBuf>,
}

impl Walk {
    /// An empty folder, outside of every repository. `from_nothing`: no crate of kp's is built yet, and nobody's settings are there.
    fn begin(repository: &Path, target: &Path, from_nothing: bool) -> Result<Self> {
        let folder = TempFolder::new(&env::temp_dir(), "kp-walk")?;
        fs::create_dir(folder.path.join("home"))?;
        let target = (!from_nothing).then(|| target.to_owned());
        Ok(Walk { repository: repository.to_owned(), folder, target })
    }

    /// Walks the way, and looks at what the app prints.
    fn walk(&self, card: &Card, log: &Log) -> Result<(), String> {
        let table = self.repository.join(format!("tests/cards/{}.csv", card.name));
        let new = format!("kp new {} --registers {} {}", card.plugin(), table.display(), card.new);
        self.step(
            "cargo kp new",
            Command::new(programs::this_tool()).args(new.split_whitespace()),
            &self.folder.path,
            log,
        )?;
        let workspace = self.folder.path.join(card.plugin());
        // The versions are those that are here already.
        fs::copy(self.repository.join("Cargo.lock"), workspace.join("Cargo.lock"))
            .map_err(|error| error.to_string())?;
        self.step("cargo test", Command::new("cargo").arg("test"), &workspace, log)?;
        let printed = self.kp(card, &format!("vm {}", card.vm), log)?;
        match card.prints.iter().find(|line| !printed.iter().any(|printed| printed == *line)) {
            None => Ok(()),
            Some(line) => Err(with_lines(format!("the app does not print `{line}`:"), &printed)),
        }
    }

    /// Runs `cargo kp` in the card's workspace.
    fn kp(&self, card: &Card, words: &str, log: &Log) -> Result<Vec<String>, String> {
        let mut tool = Command::new(programs::this_tool());
        tool.arg("kp").args(words.split_whitespace());
        self.step(&format!("cargo kp {words}"), &mut tool, &self.folder.path.join(card.plugin()), log)
    }

    /// Runs a command that has to succeed, and answers what it has printed.
    fn step(&self, name: &str, command: &mut Command, folder: &Path, log: &Log) -> Result<Vec<String>, String> {
        // Cargo and rustup have what they have fetched in places of their own, the kernels are kp's.
        let kept = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("XDG_CACHE_HOME", ".cache")];
        for (variable, below) in kept {
            if let (None, Some(home)) = (env::var_os(variable), env::var_os("HOME")) {
                command.env(variable, Path::new(&home).join(below));
            }
        }
        command
            .env("HOME", self.folder.path.join("home"))
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_TARGET_DIR");
        if let Some(target) = &self.target {
            // As this repository builds: so its crates are there already.
            command.env("CARGO_TARGET_DIR", target).env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        }
        succeeds(name, command.current_dir(folder), log)
    }
}

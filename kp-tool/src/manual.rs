//! What shells and `man` know of a program: made of its own commands, so that it cannot be out of date.
use anyhow::{Context, Result};
use clap::Subcommand;
use clap_complete::Shell;
use std::{fs, path::PathBuf};

/// The commands that tell of the others.
#[derive(Debug, Subcommand)]
pub enum Manual {
    /// Prints what a shell needs to complete commands and options.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes a page for `man` of each command.
    Man {
        /// Where to. It is made if it is not there.
        dir: PathBuf,
    },
}

impl Manual {
    /// Carries it out for a program whose commands these are.
    ///
    /// # Errors
    /// The pages cannot be written.
    pub fn run(self, mut program: clap::Command) -> Result<()> {
        match self {
            Manual::Completions { shell } => {
                let name = program.get_name().to_owned();
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut program, name, &mut text);
                print!("{}", String::from_utf8(text).context("completions are text")?);
                Ok(())
            }
            Manual::Man { dir } => {
                let written = fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(program, &dir));
                written.with_context(|| format!("cannot write to {}", dir.display()))
            }
        }
    }
}

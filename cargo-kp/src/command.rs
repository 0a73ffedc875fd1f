//! What every command of `cargo kp` is: its arguments, and what it does with them.
use anyhow::Result;

/// One command. Its arguments are a struct that clap fills in, and its help is that struct's documentation.
pub trait Command {
    /// Carries it out.
    ///
    /// # Errors
    /// What went wrong, with what to do next. The program prints it and exits with 1.
    fn run(self) -> Result<()>;
}

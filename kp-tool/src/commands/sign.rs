//! `kp sign enroll`.

use crate::Command;
use crate::machine::{Machine, System, last_line};
use crate::message::Message;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::io::{IsTerminal as _, stdin};
use std::path::{Path, PathBuf};

/// Where DKMS keeps the certificate that it signs for.
const DKMS: &str = "/var/lib/dkms/mok.pub";

/// Has this machine trust a key. `cargo kp sign` makes keys, and signs.
#[derive(Debug, Args)]
pub struct SignArgs {
    #[command(subcommand)]
    command: Sign,
}

#[derive(Debug, Subcommand)]
enum Sign {
    Enroll(EnrollArgs),
}

impl Command for SignArgs {
    fn run(self) -> Result<()> {
        let Sign::Enroll(args) = self.command;
        args.run()
    }
}

/// Asks the firmware, by mokutil, to trust a certificate. Somebody at the machine's console confirms it at the next start.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// The certificate.
    #[arg(default_value = "keys/mok.der")]
    certificate: PathBuf,
    /// The one that DKMS signs for on this machine.
    #[arg(long, conflicts_with = "certificate")]
    dkms: bool,
    /// Prints the steps, and does none.
    #[arg(long)]
    dry_run: bool,
}

/// What is asked at the next start, by the program that the firmware starts then.
const BLUE_SCREEN: &str = "At the next start a blue screen asks, for some seconds only. Choose there\n\
                           \x20   Enroll MOK  ->  Continue  ->  Yes  ->  the password that you have given now  ->  Reboot\n\
                           Then the kernel takes modules that this key has signed.";

impl Command for EnrollArgs {
    fn run(self) -> Result<()> {
        let certificate = if self.dkms { PathBuf::from(DKMS) } else { self.certificate };
        let shown = certificate.display().to_string();
        let machine = System::this();
        if !certificate.is_file() {
            return Err(missing(self.dkms, shown).into());
        }
        if self.dry_run {
            println!("run mokutil --import {shown}");
            return Ok(());
        }
        let option = if self.dkms { "--dkms" } else { &shown };
        check(&machine, &format!("sudo kp sign enroll {option}"), stdin().is_terminal())?;
        if is_enrolled(&machine, &certificate)? {
            eprintln!("this machine trusts {shown} already");
            return Ok(());
        }
        let status = std::process::Command::new("mokutil").arg("--import").arg(&certificate).status();
        let failed = |why: String| Message::SignFailed { what: format!("run mokutil --import {shown}"), why };
        let status = status.map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(format!("it says why above ({status})")).into());
        }
        println!("{BLUE_SCREEN}");
        Ok(())
    }
}

/// What is said of a certificate that is not there: it comes from where it was made.
fn missing(dkms: bool, path: String) -> Message {
    if dkms { Message::NoDkmsKey { path } } else { Message::NoCertificate { path } }
}

/// Whether a key can be enrolled here at all. `terminal`: there is somebody to ask.
fn check(machine: &dyn Machine, command: &str, terminal: bool) -> Result<(), Message> {
    if !machine.has_program("mokutil") {
        return Err(Message::MissingProgram { program: "mokutil".to_owned(), package: "mokutil".to_owned() });
    }
    if !machine.is_root() {
        let command = command.trim_start_matches("sudo ").to_owned();
        return Err(Message::NeedsRoot { what: "enrolling a key".to_owned(), command });
    }
    if !terminal {
        return Err(Message::NoTerminal { command: command.to_owned() });
    }
    Ok(())
}

/// Whether the firmware trusts a certificate already: mokutil ends with 1 then, and says so.
fn is_enrolled(machine: &dyn Machine, certificate: &Path) -> Result<bool, Message> {
    let shown = certificate.display().to_string();
    let failed = |why: String| Message::SignFailed { what: format!("run mokutil --test-key {shown}"), why };
    let done = machine.run("mokutil", &["--test-key", &shown]).map_err(|error| failed(error.to_string()))?;
    let said = format!("{}\n{}", done.stdout, done.stderr);
    match () {
        () if said.contains("is already enrolled") => Ok(true),
        () if said.contains("not supported") => Err(failed(last_line(&said).to_owned())),
        () => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_key_is_enrolled_by_root_at_a_terminal_with_mokutil() {
        let mut fake = Fake::new();
        let command = "sudo kp sign enroll keys/mok.der";
        let why = |fake: &Fake, terminal| {
            let why = check(fake, command, terminal).expect_err("it is refused");
            (why.exit() as u8, why.to_string())
        };
        assert_eq!(check(&fake, command, true), Ok(()));
        let asked = "mokutil asks for a password, and nobody is there to ask: run `sudo kp sign enroll keys/mok.der` at a terminal";
        assert_eq!(why(&fake, false), (2, asked.into()));
        fake.root = false;
        let root = "enrolling a key needs root: `sudo kp sign enroll keys/mok.der`; nothing was changed";
        assert_eq!(why(&fake, true), (5, root.into()));
        fake.lacks.push("mokutil");
        let lacks = "missing program: mokutil: `apt-get install mokutil`; nothing was changed";
        assert_eq!(why(&fake, true), (3, lacks.into()));
    }

    #[test]
    fn a_certificate_that_is_not_there_is_told_with_who_makes_it() {
        let own = missing(false, "keys/mok.der".into());
        let text = "no certificate keys/mok.der: copy the mok.der that `cargo kp sign init` has made to this machine, and name it, \
                    as in `sudo kp sign enroll mok.der`";
        assert_eq!((own.exit() as u8, &*own.to_string()), (4, text));
        let of_dkms = missing(true, DKMS.into());
        let text = "no /var/lib/dkms/mok.pub: `sudo dkms generate_mok` makes it with its key; then `sudo dkms build --force NAME/VERSION` \
                    and `sudo dkms install --force NAME/VERSION` for what it is to sign";
        assert_eq!((of_dkms.exit() as u8, &*of_dkms.to_string()), (4, text));
    }

    #[test]
    fn a_machine_without_the_firmware_for_it_says_so() {
        let fake = Fake::new();
        assert_eq!(is_enrolled(&fake, Path::new("a.der")), Ok(false));
        fake.fails.borrow_mut().push(("mokutil".into(), "EFI variables are not supported on this system".into()));
        let why = is_enrolled(&fake, Path::new("a.der")).expect_err("no firmware");
        assert_eq!(
            why.to_string(),
            "cannot run mokutil --test-key a.der: EFI variables are not supported on this system"
        );
        fake.fails.borrow_mut()[0].1 = "a.der is already enrolled".into();
        assert_eq!(is_enrolled(&fake, Path::new("a.der")), Ok(true));
    }
}

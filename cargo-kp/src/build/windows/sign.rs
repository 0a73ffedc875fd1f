//! A driver's signature, by osslsigncode.
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What to do where osslsigncode is missing.
pub(crate) const SIGNING_TOOL: &str = if cfg!(windows) {
    "put osslsigncode.exe, https://github.com/mtrojnar/osslsigncode, into PATH, or sign with the WDK's signtool"
} else {
    "apt-get install osslsigncode"
};

/// Who signs drivers.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Signer {
    /// Sign drivers for Windows with this certificate (PEM or DER), or with what a .pfx or .p12 file has.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key (PEM or DER). A .pfx or .p12 file has it inside.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// A file with the password of the key, or of the .pfx file.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub password: Option<PathBuf>,
}

impl Signer {
    /// Writes a driver, signed if there is a certificate: with SHA-256, and a hash of each page.
    ///
    /// # Errors
    /// A file that is missing, or osslsigncode, or what it refuses.
    pub fn sign(&self, driver: &[u8], to: &Path) -> Result<()> {
        let Some(certificate) = &self.certificate else {
            return crate::build::write(to, driver).map(|_| ());
        };
        let is_store =
            certificate.extension().and_then(OsStr::to_str).is_some_and(|name| matches!(name, "pfx" | "p12"));
        let mut command = Command::new("osslsigncode");
        command.args(["sign", "-h", "sha256", "-ph"]);
        match &self.key {
            None if is_store => command.arg("-pkcs12").arg(certificate),
            None => bail!("a certificate signs nothing without its private key: give it with --key"),
            Some(_) if is_store => bail!("{} has its own private key: leave --key out", certificate.display()),
            Some(key) => command.arg("-certs").arg(certificate).arg("-key").arg(key),
        };
        if let Some(password) = &self.password {
            command.arg("-readpass").arg(password);
        }
        // It writes over nothing, and would ask for a password that it was not given.
        let (unsigned, unfinished) = (to.with_extension("unsigned"), to.with_extension("unfinished"));
        let _ = fs::remove_file(&unfinished);
        crate::build::write(&unsigned, driver)?;
        command.arg("-in").arg(&unsigned).arg("-out").arg(&unfinished).stdin(std::process::Stdio::null());
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("cannot sign: there is no osslsigncode here; {SIGNING_TOOL}")
            }
            output => output.context("cannot start osslsigncode")?,
        };
        let _ = fs::remove_file(&unsigned);
        if !output.status.success() {
            let said = [output.stderr, output.stdout].concat();
            let said = String::from_utf8_lossy(&said);
            let reason = said.lines().map(str::trim).find(|line| !line.is_empty() && *line != "Failed");
            bail!(
                "osslsigncode doesn't sign with {}: {}; check certificate, key and password",
                certificate.display(),
                reason.unwrap_or("it says no more")
            );
        }
        fs::rename(&unfinished, to).with_context(|| format!("cannot write {}", to.display()))
    }
}

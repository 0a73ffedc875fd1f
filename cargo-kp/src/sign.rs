//! `cargo kp sign`: keys of one's own, and modules that are signed by them.

use crate::command::Command;
use crate::kernels::{self, cache_dir};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kp_tool::Message;
use kp_tool::commands::EnrollArgs;
use kp_tool::machine::{Done, has_program, run_program};
use kp_tool::module::Module;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

/// Signs modules, in place, and prints their paths; or makes the key for that.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SignArgs {
    #[command(subcommand)]
    command: Option<Sign>,
    /// The modules.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The folder that the key is in.
    #[arg(long, value_name = "DIR", default_value = "keys")]
    key: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Sign {
    Init(InitArgs),
    Enroll(EnrollArgs),
}

impl Command for SignArgs {
    fn run(self) -> Result<()> {
        match self.command {
            Some(Sign::Init(args)) => args.run(),
            Some(Sign::Enroll(args)) => args.run(),
            None => sign(&self.files, &self.key),
        }
    }
}

/// Makes a key: mok.key, which stays secret, and mok.der, the certificate that machines enrol.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder for it, whose .gitignore then names the key.
    #[arg(long, value_name = "DIR", default_value = "keys")]
    dir: PathBuf,
    /// The name that signatures show.
    #[arg(long, default_value = "my modules")]
    name: String,
}

impl Command for InitArgs {
    /// All files appear, or none.
    fn run(self) -> Result<()> {
        let (key, certificate) = (self.dir.join(KEY), self.dir.join(CERTIFICATE));
        for path in [&key, &certificate] {
            if path.exists() {
                return Err(Message::KeyExists { path: path.display().to_string() }.into());
            }
        }
        if self.name.is_empty() || self.name.contains(['/', '\\', '\0']) {
            let why = "a name in a certificate has no `/` and no `\\`".to_owned();
            return Err(Message::BadName { name: self.name, why, instead: "my modules".to_owned() }.into());
        }
        need("openssl", "openssl")?;
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let made =
            Unfinished { key: self.dir.join("mok.key.unfinished"), certificate: self.dir.join("mok.der.unfinished") };
        let mut openssl = process::Command::new("openssl");
        openssl.args(["req", "-new", "-x509", "-batch", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days", "3650"]);
        openssl.args(["-outform", "DER", "-utf8", "-subj"]).arg(format!("/CN={}/", self.name));
        // What the kernel asks of keys of a machine's owner: it signs code, and is no authority.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=digitalSignature"]);
        openssl.args(["-addext", "extendedKeyUsage=codeSigning", "-addext", "subjectKeyIdentifier=hash"]);
        openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        done("make a key", &run_program(&mut openssl).context("cannot run openssl")?)?;
        fs::set_permissions(&made.key, fs::Permissions::from_mode(0o600))?;
        let ignore = self.dir.join(".gitignore");
        let ignored = fs::read_to_string(&ignore).unwrap_or_default();
        if !ignored.lines().any(|line| line == "*.key") {
            fs::write(&ignore, format!("{ignored}*.key\n"))
                .with_context(|| format!("cannot write {}", ignore.display()))?;
        }
        fs::rename(&made.certificate, &certificate)
            .with_context(|| format!("cannot make {}", certificate.display()))?;
        if let Err(error) = fs::rename(&made.key, &key) {
            let _ = fs::remove_file(&certificate);
            return Err(error).with_context(|| format!("cannot make {}", key.display()));
        }
        println!("{}\n{}", key.display(), certificate.display());
        eprintln!(
            "keep {} secret, and off the machine where you can; each machine trusts it after `sudo kp sign enroll {}`",
            key.display(),
            certificate.display()
        );
        Ok(())
    }
}

/// The secret half.
const KEY: &str = "mok.key";
/// The other.
const CERTIFICATE: &str = "mok.der";

/// A key that is not whole yet, and goes away if it does not get so.
struct Unfinished {
    key: PathBuf,
    certificate: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for path in [&self.key, &self.certificate] {
            // They are not there any more if all went well.
            let _ = fs::remove_file(path);
        }
    }
}

/// Signs modules. All are looked at before the first is signed.
fn sign(files: &[PathBuf], folder: &Path) -> Result<()> {
    let (key, certificate) = (folder.join(KEY), folder.join(CERTIFICATE));
    for path in [&key, &certificate] {
        if !path.is_file() {
            return Err(Message::NoKey { path: path.display().to_string() }.into());
        }
    }
    let modules = files.iter().map(|file| unsigned(file)).collect::<Result<Vec<_>>>()?;
    let programs = modules.iter().map(sign_file).collect::<Result<Vec<_>>>()?;
    for (file, program) in files.iter().zip(programs) {
        let signed = file.with_extension("ko.unfinished");
        let mut command = process::Command::new(&program);
        command.arg("sha256").args([&key, &certificate]).args([file, &signed]);
        let what = format!("sign {}", file.display());
        let result = run_program(&mut command).with_context(|| format!("cannot run {}", program.display()));
        let result = result.and_then(|ran| Ok(done(&what, &ran)?)).and_then(|()| {
            let content = fs::read(&signed).with_context(|| format!("cannot read {}", signed.display()))?;
            if Module::parse(file, &content)?.signer.is_none() {
                let why = "sign-file ended well, and there is no signature".to_owned();
                return Err(Message::SignFailed { what: what.clone(), why }.into());
            }
            fs::rename(&signed, file).with_context(|| format!("cannot replace {}", file.display()))
        });
        result.inspect_err(|_| drop(fs::remove_file(&signed)))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// A module that has no signature yet.
fn unsigned(file: &Path) -> Result<Module> {
    let shown = file.display().to_string();
    let content = fs::read(file).map_err(|error| Message::NoFile { file: shown.clone(), why: error.to_string() })?;
    let module = Module::parse(file, &content)?;
    match &module.signer {
        None => Ok(module),
        Some(signer) => {
            let signer = if signer.is_empty() { "somebody".to_owned() } else { format!("\"{signer}\"") };
            Err(Message::SignedAlready { file: shown, signer }.into())
        }
    }
}

/// The kernel's program that signs: of the module's own kernel if that is here, else of any.
fn sign_file(module: &Module) -> Result<PathBuf> {
    let release = &module.release;
    let series: String = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let cache = cache_dir().map(|cache| cache.join("kernels")).unwrap_or_default();
    let mut places = vec![
        PathBuf::from(format!("/lib/modules/{release}/build/scripts")),
        PathBuf::from(format!("/usr/src/linux-headers-{release}/scripts")),
        PathBuf::from(format!("/usr/lib/linux-kbuild-{series}/scripts")),
        cache.join(release).join("usr/src").join(format!("linux-headers-{release}")).join("scripts"),
    ];
    let known = kernels::known_names();
    let others = known.iter().filter_map(|name| kernels::cached_in(cache.parent()?, name));
    places.extend(others.map(|kernel| kernel.headers.join("scripts")));
    let programs = places.into_iter().map(|place| place.join("sign-file"));
    let found = programs.into_iter().find(|program| program.is_file());
    Ok(found.ok_or_else(|| Message::NoSignFile { package: format!("linux-kbuild-{series}") })?)
}

fn need(program: &str, package: &str) -> Result<(), Message> {
    if has_program(program) {
        return Ok(());
    }
    Err(Message::MissingProgram { program: program.to_owned(), package: package.to_owned() })
}

fn done(what: &str, done: &Done) -> Result<(), Message> {
    if done.success {
        return Ok(());
    }
    let why = crate::packages::last_line(&done.stderr).to_owned();
    Err(Message::SignFailed { what: what.to_owned(), why })
}

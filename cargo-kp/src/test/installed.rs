//! What `kp install` and packages do to a machine: in a guest with a Debian root, in a Debian root with DKMS, and in a kernel that takes signed
//! modules only. With `--long`.
use super::{
    log::Log,
    report::{keep, passed, with_log},
    stage::{Stage, Tally, with_lines},
};
use crate::{
    debian::{self, System},
    guest::plan::{Outcome, Step},
    kernels::{self, Kernel, cache_dir},
    packages::{Packages, Purpose, ThisMachine},
    programs,
    vm::{Expected, Report, Vm},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use kp_tool::pattern::fits;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The kernel of the guests.
const KERNEL: &str = "6.12-cloud";
/// The kernels that DKMS builds for.
const DKMS: [&str; 2] = ["6.1-cloud", "6.12-cloud"];

/// The stages.
pub fn stages(long: bool) -> Vec<Stage> {
    if !long {
        return Vec::new();
    }
    vec![
        Stage::new("installed in a Debian system", installed),
        Stage::new("signed modules only", enforced),
        Stage::new("packages", packages),
    ]
}

/// A folder below the target folder, emptied.
fn folder(name: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let folder = metadata.target_directory.join("kp/installed").join(name).into_std_path_buf();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A file of the tests'.
fn tests(name: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    Ok(metadata.workspace_root.join("tests/install").join(name).into())
}

/// Runs this tool, and gives the lines that it prints: paths.
fn tool(arguments: &[&str]) -> Result<Vec<PathBuf>> {
    let output =
        Command::new(programs::this_tool()).arg("kp").args(arguments).output().context("cannot run this tool")?;
    if !output.status.success() {
        bail!("cargo kp {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect())
}

/// A plugin's module in a package for the guests' kernel, and the module in it.
fn packed(out: &Path, plugin: &str, name: &str) -> Result<(PathBuf, PathBuf)> {
    let arguments = ["package", "-p", plugin, "--name", name, "--deb", KERNEL, "--out"];
    let packages = tool(&[&arguments[..], &[&out.to_string_lossy()]].concat())?;
    let package = packages.into_iter().next().context("no package is printed")?;
    let files = out.join(name);
    let mut dpkg = Command::new("dpkg-deb");
    let status = dpkg.arg("-x").args([&package, &files]).status().context("cannot run dpkg-deb")?;
    let release = kernels::get(KERNEL, false)?.release;
    let module = files.join(format!("lib/modules/{release}/updates/kp-{name}.ko"));
    if !status.success() || !module.is_file() {
        bail!("{} has no {}", package.display(), module.display());
    }
    if kp_tool::strip::has_debug(&fs::read(&module)?) {
        bail!("{} has debug information in its module", package.display());
    }
    Ok((package, module))
}

/// What `kp` and packages do in a running Debian, line by line.
fn installed(setup: bool, log: &Log) -> Result<Tally> {
    let out = folder("guest")?;
    let root = System::Small.folder(setup)?;
    let kernel = kernels::get(KERNEL, setup)?;
    let (_, edu) = packed(&out, "edu", "edu")?;
    let (_, other) = packed(&out, "edu", "other")?;
    let (echo, _) = packed(&out, "echo", "echo")?;
    let (second, _) = packed(&out, "echo", "second")?;
    let kp = programs::build_with("kp-tool", &["--bin", "kp"])?;
    let mut vm = Vm::new(&kernel).root(&root).device("edu,addr=1").timeout(Duration::from_secs(600));
    for (file, guest) in [
        (&tests("guest.sh")?, "/root/guest.sh"),
        (&edu, "/root/kp-edu.ko"),
        (&other, "/root/kp-other.ko"),
        (&echo, "/root/echo.deb"),
        (&second, "/root/other.deb"),
        (&kp, "/usr/bin/kp"),
    ] {
        vm = vm.file(file, guest);
    }
    // udev reads the clock, which a busy host lets fall behind.
    let vm = vm.expect(Expected::lines("*hpet: Lost*")).step(Step::run(&["/bin/sh", "/root/guest.sh"]));
    let report = vm.run(&mut |_| {})?;
    keep(log, "guest", &report);
    let mut tally = Tally::default();
    let expected = fs::read_to_string(tests("guest.txt")?)?;
    tally.report("what kp does in a Debian", same(&expected, &report.output).map_err(|why| with_log(why, &report)));
    tally.check("how it ends", passed(&report).map_err(|why| with_log(why, &report)));
    Ok(tally)
}

/// Whether each line fits the pattern in its place.
fn same(expected: &str, said: &[String]) -> Result<(), String> {
    let expected: Vec<&str> = expected.lines().collect();
    for (at, pattern) in expected.iter().enumerate() {
        match said.get(at) {
            Some(line) if fits(pattern, line) => {}
            Some(line) => return Err(format!("line {}: `{line}` instead of `{pattern}`", at + 1)),
            None => return Err(format!("line {}: it ended before `{pattern}`", at + 1)),
        }
    }
    match said.get(expected.len()) {
        Some(more) => Err(format!("line {}: `{more}`, and nothing should be there", expected.len() + 1)),
        None => Ok(()),
    }
}

/// What is said of a module that is not signed, and of one that is signed by a key that nobody has enrolled.
fn enforced(setup: bool, log: &Log) -> Result<Tally> {
    let out = folder("signed")?;
    let kernel = kernels::get(KERNEL, setup)?;
    let (_, edu) = packed(&out, "edu", "edu")?;
    let signed = out.join("kp-edu.ko");
    fs::copy(&edu, &signed)?;
    let keys = out.join("keys").display().to_string();
    tool(&["sign", "init", "--dir", &keys, "--name", "a test"])?;
    tool(&["sign", "--key", &keys, &signed.to_string_lossy()])?;
    let kp = programs::build_with("kp-tool", &["--bin", "kp"])?;
    let vm = Vm::new(&kernel).kernel_arg("module.sig_enforce=1").program(&kp, "/kp/kp");
    let vm = vm.file(&edu, "/a/kp-edu.ko").file(&signed, "/b/kp-edu.ko");
    let install = |file: &str| Step::run(&["/kp/kp", "install", file]).expecting(Outcome::Exit(5));
    let report = vm.step(install("/a/kp-edu.ko")).step(install("/b/kp-edu.ko")).run(&mut |_| {})?;
    keep(log, "guest", &report);
    let expected = "error[E*]: module.sig_enforce is set and /a/kp-edu.ko is not signed: `cargo kp sign /a/kp-edu.ko`, then `sudo kp sign enroll` and restart; nothing was changed\n\
                    error[E*]: /b/kp-edu.ko is signed by \"a test\", which this machine does not trust: `sudo kp sign enroll`, restart, choose Enroll MOK; nothing was changed\n";
    let mut tally = Tally::default();
    let came_out = both(same(expected, &report.output), &report);
    tally.report("a module that is not signed, and one by an unknown key", came_out);
    let modinfo = Command::new("modinfo").args(["-F", "signer"]).arg(&signed).output();
    if let Ok(output) = modinfo.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) {
        let named = if output == "a test" { Ok(()) } else { Err(format!("modinfo says `{output}`")) };
        tally.report("modinfo names the signer", named);
    }
    Ok(tally)
}

fn both(said: Result<(), String>, report: &Report) -> Result<(), String> {
    said.and_then(|()| passed(report)).map_err(|why| with_log(why, report))
}

/// Packages, as Debian's and RPM's own tools see them, and what DKMS makes of one.
fn packages(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Root], setup)?;
    let out = folder("packages")?;
    let kernels = DKMS.map(|name| kernels::get(name, setup)).into_iter().collect::<Result<Vec<_>>>()?;
    let place = out.display().to_string();
    let made = tool(&[
        "package", "-p", "edu", "--deb", "dkms", "--deb", DKMS[1], "--rpm", "dkms", "--rpm", DKMS[1], "--group", "kp",
        "--out", &place,
    ])?;
    let mut tally = Tally::default();
    let [dkms, deb, rpms @ ..] = made.as_slice() else { bail!("{} packages are printed", made.len()) };
    let mut run = |name: &str, command: &mut Command| -> Result<String> {
        let output = command.output().with_context(|| format!("cannot run {name}"))?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        log.keep(name, &said.lines().map(str::to_owned).collect::<Vec<_>>());
        Ok(said)
    };
    let lintian = run("lintian", Command::new("lintian").args([dkms, deb]))?;
    let errors: Vec<&str> = lintian.lines().filter(|line| line.starts_with("E: ")).collect();
    tally.report("lintian has no error", if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) });
    let root = out.join("rpm-root");
    fs::create_dir_all(&root)?;
    for rpm in rpms {
        let mut test = Command::new("rpm");
        let said = run("rpm", test.arg("--root").arg(&root).args(["--test", "--nodeps", "--install"]).arg(rpm))?;
        let wrong: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
        let name = rpm.file_name().unwrap_or_default().display();
        tally.report(&format!("rpm takes {name}"), if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) });
    }
    let system = with_headers(&kernels, setup)?;
    let modules = out.join("modules");
    tally.check("DKMS", by_dkms(&system, dkms, &kernels, &modules, &mut run));
    for kernel in &kernels {
        tally.report(&format!("what DKMS has built runs in {}", kernel.name), boots(kernel, &modules, log));
    }
    Ok(tally)
}

/// The Debian root with DKMS, with the headers of these kernels as packages. They are not configured: that would want the kernels too.
fn with_headers(kernels: &[Kernel], setup: bool) -> Result<PathBuf> {
    let system = System::Dkms.folder(setup)?;
    let debs = cache_dir()?.join("debs");
    let names: Vec<String> =
        fs::read_dir(&debs)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let mut wanted = Vec::new();
    for kernel in kernels {
        if system.join("lib/modules").join(&kernel.release).join("build").exists() {
            continue;
        }
        let common = kernel.release.trim_end_matches("-amd64").trim_end_matches("-cloud");
        let series = &kernel.series;
        for start in [
            format!("linux-headers-{}_", kernel.release),
            format!("linux-headers-{common}-common_"),
            format!("linux-kbuild-{series}_"),
            format!("linux-kbuild-{common}_"),
        ] {
            wanted.extend(names.iter().filter(|name| name.replace("%2b", "+").starts_with(&start)).cloned());
        }
    }
    if wanted.is_empty() {
        return Ok(system);
    }
    for name in &wanted {
        fs::copy(debs.join(name), system.join("root").join(name))?;
    }
    fs::write(
        system.join("root/headers.sh"),
        "cd /root && dpkg --unpack --force-depends linux-*.deb && rm linux-*.deb\n",
    )?;
    let output = debian::shell(&system, "/root/headers.sh", &[]).output().context("cannot run unshare")?;
    if !output.status.success() {
        bail!("dpkg does not take the headers: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(system)
}

/// Installs the package in the Debian root, takes what DKMS has built, and purges it.
fn by_dkms(
    system: &Path,
    package: &Path,
    kernels: &[Kernel],
    modules: &Path,
    run: &mut dyn FnMut(&str, &mut Command) -> Result<String>,
) -> Result<(), String> {
    let mut went = || -> Result<()> {
        fs::copy(package, system.join("tmp/kp.deb"))?;
        fs::copy(tests("dkms.sh")?, system.join("tmp/dkms.sh"))?;
        let all = system.join("etc/dkms/framework.conf.d/kp-test.conf");
        fs::create_dir_all(all.parent().context("a file without a folder")?)?;
        fs::write(&all, "autoinstall_all_kernels=yes\n")?;
        let arguments = ["/tmp/kp.deb", "edu"];
        let built = run("dkms", &mut debian::shell(system, "/tmp/dkms.sh", &[&arguments[..], &["keep"]].concat()))?;
        for kernel in kernels {
            let line = format!(", {}, x86_64: installed", kernel.release);
            if !built.lines().any(|said| said.starts_with("kp-edu/") && said.ends_with(&line)) {
                bail!("not built for {}: {}", kernel.release, with_lines(String::new(), &lines(&built)));
            }
            let module = kp_tool::module::unpacked(&packed_or_not(system, &kernel.release)?)?;
            let target = modules.join(&kernel.name).join("kp-edu.ko");
            fs::create_dir_all(target.parent().context("a file without a folder")?)?;
            fs::write(target, module)?;
        }
        let again = run("dkms", &mut debian::shell(system, "/tmp/dkms.sh", &arguments))?;
        match again.lines().last() {
            Some("as before") => Ok(()),
            _ => bail!("the purge leaves something: {}", with_lines(String::new(), &lines(&again))),
        }
    };
    went().map_err(|error| format!("{error:#}"))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The module that DKMS has installed for a kernel.
fn packed_or_not(system: &Path, release: &str) -> Result<PathBuf> {
    let folder = system.join("lib/modules").join(release).join("updates/dkms");
    let found = ["kp-edu.ko", "kp-edu.ko.xz"].map(|name| folder.join(name)).into_iter().find(|file| file.is_file());
    found.with_context(|| format!("no kp-edu.ko in {}", folder.display()))
}

/// Whether the example's app runs on a module, in its kernel.
fn boots(kernel: &Kernel, modules: &Path, log: &Log) -> Result<(), String> {
    let went = || -> Result<Report> {
        let app = programs::build("edu-app")?;
        let vm = Vm::new(kernel).device("edu").program(&app, "/kp/app");
        let vm = vm.file(modules.join(&kernel.name).join("kp-edu.ko"), "/kp/kp-edu.ko");
        let vm = vm.step(Step::load_until("/kp/kp-edu.ko", "", "/dev/kp/edu.0"));
        vm.step(Step::run(&["/kp/app"])).step(Step::unload("kp_edu")).run(&mut |_| {})
    };
    let report = went().map_err(|error| format!("{error:#}"))?;
    keep(log, &kernel.name, &report);
    passed(&report).map_err(|why| with_log(why, &report))
}

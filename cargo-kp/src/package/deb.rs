//! A package for Debian, by dpkg-deb.

use super::content::{FILES, Kind, Package, package_version, write};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Makes the package of what lies in `work`, and says where it is.
pub(super) fn build(package: &Package, work: &Path, out: &Path) -> Result<PathBuf> {
    let files = work.join(FILES);
    let date = match std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()) {
        Some(seconds) => seconds,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
    };
    let docs = files.join("usr/share/doc").join(&package.name);
    write(&docs.join("copyright"), &copyright(package, date))?;
    write(&docs.join("changelog"), &changelog(package, date))?;
    run(Command::new("gzip").arg("-9n").arg(docs.join("changelog")), "gzip")?;
    if package.kind == Kind::Dkms {
        // It is no program's, and the kernel's build files strip what they make of it.
        let text = "unstripped-binary-or-object [usr/src/*/rust.o_shipped]\n";
        write(&files.join("usr/share/lintian/overrides").join(&package.name), text)?;
    }
    for (name, lines, when) in [
        ("postinst", &package.scripts.installed, "configure"),
        ("prerm", &package.scripts.removing, "remove|upgrade|deconfigure"),
        ("postrm", &package.scripts.removed, "remove|purge"),
    ] {
        if lines.is_empty() {
            continue;
        }
        let path = files.join("DEBIAN").join(name);
        write(&path, &script(lines, when))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    plain_rights(&files)?;
    write(&files.join("DEBIAN/control"), &control(package, size_of(&files)?))?;
    let file = out.join(format!("{}_{}_amd64.deb", package.name, package_version(&package.version)));
    let mut deb = Command::new("dpkg-deb");
    deb.env("SOURCE_DATE_EPOCH", date.to_string());
    run(deb.args(["--root-owner-group", "-Zxz", "--build"]).arg(&files).arg(&file), "dpkg-deb")?;
    Ok(file)
}

/// A maintainer script, for the calls that are named so.
fn script(lines: &str, when: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("\t{line}\n")).collect();
    format!("#!/bin/sh\nset -e\ncase \"$1\" in\n{when})\n{lines}\t;;\nesac\n")
}

/// `size`: KiB of files.
fn control(package: &Package, size: u64) -> String {
    let depends = match &package.kind {
        Kind::Dkms => "dkms (>= 3.0), make, gcc, kmod".to_owned(),
        Kind::Module(release) => format!("linux-image-{release} | linux-image-{release}-unsigned, kmod"),
    };
    let mut text = format!(
        "Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: {}\nInstalled-Size: {size}\nSection: kernel\nPriority: optional\nDepends: {depends}\n",
        package.name,
        package_version(&package.version),
        package.maintainer
    );
    let how = match &package.kind {
        Kind::Dkms => {
            text += "Recommends: linux-headers-amd64\n";
            "DKMS builds its module for\n each kernel that is installed, of C sources and a checked object: no Rust is\n needed.".to_owned()
        }
        Kind::Module(release) => format!("It has the module for Linux\n {release}."),
    };
    let _ = write!(text, "Description: {}\n A kernel plugin, made with kp. {how}\n", package.summary);
    text
}

fn copyright(package: &Package, seconds: u64) -> String {
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
         Files: *\nCopyright: {} {}\nLicense: {}\n The module declares this to the kernel.\n",
        &kp_tool::machine::day(seconds)[..4],
        package.maintainer,
        package.license
    )
}

fn changelog(package: &Package, seconds: u64) -> String {
    let version = package_version(&package.version);
    format!(
        "{} ({version}) unstable; urgency=medium\n\n  * Made by cargo kp package.\n\n -- {}  {}\n",
        package.name,
        package.maintainer,
        date(seconds)
    )
}

/// As in `Mon, 30 Nov 2026 08:30:00 +0000`.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = kp_tool::machine::day(seconds);
    let month: usize = day[5..7].parse().unwrap_or(1);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let week = DAYS[usize::try_from(seconds / 86_400 % 7).unwrap_or(0)];
    format!("{week}, {} {} {} {hour:02}:{minute:02}:{second:02} +0000", &day[8..], MONTHS[month - 1], &day[..4])
}

/// Whatever umask made the files: everybody may read them, and programs run.
fn plain_rights(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let mode = match path.is_dir() {
            true => {
                plain_rights(&path)?;
                0o755
            }
            false if fs::metadata(&path)?.permissions().mode() & 0o100 != 0 => 0o755,
            false => 0o644,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}

/// KiB of the files of a folder, each rounded up.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        size +=
            if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len().div_ceil(1024) };
    }
    Ok(size)
}

/// Runs a program that makes a package, which is silent if nothing is wrong.
pub(super) fn run(command: &mut Command, program: &str) -> Result<()> {
    let output = command.env("LC_ALL", "C.UTF-8").output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_as_debian_writes_it() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_796_027_400), "Mon, 30 Nov 2026 08:30:00 +0000");
    }

    #[test]
    fn a_script_does_its_work_in_the_calls_that_it_is_for_and_ends_with_what_failed() {
        let text = script("a\nb\n", "configure");
        assert_eq!(text, "#!/bin/sh\nset -e\ncase \"$1\" in\nconfigure)\n\ta\n\tb\n\t;;\nesac\n");
    }
}

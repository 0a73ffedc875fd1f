//! What a Linux machine needs.

use super::{Finding, rust};
use crate::build::toolchain::Toolchain;
use crate::kernels::{self, SECURITY_LINE};
use crate::packages::{Machine, Packages, Purpose, ThisMachine};
use anyhow::Result;
use std::path::Path;

/// The packages that bring Debian's Rust. Another one will do as well.
const RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Looks at this machine.
pub fn this(toolchain: Result<Toolchain>) -> Vec<Finding> {
    examine(&ThisMachine, rust(&toolchain))
}

/// Looks at a machine, of whose Rust something is known already.
pub fn examine(machine: &dyn Machine, rust: Finding) -> Vec<Finding> {
    let packages = Packages::new(machine);
    let debian = debian(machine);
    let is_debian = debian.ok;
    let mut findings = vec![rust, debian, security_suite(machine, packages.sudo_hint(), is_debian)];
    for purpose in Purpose::ALL {
        // Without dpkg nothing that it could have installed is there.
        let missing = packages.missing(purpose).unwrap_or_else(|_| purpose.packages().to_vec());
        for &name in purpose.packages().iter().filter(|name| !RUST.contains(name)) {
            findings.push(Finding {
                ok: !missing.contains(&name),
                // Elsewhere it may have another name.
                needed: is_debian && purpose.extra().is_none(),
                what: format!("package {name}{}", version(machine, name)),
                remedy: match purpose.extra() {
                    Some(extra) => format!("for {extra}: {}apt-get install {name}", packages.sudo_hint()),
                    None => format!("{}apt-get install {name}", packages.sudo_hint()),
                },
            });
        }
    }
    findings.push(running_headers(machine, packages.sudo_hint()));
    findings.push(lockdown(machine));
    if let Ok(cache) = kernels::cache_dir() {
        findings.push(disk_space(machine, &cache));
        findings.push(kernel_cache(&cache));
    }
    findings
}

fn debian(machine: &dyn Machine) -> Finding {
    let text = machine.read(Path::new("/etc/os-release")).unwrap_or_default();
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or("unknown").trim_matches('"').to_owned()
    };
    Finding {
        ok: field("ID") == "debian" && field("VERSION_ID") == "12",
        needed: false,
        what: format!("Debian 12, for guests and the kernels of kernels.toml: this is {}", field("PRETTY_NAME")),
        remedy: "modules for this system's own kernel are built here; for the rest use Debian 12 (bookworm), a container or a virtual \
                 machine will do; the packages below have Debian's names"
            .into(),
    }
}

fn security_suite(machine: &dyn Machine, sudo: &str, is_debian: bool) -> Finding {
    Finding {
        ok: kernels::has_security_suite(machine),
        needed: is_debian,
        what: "Debian's security suite, where the 6.12 kernels and rustc-web come from".into(),
        remedy: format!("add `{SECURITY_LINE}` to /etc/apt/sources.list, then run `{sudo}apt-get update`"),
    }
}

/// The version of an installed package, as ` 1.2`; nothing if it is not known.
fn version(machine: &dyn Machine, name: &str) -> String {
    match machine.run(None, "dpkg-query", &["--show", "--showformat=${Version}", name]) {
        Ok(done) if done.success && !done.stdout.is_empty() => format!(" {}", done.stdout.trim()),
        _ => String::new(),
    }
}

fn running_headers(machine: &dyn Machine, sudo: &str) -> Finding {
    let release = machine.read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let release = release.trim();
    let makefile = format!("/lib/modules/{release}/build/Makefile");
    Finding {
        ok: machine.read(Path::new(&makefile)).is_some(),
        needed: false,
        what: format!("headers of the running kernel {release}, to build for it"),
        remedy: format!("{sudo}apt-get install linux-headers-{release}; or build for a kernel of kernels.toml"),
    }
}

fn lockdown(machine: &dyn Machine) -> Finding {
    // The mode in force stands in brackets: "[none] integrity confidentiality".
    let text = machine.read(Path::new("/sys/kernel/security/lockdown"));
    let mode = text.as_deref().and_then(|text| text.split('[').nth(1)?.split(']').next()).unwrap_or("none");
    Finding {
        ok: mode == "none",
        needed: false,
        what: format!("kernel lockdown (Secure Boot): {mode}"),
        remedy: "unsigned modules don't load on this machine; in a virtual machine they do".into(),
    }
}

/// What five unpacked kernels with their packages, and a build tree, take.
const SPACE_GIB: u64 = 3;

fn disk_space(machine: &dyn Machine, cache: &Path) -> Finding {
    // The directory itself may not exist yet.
    let existing = cache.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let done = machine.run(None, "df", &["--output=avail", "--block-size=1M", &existing.to_string_lossy()]);
    let free = done.ok().and_then(|done| done.stdout.lines().last()?.trim().parse::<u64>().ok()).unwrap_or(0);
    Finding {
        ok: free >= SPACE_GIB * 1024,
        needed: true,
        what: format!("disk space for {}: {:.1} GiB free", cache.display(), free as f64 / 1024.0),
        remedy: format!("free up to {SPACE_GIB} GiB, or set XDG_CACHE_HOME to a place that has it"),
    }
}

fn kernel_cache(cache: &Path) -> Finding {
    let names = kernels::names();
    let is_there = |name: &&String| kernels::cached_in(cache, name).is_some();
    let (there, absent): (Vec<_>, Vec<_>) = names.iter().partition(is_there);
    let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    Finding {
        ok: absent.is_empty(),
        needed: false,
        what: format!(
            "kernels in {}: {}",
            cache.display(),
            if there.is_empty() { "none".into() } else { list(&there) }
        ),
        remedy: format!("{} will be downloaded when first used", list(&absent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::fake::Fake;
    use anyhow::{Result, bail};

    fn healthy() -> Fake {
        let all: Vec<_> = [Purpose::Build, Purpose::Boot].iter().flat_map(|purpose| purpose.packages()).collect();
        let installed: String = all.iter().map(|name| format!("ii {name}\n")).collect();
        let mut fake = Fake { root: true, ..Fake::default() }
            .answer("dpkg-query --show --showformat=${db:Status-Abbrev}", &installed)
            .answer("dpkg-query --show --showformat=${Version} make", "4.3")
            .answer("apt-cache policy", "release n=bookworm-security")
            .answer("df", "Avail\n80000\n");
        fake.files.insert("/etc/os-release".into(), "PRETTY_NAME=\"Debian 12\"\nVERSION_ID=\"12\"\nID=debian\n".into());
        fake
    }

    /// A Rust that is whole.
    fn whole() -> Finding {
        Finding { ok: true, needed: true, what: "Rust 1.96.0 in /usr".into(), remedy: String::new() }
    }

    fn lacking(machine: &dyn Machine) -> Vec<String> {
        let findings = examine(machine, whole());
        findings.iter().filter(|finding| finding.needed && !finding.ok).map(ToString::to_string).collect()
    }

    #[test]
    fn a_machine_with_everything_lacks_nothing() {
        assert_eq!(lacking(&healthy()), [""; 0]);
        let lines: Vec<String> = examine(&healthy(), whole()).iter().map(ToString::to_string).collect();
        for line in ["ok    Rust 1.96.0 in /usr", "ok    package make 4.3"] {
            assert!(lines.iter().any(|found| found == line), "no line `{line}` in {lines:?}");
        }
    }

    #[test]
    fn without_debians_rust_its_packages_are_not_asked_for_where_another_one_is_whole() {
        let installed =
            Purpose::Build.packages().iter().chain(Purpose::Boot.packages()).filter(|name| !RUST.contains(name));
        let installed: String = installed.map(|name| format!("ii {name}\n")).collect();
        let machine = healthy().answer("dpkg-query --show --showformat=${db:Status-Abbrev}", &installed);
        assert_eq!(lacking(&machine), [""; 0]);
        let lacks = rust(&Err(anyhow::anyhow!("no whole Rust 1.95 or later: …")));
        assert_eq!(
            examine(&machine, lacks)[0].to_string(),
            "lack  Rust with the source of its library — no whole Rust 1.95 or later: …"
        );
    }

    #[test]
    fn what_more_than_modules_and_guests_needs_is_noted_with_what_it_is_for() {
        let lines: Vec<String> = examine(&healthy(), whole()).iter().map(ToString::to_string).collect();
        for (name, what) in [
            ("wine", "Windows"),
            ("gcc-mingw-w64-i686-win32", "the tests' 32-bit app on Windows"),
            ("lib32gcc-12-dev", "the tests' 32-bit app"),
            ("python3", "the tests in Python"),
            ("valgrind", "`cargo kp bench`"),
            ("linux-source-6.12", "`cargo kp kernel build`"),
        ] {
            let line = format!("note  package {name} — for {what}: apt-get install {name}");
            assert!(lines.contains(&line), "no line `{line}` in {lines:?}");
        }
    }

    #[test]
    fn each_lack_is_one_line_with_a_remedy() {
        let mut fake = healthy().answer("dpkg-query --show --showformat=${db:Status-Abbrev}", "");
        fake.answers.remove("apt-cache policy");
        fake.answers
            .insert("df".into(), crate::packages::Done { success: true, stdout: "5\n".into(), stderr: "".into() });
        let lines = lacking(&fake);
        let packages = Purpose::Build.packages().len() - RUST.len() + Purpose::Boot.packages().len();
        // And besides the packages: the security suite, disk space.
        assert_eq!(lines.len(), packages + 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("lack  ") && line.contains(" — ") && !line.contains('\n')));
        assert!(lines[0].contains(SECURITY_LINE));
    }

    #[test]
    fn on_another_system_debians_names_are_notes_and_the_list_still_comes() {
        assert_eq!(lacking(&NoPrograms).len(), 1, "only disk space: {:?}", lacking(&NoPrograms));
        let lines: Vec<String> = examine(&NoPrograms, whole()).iter().map(ToString::to_string).collect();
        assert!(
            lines[1].starts_with("note  Debian 12, for guests and the kernels of kernels.toml: this is unknown — ")
        );
        assert!(lines.contains(&"note  package make — sudo apt-get install make".to_owned()), "{lines:?}");
    }

    /// Nothing can be started there.
    struct NoPrograms;

    impl Machine for NoPrograms {
        fn run(&self, _dir: Option<&Path>, program: &str, _args: &[&str]) -> Result<crate::packages::Done> {
            bail!("cannot start {program}")
        }

        fn is_root(&self) -> bool {
            false
        }

        fn has_program(&self, _program: &str) -> bool {
            false
        }

        fn read(&self, _path: &Path) -> Option<String> {
            None
        }
    }

    #[test]
    fn lockdown_is_noted_but_stops_nothing() {
        let mut fake = healthy();
        fake.files.insert("/sys/kernel/security/lockdown".into(), "none [integrity] confidentiality\n".into());
        assert_eq!(lacking(&fake), [""; 0]);
        let findings = examine(&fake, whole());
        assert!(
            findings
                .iter()
                .any(|finding| finding.to_string().starts_with("note  kernel lockdown (Secure Boot): integrity — "))
        );
    }
}

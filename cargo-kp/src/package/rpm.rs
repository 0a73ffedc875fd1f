//! A package for RPM, by rpmbuild.

use super::content::{FILES, Kind, Package, package_version, write};
use super::deb::run;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the package of what lies in `work`, and says where it is.
pub(super) fn build(package: &Package, work: &Path, out: &Path) -> Result<PathBuf> {
    let work = std::path::absolute(work)?;
    let spec = work.join("package.spec");
    let files = list(&work.join(FILES), "")?;
    write(&spec, &text(package, &work.join(FILES), &files))?;
    let top = work.join("rpmbuild");
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--target", "x86_64", "--define", &format!("_topdir {}", top.display())]);
    run(rpmbuild.arg(&spec), "rpmbuild")?;
    let name = format!("{}-{}-1.x86_64.rpm", package.name, package_version(&package.version));
    let file = out.join(&name);
    let made = top.join("RPMS/x86_64").join(&name);
    fs::copy(&made, &file).with_context(|| format!("rpmbuild made no {}", made.display()))?;
    Ok(file)
}

/// The files below a folder, by their paths on the target, in order.
fn list(folder: &Path, path: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() { found.extend(list(&entry.path(), &path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// What rpmbuild is told. The module is not touched: it may be signed.
fn text(package: &Package, from: &Path, files: &[String]) -> String {
    let requires = match &package.kind {
        Kind::Dkms => "dkms, make, gcc".to_owned(),
        // What Fedora's kernels say of themselves; a version with two dashes RPM does not take, and those who have one do not say it.
        Kind::Module(release) if release.matches('-').count() < 2 => format!("kernel-uname-r = {release}"),
        Kind::Module(release) => format!("/lib/modules/{release}"),
    };
    let mut text = format!(
        "%global debug_package %{{nil}}\n%global __strip /bin/true\n%global __brp_compress %{{nil}}\n%global _build_id_links none\n\
         Name: {}\nVersion: {}\nRelease: 1\nSummary: {}\nLicense: {}\nRequires: {requires}\nAutoReqProv: no\n\n\
         %description\nA kernel plugin, made with kp.\n\n\
         %install\nmkdir -p %{{buildroot}}\ncp -a \"{}/.\" %{{buildroot}}\n\n%files\n",
        package.name,
        package_version(&package.version),
        package.summary,
        package.license,
        from.display()
    );
    for file in files {
        let _ = writeln!(text, "%attr(0644, root, root) \"{file}\"");
    }
    for (section, lines) in [
        ("post", &package.scripts.installed),
        ("preun", &package.scripts.removing),
        ("postun", &package.scripts.removed),
    ] {
        if !lines.is_empty() {
            let _ = write!(text, "\n%{section}\n{lines}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::content::Scripts;

    #[test]
    fn a_module_is_for_its_kernel_and_files_are_roots() {
        let spec = |release: &str| {
            let package = Package {
                name: "kp-card-modules".into(),
                version: "0.1.0".into(),
                maintainer: "Ada".into(),
                summary: "A card".into(),
                license: "GPL",
                kind: Kind::Module(release.into()),
                scripts: Scripts { installed: "depmod x\n".into(), ..Scripts::default() },
            };
            text(&package, Path::new("/w"), &["/a/b.ko".into()])
        };
        let fedora = spec("6.12.9-200.fc41.x86_64");
        assert!(fedora.contains("Requires: kernel-uname-r = 6.12.9-200.fc41.x86_64\n"), "{fedora}");
        assert!(fedora.contains("%attr(0644, root, root) \"/a/b.ko\"\n\n%post\ndepmod x\n"), "{fedora}");
        assert!(!fedora.contains("%preun"), "nothing is empty: {fedora}");
        assert!(spec("6.12.9+deb12-cloud-amd64").contains("Requires: /lib/modules/6.12.9+deb12-cloud-amd64\n"));
    }
}

//! The hand-written modules, and the kernel's own that the measures need.
use super::Place;
use crate::{
    build::copy,
    kernels::{self, Kernel},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The kernel's modules for UIO, in the order in which they are loaded.
const UIO: [&str; 2] = ["uio", "uio_pci_generic"];

/// Builds the modules of `benches/baselines` for a kernel, and answers the folder that has them.
pub fn build(place: &Place, kernel: &Kernel) -> Result<PathBuf> {
    let folder = std::path::absolute(place.output.join(&kernel.release).join("baselines"))?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    copy(&place.workspace.join("benches/baselines"), &folder)?;
    make(kernel, &folder)?;
    Ok(folder)
}

/// Makes what is not made yet in a folder that [`build`] has filled.
pub fn make(kernel: &Kernel, folder: &Path) -> Result<()> {
    let done = Command::new("make")
        .args(["-s", "-C"])
        .arg(&kernel.headers)
        .arg(format!("M={}", folder.display()))
        .arg("modules")
        .env_remove("MAKEFLAGS")
        .env("LC_ALL", "C")
        .output()
        .context("cannot run make: apt-get install make gcc")?;
    if !done.status.success() {
        bail!("the baselines do not build:\n{}", String::from_utf8_lossy(&done.stderr).trim_end());
    }
    Ok(())
}

/// Gets the kernel's UIO modules out of its package. Their files, in the order in which they are loaded.
pub fn uio(place: &Place, kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let folder = place.output.join(&kernel.release).join("uio");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files: Vec<PathBuf> = UIO.iter().map(|name| folder.join(format!("{name}.ko"))).collect();
    if files.iter().all(|file| file.is_file()) {
        return Ok(files);
    }
    let package = image(kernel)?;
    for (name, file) in UIO.iter().zip(&files) {
        // `sh` joins the programs; names come as arguments. Some kernels have their modules packed, some not.
        let script = r#"path=./lib/modules/$2/kernel/drivers/uio/$3.ko
dpkg --fsys-tarfile "$1" | tar -xO "$path" >"$4" 2>/dev/null ||
dpkg --fsys-tarfile "$1" | tar -xO "$path.xz" | xz -dc >"$4""#;
        let status = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&package)
            .args([kernel.release.as_str(), name])
            .arg(file)
            .stdin(Stdio::null())
            .status()
            .context("cannot run sh")?;
        if !status.success() || fs::metadata(file).map_or(0, |file| file.len()) == 0 {
            // What is half there would be taken for whole the next time.
            let _ = fs::remove_file(file);
            bail!("{} has no module {name}: is xz there? apt-get install xz-utils", package.display());
        }
    }
    Ok(files)
}

/// The kernel's package, which was kept when it was downloaded.
fn image(kernel: &Kernel) -> Result<PathBuf> {
    let cache = kernels::cache_dir()?;
    let prefix = format!("linux-image-{}_", kernel.release);
    let all = fs::read_dir(cache.join("debs")).with_context(|| format!("{} has no packages", cache.display()))?;
    let mut fitting = all
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix)));
    fitting.next().with_context(|| {
        let record = cache.join("kernels").join(format!("{}.toml", kernel.name));
        format!("the package of {} is gone: remove {}, and it is downloaded again", kernel.release, record.display())
    })
}

//! The kernel's own modules that the baselines use: UIO's and VFIO's, out of the kernel's package.
use super::Place;
use crate::kernels::{self, Kernel};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const UIO: [&str; 2] = ["uio", "uio_pci_generic"];
const VFIO: [&str; 5] = ["vfio", "irqbypass", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];
/// Older series have this part of VFIO as a module of its own.
const VFIO_OLD: &str = "vfio_virqfd";

/// The files of the kernel's own modules.
#[derive(Debug, PartialEq, Eq)]
pub struct Stock {
    /// UIO's.
    pub uio: Vec<PathBuf>,
    /// VFIO's.
    pub vfio: Vec<PathBuf>,
}

impl Stock {
    /// Gets them out of the kernel's package, once.
    pub fn of(place: &Place, kernel: &Kernel) -> Result<Self> {
        let folder = place.output.join(&kernel.release).join("stock");
        if !folder.is_dir() {
            // Under another name until it is whole.
            let part = folder.with_extension("part");
            let _ = fs::remove_dir_all(&part); // most times it is not there
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
            unpack(&image(kernel)?, &part)?;
            fs::rename(&part, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Self::in_folder(&folder)
    }

    fn in_folder(folder: &Path) -> Result<Self> {
        let file = |name: &str| folder.join(format!("{name}.ko"));
        let all = |names: &[&str]| -> Result<Vec<PathBuf>> {
            let files: Vec<PathBuf> = names.iter().map(|name| file(name)).collect();
            match files.iter().find(|file| !file.is_file()) {
                Some(missing) => bail!("the kernel's package has no {}", missing.display()),
                None => Ok(files),
            }
        };
        let mut vfio = all(&VFIO)?;
        vfio.extend(Some(file(VFIO_OLD)).filter(|file| file.is_file()));
        Ok(Self { uio: all(&UIO)?, vfio })
    }
}

/// Puts the modules of a package into one folder, unpacked.
fn unpack(package: &Path, folder: &Path) -> Result<()> {
    // `sh` joins the programs; names come as arguments. Some kernels have their modules packed, some not.
    let script = r#"dpkg --fsys-tarfile "$1" | tar -x -C "$2" --wildcards --transform 's|.*/||' \
'*/drivers/uio/uio*.ko*' '*/drivers/vfio/vfio*.ko*' '*/drivers/vfio/pci/vfio-pci*.ko*' '*/virt/lib/irqbypass.ko*' &&
find "$2" -name '*.xz' -exec xz -d '{}' +"#;
    let done = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([package, folder])
        .stdin(Stdio::null())
        .output()
        .context("cannot run sh")?;
    if !done.status.success() {
        let why = String::from_utf8_lossy(&done.stderr);
        bail!("{}: {}: is xz there? apt-get install xz-utils", package.display(), why.trim_end());
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_only_some_kernels_have_may_be_missing_and_no_other() {
        let folder = tempfile::TempDir::with_prefix("kp-").unwrap();
        let folder = folder.path();
        for name in UIO.iter().chain(&VFIO) {
            fs::write(folder.join(format!("{name}.ko")), "").unwrap();
        }
        assert_eq!(Stock::in_folder(folder).unwrap().vfio.len(), 5);
        fs::write(folder.join("vfio_virqfd.ko"), "").unwrap();
        assert_eq!(Stock::in_folder(folder).unwrap().vfio.len(), 6);
        fs::remove_file(folder.join("irqbypass.ko")).unwrap();
        let error = Stock::in_folder(folder).unwrap_err().to_string();
        assert!(error.contains("irqbypass.ko"), "{error}");
    }
}

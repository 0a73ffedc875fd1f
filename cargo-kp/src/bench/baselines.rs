//! The hand-written modules.
use super::Place;
use crate::{
    build::{copy, kernels_make},
    kernels::Kernel,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

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
    let done = kernels_make()
        .args(["-s", "-C"])
        .arg(&kernel.headers)
        .arg(format!("M={}", folder.display()))
        .arg("modules")
        .output()
        .context("cannot run make: apt-get install make gcc")?;
    if !done.status.success() {
        bail!("the baselines do not build:\n{}", String::from_utf8_lossy(&done.stderr).trim_end());
    }
    Ok(())
}

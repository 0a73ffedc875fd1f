//! Files that are gone when their value is.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new file in the temporary directory.
#[derive(Debug)]
pub(crate) struct TempFile {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl TempFile {
    /// A path that nothing is at. What its owner creates there goes with this value.
    pub(crate) fn unused() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kp-{}-{number}", std::process::id()));
        // The number may repeat one of a process long gone.
        let _ = std::fs::remove_file(&path);
        TempFile { path }
    }

    /// Creates it, empty. Fails if it can't be written.
    pub(crate) fn create() -> Result<(Self, File)> {
        let new = Self::unused();
        // Not through a name that another user has put there.
        let file = File::create_new(&new.path).with_context(|| format!("cannot create {}", new.path.display()))?;
        Ok((new, file))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Nothing is lost if it stays: it lies in the temporary directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

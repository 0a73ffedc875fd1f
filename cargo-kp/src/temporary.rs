//! Files and folders that are gone when their value is.
//!
//! The tests have the crate tempfile for that. `cargo install` has not: it would build three crates for it.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The process, and a number that it has not given out yet.
fn number() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new file in the temporary directory.
#[derive(Debug)]
pub(crate) struct TempFile {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl TempFile {
    /// A path that nothing is at. What its owner creates there goes with this value.
    pub(crate) fn unused() -> Self {
        let path = std::env::temp_dir().join(format!("kp-{}", number()));
        // The number may repeat one of a process long gone.
        let _ = fs::remove_file(&path);
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
        let _ = fs::remove_file(&self.path);
    }
}

/// A new folder.
#[derive(Debug)]
pub(crate) struct TempFolder {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl TempFolder {
    /// Makes `<name>-<process>-<number>` in a place, which is made too if it is not there.
    pub(crate) fn new(place: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
        loop {
            let path = place.join(format!("{name}-{}", number()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(TempFolder { path }),
                // Of a process long gone, or somebody else's.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // It may have got another name meanwhile. Nothing is lost if it stays.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_a_folder_each_and_nothing_stays() {
        let place = tempfile::TempDir::with_prefix("kp-").unwrap();
        let place = place.path().join("made");
        let make = || (0..50).map(|_| TempFolder::new(&place, "new").unwrap()).collect::<Vec<_>>();
        let made = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(make));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(fs::read_dir(&place).unwrap().count(), 200);
        fs::write(made[0][0].path.join("file"), "").unwrap();
        drop(made);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_already_stays_as_it_is() {
        let place = tempfile::TempDir::with_prefix("kp-").unwrap();
        let next =
            |folder: &TempFolder| -> u32 { folder.path.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap() };
        let number = next(&TempFolder::new(place.path(), "new").unwrap());
        // Other tests take numbers meanwhile.
        let taken = (number..number + 100).map(|at| place.path().join(format!("new-{}-{at}", std::process::id())));
        taken.clone().for_each(|path| fs::write(path, "somebody's").unwrap());
        let folder = TempFolder::new(place.path(), "new").unwrap();
        assert!(folder.path.is_dir() && next(&folder) > number);
        drop(folder);
        assert!(taken.into_iter().all(|path| path.exists()));
    }
}

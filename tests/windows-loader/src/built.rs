//! A plugin's driver, as the tool builds it.
use std::{
    env, fmt,
    io::Error,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Why there is no driver to load. `Debug` is the same text as `Display`, for a test that returns the error.
pub enum BuildError {
    /// Cargo could not be started.
    Cargo(Error),
    /// `cargo kp build` has failed, and says this.
    Tool(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Cargo(error) => write!(f, "cargo cannot be started: {error}"),
            BuildError::Tool(said) => write!(f, "`cargo kp build` has failed:\n{}", said.trim_end()),
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}

/// Builds the plugin of this package for Windows, by `cargo kp build -p PACKAGE --target windows` in the folder that the test runs in. The
/// path of its .sys.
///
/// It needs what `cargo kp build` needs, so a test that calls it is better `#[ignore]`d.
///
/// # Errors
/// The tool's, in its own words.
pub fn build(package: &str) -> Result<PathBuf, BuildError> {
    // The tool takes a lock too; this keeps its messages apart.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tool = ["kp", "build", "-p", package, "--target", "windows"];
    let output = Command::new(cargo).args(tool).output().map_err(BuildError::Cargo)?;
    if !output.status.success() {
        return Err(BuildError::Tool(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let path = String::from_utf8_lossy(&output.stdout);
    Ok(PathBuf::from(path.lines().next().unwrap_or_default()))
}

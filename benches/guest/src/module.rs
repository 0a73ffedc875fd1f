//! Modules in files, loaded and unloaded.
use std::{ffi::CString, fs::File, io, os::fd::AsRawFd, path::Path};

/// A module that is loaded until this is dropped.
pub struct Module {
    name: CString,
}

impl Module {
    /// Loads the module in this file.
    pub fn load(path: &str, parameters: &str) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot load {path}: {error}");
        let file = File::open(path).map_err(failed)?;
        let parameters = CString::new(parameters).map_err(|_| format!("{path}: parameters with a zero"))?;
        // SAFETY: an open file and a string that ends with a zero.
        let answer = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
        if answer != 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = CString::new(stem.replace('-', "_")).map_err(|_| format!("{path}: a name with a zero"))?;
        Ok(Self { name })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: a string that ends with a zero.
        let answer = unsafe { libc::syscall(libc::SYS_delete_module, self.name.as_ptr(), libc::O_NONBLOCK) };
        if answer != 0 {
            println!("cannot unload {}: {}", self.name.to_string_lossy(), io::Error::last_os_error());
        }
    }
}

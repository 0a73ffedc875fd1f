//! Loads and unloads kernel modules. Public, because programs in the guest want to do that too.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;

/// `O_NONBLOCK`, as delete_module(2) wants it: fail if the module is in use.
const AT_ONCE: i32 = OFlags::NONBLOCK.bits() as i32;

/// Loads the module in the file `path`, with parameters as in `msi=1 count=3`. Fails as finit_module(2) does, and with `INVAL`
/// if `params` contains a zero byte.
pub fn load(path: &str, params: &str) -> Result<(), Errno> {
    let params = CString::new(params).map_err(|_| Errno::INVAL)?;
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::system::finit_module(file, &params, 0)
}

/// Unloads the module called `name`. Fails as delete_module(2) does: with `AGAIN` if it is in use, with `NOENT` if there is
/// none; and with `INVAL` if `name` contains a zero byte.
pub fn unload(name: &str) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    rustix::system::delete_module(&name, AT_ONCE)
}

//! A driver's interface, from the driver itself.
use crate::Connection;
#[cfg(any(target_os = "linux", windows))]
use crate::{Cause, OpenError};
use kp_abi::{Result, Status};

/// Bytes that are asked for at once.
const PART: usize = 4096;
/// No driver has a longer one: a message of 256 bytes of arguments, and its documentation, take hundreds of bytes.
const LONGEST: usize = 16 << 20;

/// The interface of the driver behind a connection, as the bytes that `kp_abi::schema_bytes` makes of one. It need not be open.
///
/// [`UNKNOWN_REQUEST`](kp_abi::TransportStatus::UNKNOWN_REQUEST): the driver tells nobody; it is older than ABI 1.4, has no interface, or was
/// built without. [`PROTOCOL`](Status::PROTOCOL): what it answers is no schema.
pub fn schema(connection: &dyn Connection) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut room = [0; PART];
        let answer = connection.schema(bytes.len() as u32, &mut room)?;
        let total = answer.total as usize;
        let part = room.get(..answer.written as usize).ok_or(Status::PROTOCOL)?;
        bytes.extend_from_slice(part);
        if bytes.len() == total {
            return Ok(bytes);
        }
        if part.is_empty() || bytes.len() > total || total > LONGEST {
            return Err(Status::PROTOCOL.into());
        }
    }
}

/// The interface of a loaded plugin, as [`schema`] has it: of `edu`, the lowest instance, or of `edu.1`, that one. Starts no session.
#[cfg(any(target_os = "linux", windows))]
pub fn schema_of(name: &str) -> std::result::Result<Vec<u8>, OpenError> {
    let (node, place) = crate::platform::open(name)?;
    let failed = |error| OpenError { place: place.path, plugin: Some(place.plugin), cause: Cause::Refused(error) };
    schema(&*node).map_err(failed)
}

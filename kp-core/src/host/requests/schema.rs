//! SCHEMA: the interface as bytes.
use crate::{
    Plugin, Status,
    host::{nospec::array_index_nospec, outcome::RequestError, session::Session, user_request::UserRequest},
    limits,
};
use kp_abi::{TransportStatus, request};

impl<P: Plugin> Session<P> {
    /// What SCHEMA answers: as much of the interface as the build keeps. Empty: there is no such request.
    pub(super) const SCHEMA: &[u8] = if cfg!(kp_schema = "none") {
        &[]
    } else if cfg!(kp_schema = "names") {
        P::TABLE.schema_names
    } else {
        P::TABLE.schema
    };

    const FINGERPRINT: u64 = match P::TABLE.chain.last() {
        Some(fingerprint) => *fingerprint,
        None => 0,
    };
}

/// SCHEMA. Nobody is asked: neither the session nor the plugin.
#[inline(always)]
pub(super) fn schema<P: Plugin>(
    request: &mut request::Schema,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    (request.total, request.fingerprint) = (Session::<P>::SCHEMA.len() as u32, Session::<P>::FINGERPRINT);
    request.written = copy(request, Session::<P>::SCHEMA, user)?;
    Ok(())
}

/// Writes the part of the schema that is asked for: how many bytes.
#[cfg_attr(kp_driver, optimize(size), inline(never))]
fn copy(request: &request::Schema, schema: &[u8], user: &mut impl UserRequest) -> Result<u32, RequestError> {
    if schema.is_empty() {
        return Err(TransportStatus::UNKNOWN_REQUEST.into());
    }
    let (offset, room) = (request.offset as usize, request.len as usize);
    if offset > schema.len() {
        return Err(Status::BAD_FIELD.into());
    }
    if room > limits::MAX_DATA {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    }
    if room == 0 {
        return Ok(0);
    }
    let address = user.output_range(request.addr, request.head.size as usize, room)?;
    let rest = schema.get(array_index_nospec(offset, schema.len() + 1)..).unwrap_or_default();
    let part = rest.get(..room.min(rest.len())).unwrap_or_default();
    if !part.is_empty() {
        user.copy_to_user(address, part)?;
    }
    Ok(part.len() as u32)
}

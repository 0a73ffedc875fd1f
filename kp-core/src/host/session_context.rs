//! What a session gives its calls by their level: what wakes them, and the buffers that its app has registered.
#![deny(unsafe_code)]
use super::{buffer_table::BufferTable, waker::Waker};
use crate::{Passive, Result};

/// See the module.
pub(crate) struct SessionContext {
    pub(crate) waker: Waker,
    /// None: the plugin's messages name no buffers.
    pub(crate) buffers: Option<BufferTable>,
}

impl SessionContext {
    pub(super) fn new(cx: &mut Passive, has_buffers: bool) -> Result<Self> {
        let buffers = if has_buffers { Some(BufferTable::new(cx)?) } else { None };
        Ok(Self { waker: Waker::new(cx)?, buffers })
    }
}

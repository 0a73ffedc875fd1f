//! What a session gives its calls by their level: what wakes them, and the buffers that its app has registered.
#![deny(unsafe_code)]
use super::{buffer_table::BufferTable, waker::Waker};
use crate::{Passive, Result};
use core::mem::ManuallyDrop;

/// See the module.
pub(crate) struct SessionContext {
    pub(crate) waker: Waker,
    /// None: there are no buffers. Who has made it with some drops it: the compiler shall know who has not.
    pub(crate) buffers: ManuallyDrop<Option<BufferTable>>,
}

impl SessionContext {
    pub(super) fn new(cx: &mut Passive, has_buffers: bool) -> Result<Self> {
        let waker = Waker::new(cx)?;
        let buffers = if has_buffers { Some(BufferTable::new(cx)?) } else { None };
        Ok(Self { waker, buffers: ManuallyDrop::new(buffers) })
    }
}

//! The event of a request.
#![expect(unsafe_code, reason = "std has no events")]
use kp_abi::{Result, Status};
use std::{
    cell::Cell,
    os::windows::io::{FromRawHandle, OwnedHandle},
    ptr,
};
use windows_sys::Win32::{Foundation::TRUE, System::Threading::CreateEventW};

/// An event that is not inherited. A request that starts clears it, and its end sets it.
#[derive(Debug)]
pub(super) struct Event(pub(super) OwnedHandle);

thread_local! {
    /// This thread's: it has one request at a time, and one that waits for its end needs no other.
    static EVENT: Cell<Option<Event>> = const { Cell::new(None) };
}

impl Event {
    pub(super) fn new() -> Result<Self, Status> {
        // SAFETY: no attributes and no name; to be cleared by hand, and clear.
        let event = unsafe { CreateEventW(ptr::null(), TRUE, 0, ptr::null()) };
        if event.is_null() {
            return Err(Status::NO_MEMORY);
        }
        // SAFETY: a new handle, owned by nobody else.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(event) }))
    }

    /// This thread's; a new one if it has none yet, or ends.
    pub(super) fn take() -> Result<Self, Status> {
        match EVENT.try_with(Cell::take) {
            Ok(Some(event)) => Ok(event),
            _ => Self::new(),
        }
    }

    pub(super) fn put_back(self) {
        let _ = EVENT.try_with(|event| event.set(Some(self)));
    }
}

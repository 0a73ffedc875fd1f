//! What Windows answers, as a row of the table.
#![expect(unsafe_code, reason = "std has no table of the kernel's errors")]
use kp_abi::Status;
use windows_sys::Win32::Foundation::{
    ERROR_COMMITMENT_LIMIT, ERROR_DEV_NOT_EXIST, ERROR_DEVICE_NOT_CONNECTED, ERROR_INVALID_USER_BUFFER,
    ERROR_NO_SUCH_DEVICE, ERROR_NOT_ENOUGH_MEMORY, ERROR_NOT_ENOUGH_QUOTA, ERROR_WORKING_SET_QUOTA, GetLastError,
    RtlNtStatusToDosError,
};

/// The row of what this thread's last call of Windows answered.
#[cold]
pub(super) fn last_status() -> Status {
    // SAFETY: reads this thread's last error.
    status(unsafe { GetLastError() })
}

/// What Windows itself answers where no row's NTSTATUS says the same: it has no memory for one request more, or cannot lock its buffers
/// (the first three are named by the page "ReadFile function (fileapi.h)"); the device is not there any more.
const OF_WINDOWS: [(u32, Status); 8] = [
    (ERROR_NOT_ENOUGH_MEMORY, Status::NO_MEMORY),
    (ERROR_INVALID_USER_BUFFER, Status::NO_MEMORY),
    (ERROR_NOT_ENOUGH_QUOTA, Status::NO_MEMORY),
    (ERROR_WORKING_SET_QUOTA, Status::NO_MEMORY),
    (ERROR_COMMITMENT_LIMIT, Status::NO_MEMORY),
    (ERROR_NO_SUCH_DEVICE, Status::DEVICE_GONE),
    (ERROR_DEV_NOT_EXIST, Status::DEVICE_GONE),
    (ERROR_DEVICE_NOT_CONNECTED, Status::DEVICE_GONE),
];

/// The row of an error of Windows: the one whose NTSTATUS Windows translates to it, the transport's own rows first; then what Windows
/// answers by itself.
pub(super) fn status(error: u32) -> Status {
    let of = |transport: bool| Status::TABLE.iter().filter(move |row| row.status.is_transport() == transport);
    // SAFETY: a look-up in a table, of any number.
    let is_it = |ntstatus: u32| unsafe { RtlNtStatusToDosError(ntstatus as i32) } == error;
    let find =
        |transport| of(transport).find(|row| row.status != Status::OK && is_it(row.ntstatus)).map(|row| row.status);
    let own = || OF_WINDOWS.iter().find(|(code, _)| *code == error).map(|(_, status)| *status);
    find(true).or_else(own).or_else(|| find(false)).unwrap_or(Status::NO_REPLY)
}

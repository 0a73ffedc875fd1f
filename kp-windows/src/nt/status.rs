//! NTSTATUS: what the kernel's functions answer, and what this driver does.
use kp_abi::Status;

/// What most kernel functions answer; negative: an error.
pub(crate) type NtStatus = i32;

pub(crate) const STATUS_SUCCESS: NtStatus = 0;
/// The request is not completed yet.
pub(crate) const STATUS_PENDING: NtStatus = 0x103;
/// A completion routine's answer: the request is the driver's again.
pub(crate) const STATUS_MORE_PROCESSING_REQUIRED: NtStatus = 0xC000_0016_u32 as i32;
/// A completion routine's answer: let completion go on.
pub(crate) const STATUS_CONTINUE_COMPLETION: NtStatus = STATUS_SUCCESS;
pub(crate) const STATUS_OBJECT_NAME_COLLISION: NtStatus = 0xC000_0035_u32 as i32;
pub(crate) const STATUS_PROCEDURE_NOT_FOUND: NtStatus = 0xC000_007A_u32 as i32;
pub(crate) const STATUS_INSUFFICIENT_RESOURCES: NtStatus = 0xC000_009A_u32 as i32;
pub(crate) const STATUS_NOT_SUPPORTED: NtStatus = 0xC000_00BB_u32 as i32;
pub(crate) const STATUS_NO_SUCH_DEVICE: NtStatus = 0xC000_000E_u32 as i32;
pub(crate) const STATUS_DEVICE_BUSY: NtStatus = 0x8000_0011_u32 as i32;
pub(crate) const STATUS_OBJECT_NAME_NOT_FOUND: NtStatus = 0xC000_0034_u32 as i32;

/// A status as the kernel's functions answer it.
pub(crate) fn ntstatus(status: Status) -> NtStatus {
    status.ntstatus() as NtStatus
}

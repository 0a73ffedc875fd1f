//! Who may open the control device: the system and the administrators, `D:P(A;;FA;;;SY)(A;;FA;;;BA)`. A device without a list of
//! its own is open to everybody.
use crate::{driver::new_device::NewDevice, nt::*};
use core::ptr;

/// SE_SELF_RELATIVE, SE_DACL_PROTECTED, SE_DACL_PRESENT.
const CONTROL: u16 = 0x8000 | 0x1000 | 0x0004;
/// FILE_ALL_ACCESS.
const ALL: u32 = 0x001F_01FF;

/// A self-relative security descriptor with a list of two entries, each of which allows everything.
#[repr(C)]
struct Descriptor {
    revision: u8,
    zero: u8,
    control: u16,
    owner: u32,
    group: u32,
    system_list: u32,
    list_at: u32,
    list: List,
}
#[repr(C)]
struct List {
    revision: u8,
    zero: u8,
    size: u16,
    count: u16,
    zero_too: u16,
    system: Entry<1>,
    administrators: Entry<2>,
}
/// Allows `mask` to the account S-1-5-a-b…, whose authority is 5, in six bytes, the highest first.
#[repr(C)]
struct Entry<const N: usize> {
    kind: u8,
    flags: u8,
    size: u16,
    mask: u32,
    revision: u8,
    count: u8,
    authority: [u8; 6],
    account: [u32; N],
}

impl<const N: usize> Entry<N> {
    const fn allow(account: [u32; N]) -> Self {
        let size = size_of::<Self>() as u16;
        Self { kind: 0, flags: 0, size, mask: ALL, revision: 1, count: N as u8, authority: [0, 0, 0, 0, 0, 5], account }
    }
}

static DESCRIPTOR: Descriptor = Descriptor {
    revision: 1,
    zero: 0,
    control: CONTROL,
    owner: 0,
    group: 0,
    system_list: 0,
    list_at: core::mem::offset_of!(Descriptor, list) as u32,
    list: List {
        revision: 2,
        zero: 0,
        size: size_of::<List>() as u16,
        count: 2,
        zero_too: 0,
        system: Entry::allow([18]),
        administrators: Entry::allow([32, 544]),
    },
};

const _: () = {
    assert!(core::mem::offset_of!(Descriptor, list) == 20);
    assert!(size_of::<Entry<1>>() == 20);
    assert!(size_of::<Entry<2>>() == 24);
    assert!(size_of::<List>() == 52);
};

/// Closes a new device to everybody else. Passive.
pub(crate) fn protect<E>(device: &NewDevice<E>) -> NtStatus {
    let mut handle = ptr::null_mut();
    // SAFETY: a device of this driver's; `handle` is writable.
    let status = unsafe {
        ObOpenObjectByPointer(
            device.as_raw().cast(),
            OBJ_KERNEL_HANDLE,
            ptr::null_mut(),
            WRITE_DAC,
            ptr::null_mut(),
            mode::KERNEL,
            &mut handle,
        )
    };
    if status < 0 {
        return status;
    }
    // SAFETY: the handle of above, and a complete descriptor.
    let status = unsafe { ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION, (&raw const DESCRIPTOR).cast()) };
    // SAFETY: the handle of above, closed once.
    unsafe { ZwClose(handle) };
    status
}

//! Zw…, and what security descriptors are made with.
use crate::{
    cpu::{self, checked},
    exports::exports,
    kernel::lock,
    nt::{NtStatus, STATUS_ACCESS_DENIED, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS},
    rule::Rule,
    security::{self, Dacl},
};
use std::ffi::c_void;

const WRITE_DAC: u32 = 0x4_0000;
const DACL_SECURITY_INFORMATION: u32 = 4;

exports! {
    [0..=0] fails status fn ZwSetSecurityObject(handle: usize, what: u32, descriptor: *const c_void) -> NtStatus {
        let kernel = cpu::kernel();
        let entry = lock(&kernel.objects).handles.get(&handle).copied();
        let Some((object, access)) = entry else { return STATUS_INVALID_HANDLE };
        if access & WRITE_DAC == 0 {
            return STATUS_ACCESS_DENIED;
        }
        if what != DACL_SECURITY_INFORMATION {
            return STATUS_INVALID_PARAMETER;
        }
        let dacl: Option<Dacl> = checked(security::parse(descriptor.expose_provenance()));
        if let Some(device) = lock(&kernel.objects).devices.get_mut(&object) {
            device.dacl = dacl;
        }
        STATUS_SUCCESS
    }

    [0..=0] fn ZwClose(handle: usize) -> NtStatus {
        match lock(&cpu::kernel().objects).handles.remove(&handle) {
            Some(_) => STATUS_SUCCESS,
            None => cpu::fail(Rule::HandleClosed.broken(format!("ZwClose: {handle:#x} is no handle"))),
        }
    }
}

//! Requests: completing, passing on, cancelling; and the locks that keep a device while requests use it.
use crate::{
    cpu::{self, checked, level},
    exports::exports,
    irp,
    nt::{DeviceObject, Irp, NtStatus, STATUS_DELETE_PENDING, STATUS_SUCCESS},
    remove_lock, spin,
};
use std::{ffi::c_void, ptr, sync::Arc};

fn cancel_lock() -> usize {
    (&raw const cpu::kernel().irps.cancel_lock).expose_provenance()
}

exports! {
    [0..=2] fn IofCompleteRequest(irp: *mut Irp, _boost: i8) {
        cpu::kernel().dpcs.completes(&cpu::kernel());
        checked(irp::complete(&cpu::kernel(), irp));
    }

    [0..=2] fn IofCallDriver(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
        match checked(irp::call_driver(&cpu::kernel(), device, irp)) {
            Some(status) => status,
            None => cpu::abandon(),
        }
    }

    [0..=2] fn IoIs32bitProcess(_irp: *mut Irp) -> u8 {
        cpu::process().is_some_and(|process| process.is_32bit).into()
    }

    [0..=2] fn IoGetRequestorProcess(irp: *mut Irp) -> *mut c_void {
        let process = cpu::kernel().irps.process(irp.expose_provenance());
        process.map_or(ptr::null_mut(), |process| ptr::without_provenance_mut(Arc::as_ptr(&process).addr()))
    }

    [0..=2] fn IoGetCurrentProcess() -> *mut c_void {
        cpu::process().map_or(ptr::null_mut(), |process| ptr::without_provenance_mut(Arc::as_ptr(&process).addr()))
    }

    [0..=2] fn IoAcquireCancelSpinLock(irql: *mut u8) {
        let before = cpu::set_irql(level::DISPATCH);
        if spin::acquire(&cpu::kernel(), cancel_lock(), Some(before)).is_none() {
            cpu::abandon();
        }
        // SAFETY: the driver's place for the level.
        unsafe { *irql = before };
    }

    [2..=2] fn IoReleaseCancelSpinLock(irql: u8) {
        checked(spin::release(cancel_lock(), Some(irql)));
    }

    [0..=0] fn IoInitializeRemoveLockEx(lock: *mut c_void, _tag: u32, _minutes: u32, _most: u32, size: u32) {
        checked(remove_lock::initialize(lock.expose_provenance(), size));
    }

    [0..=2] fn IoAcquireRemoveLockEx(lock: *mut c_void, tag: usize, _file: *const u8, _line: u32, _size: u32) -> NtStatus {
        let taken = checked(cpu::kernel().remove_locks.acquire(lock.expose_provenance(), tag));
        if taken { STATUS_SUCCESS } else { STATUS_DELETE_PENDING }
    }

    [0..=2] fn IoReleaseRemoveLockEx(lock: *mut c_void, tag: usize, _size: u32) {
        checked(cpu::kernel().remove_locks.release(lock.expose_provenance(), tag));
    }

    [0..=0] fn IoReleaseRemoveLockAndWaitEx(lock: *mut c_void, tag: usize, _size: u32) {
        let kernel = cpu::kernel();
        if checked(kernel.remove_locks.release_and_wait(&kernel, lock.expose_provenance(), tag)).is_none() {
            cpu::abandon();
        }
    }
}

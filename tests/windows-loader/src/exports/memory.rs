//! Ex…, Mm…, Probe…: the pool, and what is mapped.
use crate::{
    counted_text,
    cpu::{self, checked},
    exports::{Export, exports, is_exported},
    nt::UnicodeString,
    trap,
};
use std::{ffi::c_void, ptr, sync::OnceLock};

/// The functions that raise exceptions: they are written in assembler, for they come back somewhere else.
pub(super) fn probes() -> &'static [Export] {
    static PROBES: OnceLock<[Export; 2]> = OnceLock::new();
    PROBES.get_or_init(|| {
        let (read, write) = trap::probes();
        let probe = |name, target| Export { name, irql: 0..=1, failure: None, target };
        [probe("ProbeForRead", read), probe("ProbeForWrite", write)]
    })
}

exports! {
    [0..=2] fails null fn ExAllocatePoolWithTag(_kind: i32, size: usize, tag: u32) -> *mut c_void {
        let kernel = cpu::kernel();
        ptr::with_exposed_provenance_mut(kernel.pool.allocate(&kernel.space, size, tag, false))
    }

    [0..=2] fails null fn ExAllocatePool2(flags: u64, size: usize, tag: u32) -> *mut c_void {
        const UNINITIALIZED: u64 = 2;
        let kernel = cpu::kernel();
        ptr::with_exposed_provenance_mut(kernel.pool.allocate(&kernel.space, size, tag, flags & UNINITIALIZED == 0))
    }

    [0..=2] fn ExFreePoolWithTag(memory: *mut c_void, tag: u32) {
        checked(cpu::kernel().free(memory.expose_provenance(), Some(tag)));
    }

    [0..=2] fn ExFreePool(memory: *mut c_void) {
        checked(cpu::kernel().free(memory.expose_provenance(), None));
    }

    [0..=0] fails null fn MmGetSystemRoutineAddress(name: *const UnicodeString) -> *mut c_void {
        let kernel = cpu::kernel();
        let name = counted_text::string(name).unwrap_or_default();
        if kernel.options.absent.contains(&name) || !is_exported(&name, kernel.options.processor) {
            return ptr::null_mut();
        }
        kernel.thunks.find(&name).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }
}

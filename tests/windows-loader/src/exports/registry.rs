//! Rtl… of the registry: a driver's own parameters.
use crate::{
    counted_text, cpu,
    exports::exports,
    nt::{NtStatus, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS},
    rule::Rule,
};
use std::{ffi::c_void, ptr};

/// RTL_QUERY_REGISTRY_TABLE.
#[repr(C)]
struct Query {
    routine: usize,
    flags: u32,
    name: *const u16,
    entry_context: *mut u32,
    default_type: u32,
    default_data: usize,
    default_length: u32,
}

const ABSOLUTE: u32 = 0;
const REQUIRED: u32 = 0x4;
const NO_EXPAND: u32 = 0x10;
const DIRECT: u32 = 0x20;
const TYPE_CHECK: u32 = 0x100;
/// REG_DWORD.
const DWORD: u32 = 4;

/// What a driver must do that asks for a number: "RtlQueryRegistryValues function (wdm.h)".
fn broken(query: &Query) -> Option<&'static str> {
    const KNOWN: u32 = REQUIRED | NO_EXPAND | DIRECT | TYPE_CHECK;
    match query.flags {
        flags if flags & !KNOWN != 0 || flags & DIRECT == 0 => {
            Some("only values that are stored directly are known here")
        }
        _ if query.routine != 0 => Some("with RTL_QUERY_REGISTRY_DIRECT the routine must be null"),
        flags if flags & TYPE_CHECK == 0 => Some("with RTL_QUERY_REGISTRY_DIRECT the type must be checked"),
        flags if flags & NO_EXPAND == 0 => Some("kernel-mode drivers must specify RTL_QUERY_REGISTRY_NOEXPAND"),
        _ => None,
    }
}

exports! {
    [0..=0] fails status fn RtlQueryRegistryValues(relative_to: u32, path: *const u16, table: *const Query, _context: *mut c_void, _environment: *mut c_void) -> NtStatus {
        let kernel = cpu::kernel();
        let path = counted_text::wide(path);
        if relative_to != ABSOLUTE {
            cpu::fail(Rule::RegistryPath.broken(format!("RtlQueryRegistryValues: {path}, relative to {relative_to}")));
        }
        let place = table.expose_provenance();
        if !kernel.pool.has(place, size_of::<Query>()) {
            cpu::fail(Rule::RegistryTable.broken("RtlQueryRegistryValues: the table is on a stack, or where else no pool is"));
        }
        if !kernel.has_parameters(&path) {
            return STATUS_OBJECT_NAME_NOT_FOUND;
        }
        for n in 0.. {
            // SAFETY: the driver's table, up to the entry that ends it.
            let query = unsafe { ptr::read(table.add(n)) };
            if query.routine == 0 && query.name.is_null() {
                break;
            }
            if let Some(what) = broken(&query) {
                cpu::fail(Rule::RegistryQuery.broken(format!("RtlQueryRegistryValues: {what}")));
            }
            let name = counted_text::wide(query.name).to_lowercase();
            let found = kernel.options.parameters.iter().find(|(known, _)| known.to_lowercase() == name);
            match found {
                // What is stored here are numbers.
                Some(_) if query.default_type >> 24 != DWORD => return STATUS_OBJECT_TYPE_MISMATCH,
                // SAFETY: the driver's place for a number.
                Some((_, value)) => unsafe { *query.entry_context = *value },
                None if query.flags & REQUIRED != 0 && query.default_type & 0xFF == 0 => return STATUS_OBJECT_NAME_NOT_FOUND,
                None => {}
            }
        }
        STATUS_SUCCESS
    }
}

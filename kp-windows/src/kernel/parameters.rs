//! What an administrator has set for the driver, in the key `Parameters` of its service: read when it is loaded.
use crate::{
    kernel::{names::Name, pool_box::PoolBox},
    nt::*,
};
use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// LeaveCommandRegister, a DWORD that is not 0: the driver never writes the command register of a device.
static LEAVE_COMMAND: AtomicBool = AtomicBool::new(false);

/// Must the command register be left alone?
pub(crate) fn leave_command() -> bool {
    LEAVE_COMMAND.load(Relaxed)
}

/// Units of the longest path that is looked at.
const MAX: usize = 256;

/// What the kernel is asked for. It wants the table in non-paged pool.
struct Question {
    /// The second entry ends it.
    table: [RegistryQuery; 2],
    path: [u16; MAX],
    name: Name,
    answer: u32,
}

/// Reads them. Where they cannot be read, they are as if they were not set. Passive.
///
/// # Safety
/// `service` is what DriverEntry was given as the path of the service's key.
pub(crate) unsafe fn read(service: *const UnicodeString) {
    // SAFETY: null, or the kernel's string, which stays while DriverEntry runs.
    let Some(service) = (unsafe { service.as_ref() }) else { return };
    let question = || Question {
        table: [RegistryQuery::END; 2],
        path: [0; MAX],
        name: Name::new(&["LeaveCommandRegister"]),
        answer: 0,
    };
    let Some(mut question) = PoolBox::with(question) else { return };
    // SAFETY: in non-paged pool; the string is the kernel's.
    LEAVE_COMMAND.store(unsafe { ask(&mut question, service) } != 0, Relaxed);
}

/// The number of the question's name; 0: there is none.
///
/// # Safety
/// `service` is a string of the kernel's. The question is in non-paged pool.
unsafe fn ask(question: &mut Question, service: &UnicodeString) -> u32 {
    let len = usize::from(service.length / 2);
    // SAFETY: as long as it says, which is not null if it is longer than nothing.
    let service = if len == 0 { &[] } else { unsafe { core::slice::from_raw_parts(service.buffer, len) } };
    let parts = service.iter().copied().chain("\\Parameters".bytes().map(u16::from));
    // The last unit stays zero, and ends the path.
    if service.len() + "\\Parameters".len() >= MAX {
        return 0;
    }
    question.path.iter_mut().zip(parts).for_each(|(unit, part)| *unit = part);
    question.table[0] = RegistryQuery {
        flags: registry::DIRECT_CHECKED,
        name: question.name.as_unicode().buffer,
        entry_context: (&raw mut question.answer).cast(),
        default_type: registry::EXPECTS_DWORD,
        ..RegistryQuery::END
    };
    let (path, table) = (question.path.as_ptr(), question.table.as_mut_ptr());
    // SAFETY: a path that a zero ends, a table that an entry of zeros ends, and a place for a number, which is what is asked for.
    let status = unsafe { RtlQueryRegistryValues(registry::ABSOLUTE, path, table, ptr::null_mut(), ptr::null_mut()) };
    if status < 0 { 0 } else { question.answer }
}

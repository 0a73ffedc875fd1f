//! Ps…, Se…: who calls.
use crate::{cpu, exports::exports};

/// The system process's id.
const SYSTEM: usize = 4;

exports! {
    [0..=2] fn PsGetCurrentProcessId() -> usize {
        cpu::process().map_or(SYSTEM, |process| process.id)
    }

    [0..=2] fn PsGetCurrentThreadId() -> usize {
        cpu::thread_id()
    }

    [0..=0] fn SeSinglePrivilegeCheck(_privilege: u64, _mode: i8) -> u8 {
        cpu::process().is_none_or(|process| process.token.is_privileged()).into()
    }
}

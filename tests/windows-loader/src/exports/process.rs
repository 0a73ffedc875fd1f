//! Ps…, Se…: who calls.
use crate::{cpu, exports::exports, rule::Rule, security::Token};

/// The system process's id.
const SYSTEM: usize = 4;

exports! {
    [0..=2] fn PsGetCurrentProcessId() -> usize {
        cpu::process().map_or(SYSTEM, |process| process.id)
    }

    [0..=2] fn PsGetCurrentThread() -> usize {
        cpu::thread_id()
    }

    /// Of the calling thread: no driver asks for another.
    [0..=2] fn PsIsThreadTerminating(_thread: usize) -> u8 {
        cpu::process().is_some_and(|process| process.is_dying()).into()
    }

    [0..=2] fn PsGetCurrentThreadId() -> usize {
        cpu::thread_id()
    }

    /// An app holds its privileges turned off, whoever it is, until it turns one on.
    [0..=0] fn SeSinglePrivilegeCheck(_privilege: u64, mode: i8) -> u8 {
        (mode == 0).into()
    }

    [0..=0] fn SeTokenIsAdmin(token: usize) -> u8 {
        let Some(token) = Token::at(token) else { cpu::fail(Rule::Token.broken(format!("SeTokenIsAdmin: {token:#x} is no token"))) };
        token.is_admin().into()
    }
}

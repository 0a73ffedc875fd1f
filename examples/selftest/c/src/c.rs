//! What `selftest.h` declares, and what Rust calls instead.
use core::ffi::{c_int, c_void};

use kp_core::{Error, Irql, Passive, Result};

/// How the test reaches the card.
pub trait Card {
    /// Reads the register at this offset.
    fn read(&self, offset: u32) -> u32;
    /// Writes the register at this offset.
    fn write(&self, offset: u32, value: u32);
}

/// `struct selftest_report`: what was done.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps that have passed.
    pub steps: u32,
    /// What the step that failed was to read.
    pub expected: u32,
    /// What it has read.
    pub found: u32,
    /// A checksum of all that was read.
    pub crc: u32,
}

/// How a test came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every step passed.
    Passed,
    /// The card answered otherwise than it should.
    Failed,
    /// The card did not finish.
    Late,
}

/// `struct selftest_card`.
#[repr(C)]
struct RawCard {
    read: unsafe extern "C" fn(*mut c_void, u32) -> u32,
    write: unsafe extern "C" fn(*mut c_void, u32, u32),
    pause: unsafe extern "C" fn(*mut c_void) -> c_int,
    context: *mut c_void,
}

unsafe extern "C" {
    fn selftest_run(card: *const RawCard, report: *mut Report) -> c_int;
    safe fn selftest_causes(bits: u32) -> u32;
}

/// `context`, while a test runs.
struct Context<'a, C> {
    cx: &'a mut Passive,
    card: &'a C,
    ended: Option<Error>,
}

/// Tests the card. It sleeps while the card computes.
///
/// # Errors
/// The sleep's: the caller is to go.
pub fn run<C: Card>(cx: &mut Passive, card: &C) -> Result<(End, Report)> {
    let mut context = Context { cx, card, ended: None };
    let raw = RawCard { read: read::<C>, write: write::<C>, pause: pause::<C>, context: (&raw mut context).cast() };
    let mut report = Report::default();
    // SAFETY: both live until C returns, and C keeps neither. The functions take what `context` points to.
    let result = unsafe { selftest_run(&raw const raw, &raw mut report) };
    match (context.ended, result) {
        (Some(error), _) => Err(error),
        (None, 0) => Ok((End::Passed, report)),
        (None, 1) => Ok((End::Failed, report)),
        (None, _) => Ok((End::Late, report)),
    }
}

/// Those of an interrupt's causes that belong to self tests. An interrupt handler can ask.
pub fn causes(_: &mut Irql, bits: u32) -> u32 {
    selftest_causes(bits)
}

/// # Safety
/// `context` is [`run`]'s, and nothing else refers to it until this returns.
unsafe extern "C" fn read<C: Card>(context: *mut c_void, offset: u32) -> u32 {
    // SAFETY: it is a `Context<C>`, and ours alone for now.
    let context = unsafe { &mut *context.cast::<Context<'_, C>>() };
    context.card.read(offset)
}

/// # Safety
/// As for [`read`].
unsafe extern "C" fn write<C: Card>(context: *mut c_void, offset: u32, value: u32) {
    // SAFETY: it is a `Context<C>`, and ours alone for now.
    let context = unsafe { &mut *context.cast::<Context<'_, C>>() };
    context.card.write(offset, value);
}

/// # Safety
/// As for [`read`].
unsafe extern "C" fn pause<C: Card>(context: *mut c_void) -> c_int {
    // SAFETY: it is a `Context<C>`, and ours alone for now.
    let context = unsafe { &mut *context.cast::<Context<'_, C>>() };
    context.ended = context.cx.sleep_ms(1).err();
    c_int::from(context.ended.is_some())
}

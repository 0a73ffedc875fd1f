//! The numbers in the calls between C and Rust: each is the same on both sides, or the port does not compile.
use kp_abi::{Status, request, request::kind};
use kp_core::host::{DmaDirection, LockKind, WaitKind, Woken};

/// Where C has them.
const HEADER: &[u8] = include_bytes!("../kbuild/kp_calls.h");

/// What the header defines `name` to be.
const fn defined(name: &str) -> u32 {
    let name = name.as_bytes();
    let mut at = 0;
    while at < HEADER.len() {
        if let Some(value) = after(at, b"#define ")
            && let Some(value) = after(value, name)
            && let Some(digits) = after(value, b" ")
        {
            return number(digits);
        }
        at += 1;
    }
    panic!("kp_calls.h does not define it")
}

/// Where the header goes on behind `text`, if that stands at `at`.
const fn after(at: usize, text: &[u8]) -> Option<usize> {
    let mut index = 0;
    while index < text.len() {
        if at + index >= HEADER.len() || HEADER[at + index] != text[index] {
            return None;
        }
        index += 1;
    }
    Some(at + index)
}

/// The number at `at`.
const fn number(mut at: usize) -> u32 {
    let radix = if let Some(digits) = after(at, b"0x") {
        at = digits;
        16
    } else {
        10
    };
    let mut number = 0;
    loop {
        let digit = match HEADER[at] {
            b'u' => return number,
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("a number of kp_calls.h is digits and a u"),
        };
        number = number * radix + digit as u32;
        at += 1;
    }
}

macro_rules! same {
    ($($c:ident = $rust:expr;)*) => {
        $(const _: () = assert!(defined(stringify!($c)) == $rust, concat!(stringify!($c), " is another number in Rust"));)*
    };
}

same! {
    KP_KIND_LINE = kind::LINE;
    KP_KIND_MSI = kind::MSI;
    KP_KIND_MSIX = kind::MSIX;
    KP_NR_DIRECT = request::CALL_DIRECT;
    KP_CALL_SIZE = size_of::<request::Call>() as u32;
    KP_SEGMENTS_SIZE = size_of::<request::Segments>() as u32;
    KP_NO_REPLY = Status::NO_REPLY.0;
    KP_BAR_MEMORY = crate::entry::bar::MEMORY;
    KP_BAR_PREFETCHABLE = crate::entry::bar::PREFETCHABLE;
    KP_BAR_PORTS = crate::entry::bar::PORTS;
    KP_DMA_TO_DEVICE = DmaDirection::ToDevice as u32;
    KP_DMA_FROM_DEVICE = DmaDirection::FromDevice as u32;
    KP_DMA_BOTH = DmaDirection::Both as u32;
    KP_PAGE = kp_abi::ring::PAGE as u32;
    KP_READY_NOTIFICATION = crate::entry::READY_NOTIFICATION;
    KP_READY_OVER = crate::entry::READY_OVER;
    KP_LOCK_MUTEX = LockKind::Sleeping as u32;
    KP_LOCK_BH = LockKind::AtDispatch as u32;
    KP_LOCK_IRQ = LockKind::AtIrql as u32;
    KP_LOCK_ORDER = LockKind::Order as u32;
    KP_WAIT_UNINTERRUPTIBLE = WaitKind::Uninterruptible as u32;
    KP_WAIT_KILLABLE = WaitKind::Killable as u32;
    KP_WAIT_INTERRUPTIBLE = WaitKind::Interruptible as u32;
    KP_WOKEN_CHANGED = Woken::Changed as u32;
    KP_WOKEN_TIMEOUT = Woken::Timeout as u32;
    KP_WOKEN_INTERRUPTED = Woken::Interrupted as u32;
}

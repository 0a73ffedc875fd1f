//! A 32-bit app of a 64-bit kernel: addresses that its own do not reach.
use crate::raw_ioctl::{Access, Handle, PAGE, Sender, open};
use crate::registry::guest_test;
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Status, TransportStatus,
    request::{Call, IntEnable, IntWait, Open, Request, Segments, kind},
    zerocopy::IntoBytes,
};

/// Bits that are in no address of a 32-bit process, one at a time and all together.
const HIGH: [u64; 4] = [1 << 32, 1 << 47, 1 << 63, !0 << 32];

/// Those of the kernel that lie beyond are refused, in every request; the modules are loaded for it.
///
/// # Errors
/// This program is none of 32 bits. What is wrong panics, and so names its line.
#[guest_test("compat", stage = "32-bit")]
fn a_32_bit_app_reaches_no_more_than_its_addresses() -> Result<(), String> {
    if size_of::<usize>() != 4 {
        return Err("build this program for a 32-bit target: i686-unknown-linux-gnu".into());
    }
    let loaded = super::Loaded::all();
    let process = super::raw_ioctl::ThisProcess::default();
    let sender = Sender::new(&process);
    let seen = calls(&sender) + direct_calls(&sender) + opens(&sender) + enables(&sender);
    without_length(&sender);
    drop(loaded);
    println!("{seen} addresses whose low half is good, and each refused");
    Ok(())
}

/// A call works; with a high bit in any of its addresses it does not, and nothing has happened.
fn calls(s: &Sender<'_>) -> usize {
    let handle = s.process.handle("echo");
    assert_eq!(s.open(&*handle, echo::INTERFACE).status, Status::OK);
    let say = s.prepare(1, &[], b"hello", 4);
    assert_eq!(s.send(&*handle, say).status, Status::OK);
    let nap = s.prepare(5, &0u32.to_le_bytes(), &[], 0);
    assert_eq!(s.send(&*handle, nap).status, Status::OK);
    for high in HIGH {
        refused(s, &*handle, Call { in_addr: say.in_addr | high, ..say });
        refused(s, &*handle, Call { args_addr: nap.args_addr | high, ..nap });
    }
    assert_eq!(said(s, &*handle), [1, 5], "only the good call was made");
    // Nor is there a reply, at the low half or anywhere: such an address cannot be the app's, and the handler does not run.
    for high in HIGH {
        s.process.write(say.out_addr, &[0xA5; 4]);
        refused(s, &*handle, Call { out_addr: say.out_addr | high, ..say });
        assert_eq!(s.bytes(say.out_addr, 4), [0xA5; 4]);
    }
    assert_eq!(said(s, &*handle), [1, 5], "only the good call was made");
    3 * HIGH.len()
}

/// The same in the direct form.
fn direct_calls(s: &Sender<'_>) -> usize {
    let handle = s.process.handle("echo");
    assert_eq!(s.open(&*handle, echo::INTERFACE).status, Status::OK);
    let buffer = s.process.map(PAGE as usize, Access::ReadWrite);
    let say = s.prepare(1, &[], b"hello", 4);
    let good = Segments { in_len: 5, out_len: 4, in_addr: say.in_addr, out_addr: say.out_addr };
    let send = |segments: Segments| {
        s.process.write(buffer + 8, segments.as_bytes());
        handle.direct(1, buffer)
    };
    assert_eq!(send(good), Ok(Status::OK));
    for high in HIGH {
        assert_eq!(send(Segments { in_addr: good.in_addr | high, ..good }), Err(TransportStatus::FAULT.status()));
        s.process.write(say.out_addr, &[0xA5; 4]);
        assert_eq!(send(Segments { out_addr: good.out_addr | high, ..good }), Err(TransportStatus::FAULT.status()));
        assert_eq!(s.bytes(say.out_addr, 4), [0xA5; 4]);
    }
    assert_eq!(said(s, &*handle), [1, 5], "only the good call was made");
    2 * HIGH.len()
}

fn said(s: &Sender<'_>, handle: &dyn Handle) -> [u64; 2] {
    let answer = s.call(handle, 4, &[], &[], 16);
    assert_eq!(answer.status, Status::OK);
    s.value(answer.request.out_addr)
}

fn opens(s: &Sender<'_>) -> usize {
    let data_addr = s.process.map(PAGE as usize, Access::ReadWrite);
    let good = Open { data_addr, data_len: 8, ..open(echo::INTERFACE) };
    assert_eq!(s.send(&*s.process.handle("echo"), good).status, Status::OK);
    for high in HIGH {
        refused(s, &*s.process.handle("echo"), Open { data_addr: data_addr | high, ..good });
    }
    HIGH.len()
}

fn enables(s: &Sender<'_>) -> usize {
    let handle = s.process.handle("edu");
    assert_eq!(s.open(&*handle, edu::INTERFACE).status, Status::OK);
    let data_addr = s.process.map(PAGE as usize, Access::ReadWrite);
    let good = IntEnable { kinds: kind::LINE, min: 1, max: 1, data_addr, data_len: 8, ..IntEnable::new() };
    for high in HIGH {
        refused(s, &*handle, IntEnable { data_addr: data_addr | high, ..good });
    }
    assert_eq!(s.send(&*handle, IntWait { max: 1, ..IntWait::new() }).status, Status::NOT_ENABLED);
    assert_eq!(s.send(&*handle, good).status, Status::OK);
    HIGH.len()
}

/// An address whose length is 0 is not looked at.
fn without_length(s: &Sender<'_>) {
    for high in HIGH {
        let handle = s.process.handle("edu");
        assert_eq!(s.send(&*handle, Open { data_addr: high, ..open(edu::INTERFACE) }).status, Status::OK);
        let version = Call { args_addr: high, in_addr: high, ..s.prepare(1, &[], &[], 24) };
        assert_eq!(s.send(&*handle, version).status, Status::OK);
        let enable = IntEnable { kinds: kind::LINE, min: 1, max: 1, data_addr: high, ..IntEnable::new() };
        assert_eq!(s.send(&*handle, enable).status, Status::OK);
    }
}

#[track_caller]
fn refused<R: Request>(s: &Sender<'_>, handle: &dyn Handle, request: R) {
    assert_eq!(s.send(handle, request).status, TransportStatus::FAULT.status(), "{}", R::INFO.name);
}

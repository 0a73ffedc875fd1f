//! What only Linux has: ioctl numbers with a type, a direction and a size. kp's own have one direction, and no size.
use super::raw_ioctl::{ThisProcess, send};
use crate::raw_ioctl::{Access, PAGE, Process};
use kp_abi::{
    Status, TransportStatus,
    request::{
        BufferRegister, BufferRelease, CALL_DIRECT, Call, Close, Head, IOCTL_TYPE, IntCount, IntDisable, IntEnable,
        IntWait, Open, Query, Request, RingEnter, RingSetup, RingTeardown, Schema, ioctl_number,
    },
    ring::ENTER_DIRECT,
    zerocopy::IntoBytes,
};
use std::fs::OpenOptions;

/// A request's number, and the sizes that its struct has had.
const REQUESTS: [(u32, [usize; 2]); 14] = [
    sizes::<Query>(),
    sizes::<Open>(),
    sizes::<Call>(),
    sizes::<Close>(),
    sizes::<IntEnable>(),
    sizes::<IntWait>(),
    sizes::<IntCount>(),
    sizes::<IntDisable>(),
    sizes::<BufferRegister>(),
    sizes::<BufferRelease>(),
    sizes::<RingSetup>(),
    sizes::<RingEnter>(),
    sizes::<RingTeardown>(),
    sizes::<Schema>(),
];

const fn sizes<R: Request>() -> (u32, [usize; 2]) {
    (R::NR, [R::FIRST_SIZE, size_of::<R>()])
}

/// Every number with every direction and all sorts of sizes; echo is loaded. Gives the number of cases seen.
///
/// # Panics
/// At the first case with another answer.
pub fn run(process: &ThisProcess) -> usize {
    let file = OpenOptions::new().read(true).write(true).open("/dev/kp/echo").expect("the node can be opened");
    let place = process.map(PAGE as usize, Access::ReadWrite);
    // A size of 0: a request that is known says so in its head, and does nothing.
    let head = Head { size: 0, flags: 0, status: Status::NO_REPLY.0, detail: 0 };
    let answer = |number: u32| {
        process.write(place, head.as_bytes());
        let answer = send(&file, number, place);
        let mut after = Head { ..head };
        process.read(place, after.as_mut_bytes());
        (answer, Status(after.status))
    };
    let mut seen = 0;
    let mut is = |number: u32, want: (Result<u32, Status>, Status)| {
        assert_eq!(answer(number), want, "ioctl {number:#010x}");
        seen += 1;
    };
    let unknown = (Err(TransportStatus::UNKNOWN_REQUEST.status()), Status::NO_REPLY);
    for nr in 0..=0xFF {
        let own = REQUESTS.iter().find(|(known, _)| *known == nr).map(|(_, sizes)| *sizes);
        for direction in 0..4 {
            for size in [0, 1, 8, size_of::<Head>(), PAGE as usize, 0x3FFF].into_iter().chain(own.into_iter().flatten())
            {
                let number = direction << 30 | (size as u32) << 16 | IOCTL_TYPE << 8 | nr;
                let want = match nr {
                    // The size is the message's number.
                    CALL_DIRECT if direction == 3 => continue,
                    // No struct, so no head.
                    ENTER_DIRECT if direction == 3 && size == 0 => (Ok(Status::NOT_OPEN.0), Status::NO_REPLY),
                    _ if own.is_some() && number == ioctl_number(nr) => (Ok(0), Status::TOO_SMALL),
                    _ => unknown,
                };
                is(number, want);
            }
        }
        for foreign in [IOCTL_TYPE - 1, IOCTL_TYPE + 1, 0xFF] {
            is(ioctl_number(nr) & !0xFF00 | foreign << 8, unknown);
        }
    }
    seen
}

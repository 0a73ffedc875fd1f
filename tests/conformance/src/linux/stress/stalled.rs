//! Calls whose bytes do not come: an app has its share of them, and no more, whatever it does with its memory.
use super::{Watchdog, stall::Stall, until};
use crate::{
    Subject, World,
    linux::{Guest, Loaded},
    registry::guest_test,
};
use kp_abi::{
    Status,
    limits::{MAX_CALLS, MAX_DATA},
};

/// Echo's message with a slice each way: in buffers whose size the room for the answer decides.
const REPEAT: u32 = 3;
/// Plain, and nothing trimmed.
const PLAIN: [u8; 8] = [0; 8];

/// As many calls as a session may have wait for their bytes, with small buffers and then with large ones. One more is refused before its
/// bytes are looked at: what a session can have the kernel keep has an end.
#[guest_test("stress stalled", stage = "tear-down")]
fn calls_whose_bytes_do_not_come_are_few() {
    let loaded = Loaded::all();
    for room in [4, MAX_DATA] {
        stalled(room);
    }
    println!("{MAX_CALLS} calls stalled, and one more refused, with either size of buffers");
    drop(loaded);
}

fn stalled(room: usize) {
    let _watchdog = Watchdog::new("stalled calls");
    let plugin = Guest.connect(Subject::Echo);
    let pages = MAX_CALLS as usize + 1;
    let stall = Stall::new(pages);
    let call = |page| {
        let mut reply = vec![0; room];
        plugin.connection().call(REPEAT, 0, &PLAIN, stall.input(page, 4), &mut reply)
    };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (1..pages).map(|page| scope.spawn(move || call(page))).collect();
        assert_eq!(stall.faults(calls.len()), (1..pages).collect(), "each is stalled");
        assert_eq!(plugin.query().map(|query| query.calls), Ok(0), "a stalled call is not inside");
        // Its page never comes before the end.
        assert_eq!(call(0), Err(Status::TOO_MANY_CALLS.into()), "room {room}");
        (0..pages).for_each(|page| {
            stall.come(page);
        });
        for call in calls {
            assert_eq!(call.join().expect("a call does not panic"), Ok(4), "room {room}");
        }
    });
    until("nobody is inside", || plugin.query().is_ok_and(|query| query.calls == 0));
    let again = plugin.connection().call(REPEAT, 0, &PLAIN, b"good", &mut [0; 4]);
    assert_eq!(again, Ok(4), "there is room again");
}

//! Calls whose bytes do not come: an app has its share of them, and no more, whatever it does with its memory.
use super::{Watchdog, connect, stall::Stall, until};
use crate::linux::Loaded;
use kp_abi::{
    Status,
    limits::{MAX_CALLS, MAX_DATA},
};

const FACTORIAL: u32 = 4;

/// As many calls as a session may have wait for their bytes, with small buffers and then with large ones. One more is refused before its
/// bytes are looked at: what a session can have the kernel keep has an end.
pub fn run() {
    let loaded = Loaded::all();
    for room in [4, MAX_DATA] {
        stalled(room);
    }
    println!("{MAX_CALLS} calls stalled, and one more refused, with either size of buffers");
    drop(loaded);
}

fn stalled(room: usize) {
    let _watchdog = Watchdog::new("stalled calls");
    let plugin = connect();
    let pages = MAX_CALLS as usize + 1;
    let stall = Stall::new(pages);
    let call = |page| {
        let mut reply = vec![0; room];
        plugin.connection().call(FACTORIAL, 0, stall.input(page, 4), &[], &mut reply).map(drop)
    };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (1..pages).map(|page| scope.spawn(move || call(page))).collect();
        let mut faults: Vec<_> = calls.iter().map(|_| stall.fault()).collect();
        faults.sort();
        assert_eq!(faults, (1..pages).collect::<Vec<_>>(), "each is stalled");
        assert_eq!(plugin.query().map(|query| query.calls), Ok(0), "a stalled call is not inside");
        // Its page never comes before the end.
        assert_eq!(call(0), Err(Status::TOO_MANY_CALLS.into()), "room {room}");
        (0..pages).for_each(|page| {
            stall.come(page);
        });
        for call in calls {
            assert_eq!(call.join().expect("a call does not panic"), Ok(()), "room {room}");
        }
    });
    until("nobody is inside", || plugin.query().is_ok_and(|query| query.calls == 0));
    assert_eq!(call_once(&plugin), Ok(()), "there is room again");
}

fn call_once(plugin: &kp_user::Plugin) -> Result<(), kp_abi::Error> {
    plugin.connection().call(FACTORIAL, 0, &3u32.to_ne_bytes(), &[], &mut [0; 4]).map(drop)
}

//! What the tests and the plugin that makes trouble say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// What the kernel has told the plugin.
    pub struct Happened {
        /// Times that the device was to go to sleep.
        pub suspends: u32,
        /// Times that it was awake again.
        pub resumes: u32,
    }
}

kp_abi::wire! {
    /// Who has opened the session, as the kernel has told the plugin.
    pub struct Who {
        /// The process's number.
        pub process: u32,
        /// 1: it may do anything.
        pub admin: u32,
        /// 1: it is a 32-bit process.
        pub is_32bit: u32,
    }
}

/// Bytes that the plugin has to look up: an index from here on panics.
///
/// Each callback that can be made to panic looks one up: `open` the first byte of its data, `close` the second,
/// `int_enable` the first of its own.
pub const BYTES: u32 = 4;

kp_abi::interface! {
    /// Trouble on demand.
    pub mod trouble, version 1 {
        /// Does nothing.
        fn ping() = 1;
        /// Looks a byte up. Panics if there is none.
        fn boom(index: u32) -> u8 = 2;
        /// Allocates, and loses it.
        fn leak_box() = 3;
        /// Has the registers stay mapped when the plugin goes.
        fn leak_mapping() = 4;
        /// Sleeps, at most a minute.
        fn nap(ms: u32) = 5;
        /// What has happened since the plugin was bound.
        fn happened() -> Happened = 6;
        /// Has the device interrupt, with these bits of its interrupt status.
        fn raise(bits: u32) = 7;
        /// The bitwise inverse of `word`, which the device makes.
        fn invert(word: u32) -> u32 = 8;
        /// Keeps the processor busy, at most a tenth of a second.
        fn spin(ms: u32) = 9;
        /// Sleeps, at most a minute, with a lock held.
        fn hold(ms: u32) = 10;
        /// Who has opened the session.
        fn who() -> Who = 11;
        /// From its next interrupt on, and until it is told otherwise, the device interrupts anew as soon as it is heard: its interrupt is
        /// claimed, and never ends.
        fn storm(on: bool) = 12;
        /// Until it is told otherwise, each end of an enabling waits until `raise_masked` has raised an interrupt that no processor has heard yet:
        /// ten seconds at most.
        fn meet(on: bool) = 13;
        /// Has each end of an enabling wait until the device was told to interrupt, by `raise`, so many times more: before it is quieted, and
        /// once more after that. It waits ten seconds at most.
        fn linger(raises: u32) = 14;
        /// Until it is told otherwise, each interrupt is claimed, whoever's it is, and nothing is done about it.
        fn greedy(on: bool) = 15;
        /// Has the device interrupt while the processor hears no interrupts, until an enabling that `meet` has told to has quieted the device
        /// at its end, and a tenth of a second more. The processor hears none for a twentieth of a second; if none was quieted by then,
        /// that interrupt is heard, and the next one is raised. How often that was. Timeout: none was quieted in about twenty seconds.
        fn raise_masked() -> u32 = 16;
        /// Takes one lock of each kind inside another: two of a kind always in this order; `backwards`: two mutexes the other way round.
        fn nest(backwards: bool) = 17;
        /// Leaves the device's configuration space where it outlives the device.
        fn keep_config() = 18;
        /// The vendor's and the device's number, by what `keep_config` has left; nothing is left then. WrongDevice: nothing was.
        fn kept_config() -> u32 = 19;
        /// Has `init` refuse so many times, with NoMemory, at its end.
        fn refuse(times: u32) = 20;
        /// The interrupt status: what was raised, and not acknowledged yet.
        fn pending() -> u32 = 21;
        /// From its next time on, and until it is told otherwise, `init` lets devices start transfers of their own.
        fn masters(on: bool) = 22;
        /// From now on a session that is closed takes so long, at most ten seconds.
        fn close_slowly(ms: u32) = 23;
        /// How many sessions have begun to close since the plugin was bound.
        fn closing() -> u32 = 24;
        /// Works with the device for so long, at most a second, whatever ends its sleeps meanwhile.
        fn toil(ms: u32) = 25;
        /// How often an enabling has quieted the device at its end.
        fn disarms() -> u32 = 26;
        /// The first word of each memory BAR; all ones where there is none.
        fn words() -> [u32; 6] = 27;
    }
}

kp_abi::interface! {
    /// Of the plugin that only says who asks.
    pub mod caller, version 1 {
        /// Who has opened the session.
        fn who() -> Who = 1;
    }
}

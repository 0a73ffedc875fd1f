//! What an app and the clockwork plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// What has run.
    pub struct Ran {
        /// Runs of timer 0.
        pub timer: u32,
        /// Runs of timer 1, which queues the work item each time.
        pub queuing: u32,
        /// Runs of the work item.
        pub work: u32,
        /// Runs that overlapped another of the same timer or item, or came between Suspend and Resume.
        pub wrong: u32,
        /// What the work item's last sleep answered; all ones: none yet.
        pub slept: u32,
        /// Times that the device was suspended.
        pub suspends: u32,
    }
}

kp_abi::interface! {
    /// Timers, work and waits.
    pub mod clockwork, version 1 {
        /// Starts timer 0 or 1; a period of 0 is none.
        fn start(timer: u16, first_us: u32, period_us: u32) = 1;
        /// Stops it.
        fn stop(timer: u16) = 2;
        /// Queues the work item.
        fn queue() = 3;
        /// The work item's next run sleeps so long.
        fn sleeps(ms: u32) = 4;
        /// What has run.
        fn ran() -> Ran = 5;
        /// How much later than at its time timer 0 ran, in ns: the last runs, at most 512, and forgets them.
        fn late() -> [u32] = 6;
        /// Has the device interrupt, and waits until its DPC has woken this call. The time from the wake-up to here, in ns.
        fn interrupted(ms: u32) -> u32 = 7;
        /// Waits for what never comes.
        fn wait(ms: u32) = 8;
        /// Waits for the next interrupt's DPC, without a limit.
        fn next() = 9;
        /// Has the device interrupt so many times, at most a hundred, each time after the one before was acknowledged: all of them before the
        /// processor can run what is deferred. Timeout: one was not acknowledged within ten seconds.
        fn burst(times: u32) = 10;
        /// How many deferrals the DPC was given, since the plugin was bound.
        fn deferrals() -> u32 = 11;
        /// The work item's next run keeps its processor for so long, whatever happens.
        fn busy(ms: u32) = 12;
        /// Panics.
        fn panic() = 13;
    }
}

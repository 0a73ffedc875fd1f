//! What the echo plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// How a text is said.
    pub enum Style: u32 {
        /// As it is.
        Plain = 0,
        /// In capitals.
        Loud = 1,
        /// Backwards.
        Backwards = 2,
    }

    /// What is done to a text besides.
    pub flags Trim: u32 {
        /// Without spaces at the start.
        START = 1 << 0,
        /// Without spaces at the end.
        END = 1 << 1,
    }

    /// What was said in one session so far.
    pub struct Said {
        /// Texts.
        pub texts: u64,
        /// Bytes, all texts together.
        pub bytes: u64,
    }
}

kp_abi::interface! {
    /// Remembers one text per session.
    pub mod echo, version 1 {
        /// Remembers `text`; the answer is its length.
        fn say(text: &[u8]) -> u32 = 1;
        /// What was said last. OutputLength: there is no room for all of it.
        fn hear() -> [u8] = 2;
        /// Gives `text` back in another style, at once.
        fn repeat(style: Style, trim: Trim, text: &[u8]) -> [u8] = 3;
        /// What was said so far.
        fn said() -> Said = 4;
        /// Sleeps in the kernel. Closed: the session was closed meanwhile. Above a minute: PluginError 1.
        fn nap(ms: u32) = 5;
    }
}

//! Batched calls: a ring of submissions and one of completions in memory that app and driver share, and one request, RING_ENTER,
//! for many messages. What each side may write, and in which order, is in [`queue`]; this page has the layouts.
pub mod figures;
pub mod queue;

/// The atomics of what `tests/models` checks under every interleaving, taken from here so that the models can take a checker's.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of the short form of RING_ENTER. It has no struct: the ioctl's argument is how many submissions to take, at most.
pub const ENTER_DIRECT: u32 = 35;
/// Bytes of a page here, whatever the processor's are: [`UserPage`] and [`KernelPage`] have one each.
pub const PAGE: usize = 4096;

/// Flag of a submission: its arguments and data stand in the submission itself, in `inline`.
pub const INLINE: u16 = 1 << 0;
/// Flag of a submission: answer Suspended at once, rather than wait until the device is back. As `CALL_NOWAIT`.
pub const NOWAIT: u16 = 1 << 1;

/// Bytes of arguments and data that fit into a submission.
pub const INLINE_LEN: usize = 32;

/// Vectors whose counters the kernel page shows, from 0. INT_COUNT has those of the others.
pub const SHOWN_VECTORS: usize = (PAGE - 256) / 64;

macro_rules! layout {
    ($(#[$meta:meta])* $name:ident, $size:literal bytes { $($(#[$fmeta:meta])* $at:literal $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C, align(8))]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $type,)*
        }
        impl $name {
            /// Offset and name of each field.
            pub const FIELDS: &'static [(usize, &'static str)] = &[$(($at, stringify!($field))),*];
        }
        const_assert_eq!(size_of::<$name>(), $size);
        $(const_assert_eq!(core::mem::offset_of!($name, $field), $at);)*
    };
}

layout! {
    /// The first page of the ring's memory: what the app writes and the driver reads. Without a [`KernelPage`] the driver's two indices are here too.
    UserPage, 4096 bytes {
        /// Submissions that the app has written, ever, modulo 2^32.
        0 sq_tail: u32,
        /// Zero.
        4 gap_1: [u32; 15],
        /// Completions that the app has taken, ever, modulo 2^32.
        64 cq_head: u32,
        /// Zero.
        68 gap_2: [u32; 15],
        /// Without a kernel page: its `sq_head`, which the driver writes and never reads. Since 1.3.
        128 sq_head: u32,
        /// Zero.
        132 gap_3: [u32; 15],
        /// Without a kernel page: its `cq_tail`, which the driver writes and never reads. Since 1.3.
        192 cq_tail: u32,
        /// Zero.
        196 gap_4: [u32; 975],
    }
}
layout! {
    /// A page that the app can only read: what the driver writes.
    KernelPage, 4096 bytes {
        /// Submissions that the driver has taken, ever, modulo 2^32. Moves at the end of RING_ENTER.
        0 sq_head: u32,
        /// Zero.
        4 gap_1: [u32; 15],
        /// Completions that the driver has written, ever, modulo 2^32. Moves at the end of RING_ENTER.
        64 cq_tail: u32,
        /// Zero.
        68 gap_2: [u32; 31],
        /// Number of the enabling that the counters are of; 0 before the session's first one with a ring.
        192 generation: u64,
        /// Vectors of that enabling; the counters of the first 60 are shown.
        200 vectors: u64,
        /// Zero.
        208 gap_3: [u64; 6],
        /// The counters, vector by vector.
        256 counters: [crate::Counters; 60],
    }
}
const_assert_eq!(SHOWN_VECTORS, 60);

layout! {
    /// One message for the plugin, as the app writes it.
    Submission, 64 bytes {
        /// The app's own; its completion has the same.
        0 user_data: u64,
        /// Number of the message.
        8 message: u32,
        /// Length of the fixed arguments in bytes.
        12 args_len: u16,
        /// `INLINE`, `NOWAIT`, or both; another one is UnknownFlag.
        14 flags: u16,
        /// Where arguments, padding to 8, and data are: words of 8 bytes from the start of the data area.
        16 in_word: u32,
        /// Length of the data in bytes.
        20 in_len: u32,
        /// Where the reply goes: words of 8 bytes from the start of the data area.
        24 out_word: u32,
        /// Room for the reply in bytes.
        28 out_len: u32,
        /// With `INLINE`: arguments, padding to 8, and data, 32 bytes together at most.
        32 inline: [u64; 4],
    }
}
layout! {
    /// The answer to one submission.
    Completion, 32 bytes {
        /// The submission's.
        0 user_data: u64,
        /// The answer, as CALL has it in its head.
        8 status: u32,
        /// What the status says it is. After Ok, the bytes of reply written.
        12 detail: u32,
        /// Zero.
        16 reserved: [u64; 2],
    }
}

/// Where the parts of a ring's memory lie, in bytes from its start. Behind [`UserPage`] come the submissions, then the completions,
/// then, at a page, the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The submissions.
    pub sq_at: usize,
    /// The completions.
    pub cq_at: usize,
    /// The data area.
    pub data_at: usize,
    /// Length of the whole.
    pub len: usize,
}

impl Layout {
    /// For so many entries and so many bytes of data, which are filled up to whole pages. `None`: the entries are no power of two,
    /// or anything is above the [limits](crate::limits).
    pub const fn new(entries: u32, data_len: u32) -> Option<Self> {
        if !entries.is_power_of_two() || entries > crate::limits::MAX_RING_ENTRIES {
            return None;
        }
        let sq_at = PAGE;
        let cq_at = sq_at + entries as usize * size_of::<Submission>();
        let data_at = (cq_at + entries as usize * size_of::<Completion>()).next_multiple_of(PAGE);
        if data_len as usize > crate::limits::MAX_RING_MEMORY - data_at {
            return None;
        }
        Some(Self { sq_at, cq_at, data_at, len: (data_at + data_len as usize).next_multiple_of(PAGE) })
    }

    /// Length of the data area, in bytes: whole pages.
    pub const fn data_len(&self) -> usize {
        self.len - self.data_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::*;

    #[test]
    fn the_largest_ring_is_as_large_as_the_limit() {
        let room = |entries| MAX_RING_MEMORY - Layout::new(entries, 0).expect("fits").data_at;
        for entries in [1, 64, MAX_RING_ENTRIES] {
            let all = Layout::new(entries, room(entries) as u32).expect("just fits");
            assert_eq!((all.len, all.data_len()), (MAX_RING_MEMORY, room(entries)));
            assert_eq!(Layout::new(entries, room(entries) as u32 + 1), None);
        }
        assert_eq!([0, 3, 2 * MAX_RING_ENTRIES].map(|entries| Layout::new(entries, 0)), [None; 3]);
        assert_eq!(Layout::new(1, 1).map(|layout| layout.data_len()), Some(PAGE));
    }
}

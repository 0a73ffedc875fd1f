//! Who writes, and who reads.
#![deny(unsafe_code)]
use crate::host::DmaDirection;

mod sealed {
    pub trait Sealed {}
}

/// The direction of a [`Mapping`](crate::Mapping): [`ToDevice`], [`FromDevice`] or [`Both`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no direction of a transfer",
    label = "write `ToDevice`, `FromDevice` or `Both`"
)]
pub trait Direction: sealed::Sealed + 'static {
    /// Does the device write?
    const DEVICE_WRITES: bool;
    #[doc(hidden)]
    const RAW: DmaDirection;
}

macro_rules! directions {
    ($($(#[$meta:meta])* $name:ident: $writes:literal;)*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Direction for $name {
            const DEVICE_WRITES: bool = $writes;
            const RAW: DmaDirection = DmaDirection::$name;
        }
    )* };
}
directions! {
    /// The device reads.
    ToDevice: false;
    /// The device writes, all of it: a byte that it leaves out may come back as it was when the mapping was made. [`Both`] keeps it.
    FromDevice: true;
    /// The device reads and writes.
    Both: true;
}

//! The functions that the simulated kernel exports: for each its levels, whether it can fail, and what it does.
//!
//! Levels: Microsoft's reference, "Requirements, IRQL" of each function.
mod bus;
mod dma;
mod io;
mod later;
mod memory;
mod process;
mod registry;
mod request;
mod runtime;
mod security;
mod sync;

use crate::nt::{NtStatus, STATUS_INSUFFICIENT_RESOURCES};
use std::{ops::RangeInclusive, sync::OnceLock};

/// A function that drivers import.
pub(crate) struct Export {
    pub(crate) name: &'static str,
    /// Where it may be called.
    pub(crate) irql: RangeInclusive<u8>,
    /// How it says that it has failed, if it can fail for reasons that are none of the driver's.
    pub(crate) failure: Option<Failure>,
    pub(crate) target: usize,
}

/// How a function fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It answers null.
    Null,
    /// It answers an error status.
    Status,
}

impl Failure {
    /// A function that fails in this way, whatever its arguments.
    pub(crate) fn function(self) -> usize {
        extern "efiapi" fn null() -> usize {
            0
        }
        extern "efiapi" fn status() -> NtStatus {
            STATUS_INSUFFICIENT_RESOURCES
        }
        match self {
            Failure::Null => (null as *const ()).expose_provenance(),
            Failure::Status => (status as *const ()).expose_provenance(),
        }
    }
}

/// A processor, as far as it shows in what its kernels export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// x86-64.
    #[default]
    X64,
    /// Arm64. Code of it is not run here; what a driver looks up is found as there.
    Arm64,
}

/// Functions that only one processor's kernels export: the public symbols of ntoskrnl.exe and hal.dll say so.
pub const ONLY: &[(&str, Processor)] =
    &[("KeFlushIoBuffers", Processor::Arm64), ("KeLowerIrql", Processor::X64), ("KfLowerIrql", Processor::Arm64)];

/// Do the kernels of this processor export it?
pub(crate) fn is_exported(name: &str, processor: Processor) -> bool {
    ONLY.iter().all(|(only, of)| *only != name || *of == processor)
}

/// All of them, in one order that does not change.
pub(crate) fn all() -> &'static [&'static Export] {
    static ALL: OnceLock<Vec<&'static Export>> = OnceLock::new();
    ALL.get_or_init(|| {
        let parts = [
            bus::exports(),
            dma::exports(),
            io::exports(),
            later::exports(),
            memory::exports(),
            memory::probes(),
            process::exports(),
            registry::exports(),
            request::exports(),
            runtime::exports(),
            security::exports(),
            sync::exports(),
        ];
        parts.into_iter().flatten().collect()
    })
}

/// Declares exported functions: the levels at which each may be called, `fails null` or `fails status` if it can fail, and its body.
macro_rules! exports {
    ($($(#[$meta:meta])* [$least:literal ..= $most:literal] $(fails $failure:ident)? fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $answer:ty)? $body:block)*) => {
        $(
            $(#[$meta])*
            #[expect(non_snake_case, reason = "the kernel's own name")]
            extern "efiapi" fn $name($($arg: $type),*) $(-> $answer)? $body
        )*
        /// What this file exports.
        pub(super) fn exports() -> &'static [$crate::exports::Export] {
            static EXPORTS: std::sync::OnceLock<Vec<$crate::exports::Export>> = std::sync::OnceLock::new();
            EXPORTS.get_or_init(|| vec![$(
                $crate::exports::Export {
                    name: stringify!($name),
                    irql: $least..=$most,
                    failure: $crate::exports::exports!(@failure $($failure)?),
                    target: ($name as *const ()).expose_provenance(),
                },
            )*])
        }
    };
    (@failure) => { None };
    (@failure null) => { Some($crate::exports::Failure::Null) };
    (@failure status) => { Some($crate::exports::Failure::Status) };
}
use exports;
pub(crate) use io::invalid_request;

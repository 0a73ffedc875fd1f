//! A PCI function as its driver sees it beside its BARs: configuration space and what is described there, and its reset.
//!
//! [`Config`] reads and writes by offset, finds [capabilities](Config::capability), and reads what some of them say: the
//! [link](Config::link), [MSI-X](Config::msix), the [power state](Config::power), the [vital product data](Config::vpd).
//! [`Config::reset`] is a function level reset. All of it is done by configuration space alone, the same on every kernel.
//!
//! Sources: PCI Local Bus Specification 3.0; PCI Express Base Specification 5.0, of which the sections are named where they are used.
#![deny(unsafe_code)]
mod capabilities;
mod config;
mod described;
mod registers;
mod reset;
mod transfers;
mod vpd;

pub mod capability;
pub mod extended_capability;

pub use capabilities::{Capabilities, Capability, ExtendedCapabilities, ExtendedCapability};
pub use config::Config;
pub use described::{LinkState, Msix, MsixPlace, PcieLink, PowerState};
pub(crate) use transfers::end_transfers;

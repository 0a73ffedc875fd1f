//! Builds kernel plugins, boots them in stock kernels, and tests them.
//!
//! [`build`] makes modules, [`schema`] says what their messages are, [`bindings`] makes them ready for other languages, [`kernels`] knows which kernels there are and where they lie, [`packages`]
//! gets what is missing from Debian, [`package`](mod@package) makes packages of plugins, [`vm`] boots a guest and judges it, [`guest`] is what runs
//! inside, [`doctor`] says what this machine lacks.
//! [`host`] runs the conformance scenario on a host, [`conformance`], [`demo`], [`bench`](mod@bench) and [`test`](mod@test) are the
//! commands of these names, and [`programs`] builds the workspace's programs for them. [`wine`] is the machine that Windows drivers
//! are loaded on. [`sanitised`] builds kernels that look for mistakes.
//!
//! [`sim`] runs a plugin in the simulator, behind a socket that apps open.
//!
//! [`new`](mod@new) makes a workspace for a plugin, [`registers`] reads the register file that it is made of.
//!
//! Each command is a struct of arguments that implements [`command::Command`].
//!
//! On Windows there are [`build`], of drivers alone, [`schema`], [`bindings`] and [`doctor`]. All else boots, loads or tests what only Linux can.
pub mod bindings;
pub mod build;
pub mod command;
pub mod doctor;
pub mod new;
pub mod registers;
pub mod schema;

#[cfg(unix)]
pub mod bench;
#[cfg(unix)]
pub mod conformance;
#[cfg(unix)]
pub mod debian;
#[cfg(unix)]
pub mod demo;
#[cfg(unix)]
pub mod guest;
#[cfg(unix)]
pub mod host;
#[cfg(unix)]
pub mod kernels;
#[cfg(unix)]
pub mod package;
#[cfg(unix)]
pub mod packages;
#[cfg(unix)]
pub mod programs;
#[cfg(unix)]
pub mod sanitised;
#[cfg(unix)]
pub mod sign;
#[cfg(unix)]
pub mod sim;
#[cfg(unix)]
mod temporary;
#[cfg(unix)]
pub mod test;
#[cfg(unix)]
pub mod vm;
#[cfg(unix)]
pub mod wine;

//! Builds kernel plugins, boots them in stock kernels, and tests them.
//!
//! [`build`] makes modules, [`kernels`] knows which kernels there are and where they lie, [`packages`] gets what is missing from
//! Debian, [`vm`] boots a guest and judges it, [`guest`] is what runs inside, [`doctor`] says what this machine lacks.
//! [`host`] runs the conformance scenario on a host, [`conformance`], [`demo`], [`bench`](mod@bench) and [`test`](mod@test) are the
//! commands of these names, and [`programs`] builds the workspace's programs for them. [`wine`] is the machine that Windows drivers
//! are loaded on.
pub mod bench;
pub mod build;
pub mod conformance;
pub mod demo;
pub mod doctor;
pub mod guest;
pub mod host;
pub mod kernels;
pub mod packages;
pub mod programs;
pub mod test;
pub mod vm;
pub mod wine;

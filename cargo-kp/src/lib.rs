//! Builds kernel plugins, boots them in stock kernels, and tests them.
//!
//! [`build`] makes modules, [`kernels`] knows which kernels there are and where they lie, [`packages`] gets what is missing from
//! Debian, [`vm`] boots a guest and judges it, [`guest`] is what runs inside, [`doctor`] says what this machine lacks.
pub mod build;
pub mod doctor;
pub mod guest;
pub mod kernels;
pub mod packages;
pub mod vm;

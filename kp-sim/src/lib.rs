//! A simulated kernel with simulated devices, in the test process.

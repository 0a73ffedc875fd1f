//! Compiles the C code. `cargo kp build` tells the `cc` crate which compiler and options a kernel needs.

fn main() {
    for file in ["selftest.c", "selftest.h"] {
        println!("cargo:rerun-if-changed={file}");
    }
    cc::Build::new().file("selftest.c").compile("selftest");
}

//! Compiles `planted.c` with the fault that `KP_PLANTED` names.

fn main() {
    println!("cargo:rerun-if-changed=planted.c");
    println!("cargo:rerun-if-env-changed=KP_PLANTED");
    let fault = std::env::var("KP_PLANTED").unwrap_or_else(|_| "none".to_owned());
    cc::Build::new().file("planted.c").define(&format!("PLANTED_{fault}"), None).compile("planted");
}

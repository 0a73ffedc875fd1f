//! C that a plugin brings is held to the rules of kernel code: what breaks one is refused by the name of its C function.
//!
//! The plugin is tests/plugins/c-code. In need of Debian's compilers: `cargo test -p cargo-kp --test c_code -- --ignored`.
#![cfg(unix)]
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cargo_kp::build::{Arch, pe};

/// Every test builds the same plugin: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `cargo kp build` of the plugin with a fault. What it prints to standard output, or all that it says otherwise.
fn build(target: &str, fault: &str) -> Result<PathBuf, String> {
    let mut kp = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    kp.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["kp", "build", "-p", "c-code", "--target", target]);
    // A person's own options change nothing.
    let output = kp.env("KP_PLANTED", fault).env("CFLAGS", "-mavx -O0").output().expect("the tool starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout).into()),
        false => Err(text(&output.stderr)),
    }
}

/// The last line of a refusal.
fn refusal(target: &str, fault: &str) -> String {
    let said = build(target, fault).expect_err("a fault passed");
    said.lines().last().unwrap_or_default().to_owned()
}

const LIBRARY: &str = "error: printf isn't in the kernel: remove what calls it, planted";
const OF_C: &str = "; of C's library there are memcpy, memmove, memset, memcmp and strlen";

#[test]
#[ignore = "needs Debian's compilers and a kernel's headers; run by `cargo kp test`"]
fn c_in_a_module_is_refused_by_the_name_of_its_function() {
    let _alone = alone();
    let module = "6.12-cloud";
    build(module, "none").unwrap();
    let library = refusal(module, "library");
    assert!(library.starts_with(LIBRARY) && library.ends_with(OF_C), "{library}");
    let pointer = refusal(module, "pointer");
    assert!(pointer.starts_with("error: kp_rs_isr can reach a call through a pointer in planted: "), "{pointer}");
    let panic = refusal(module, "panic");
    assert!(panic.starts_with("error: kp_rs_isr can reach kp_c_panic: "), "{panic}");
    assert!(panic.contains(" → planted → planted_unchecked → "), "{panic}");
    // gcc itself refuses these.
    for (fault, says) in [
        ("float", ["planted_fault", "SSE register return with SSE disabled"]),
        ("frame", ["planted", "the frame size of 16"]),
        ("vla", ["planted_fault", "[-Werror=vla]"]),
        ("header", ["planted.c", "stdio.h: No such file or directory"]),
    ] {
        let said = build(module, fault).expect_err("a fault passed");
        assert!(says.iter().all(|part| said.contains(part)), "{fault}: {said}");
    }
}

#[test]
#[ignore = "needs Debian's compilers; run by `cargo kp test --long`"]
fn c_in_a_driver_is_refused_by_the_name_of_its_function() {
    let _alone = alone();
    let driver = build("windows", "none").unwrap();
    assert_eq!(pe::driver(&std::fs::read(driver).unwrap(), Arch::X64), Ok(()));
    let library = refusal("windows", "library");
    assert!(library.starts_with(LIBRARY) && library.ends_with(OF_C), "{library}");
    let isr = "error: kp_core::host::isr::isr::<c_code::CCode> can reach";
    let pointer = refusal("windows", "pointer");
    assert!(pointer.starts_with(&format!("{isr} a call through a pointer in planted: ")), "{pointer}");
    let panic = refusal("windows", "panic");
    assert!(panic.starts_with(&format!("{isr} __imp_KeBugCheckEx: ")), "{panic}");
    assert!(panic.contains(" → planted → planted_unchecked → "), "{panic}");
    let float = refusal("windows", "float");
    assert!(float.starts_with("error: floating-point or vector instruction at planted+0x"), "{float}");
    let frame = refusal("windows", "frame");
    assert!(frame.starts_with("error: planted takes 16"), "{frame}");
    let said = build("windows", "header").expect_err("a fault passed");
    assert!(said.contains("'stdio.h' file not found"), "{said}");
}

#[test]
#[ignore = "needs Debian's compilers; run by `cargo kp test`"]
fn a_compiler_of_c_that_is_missing_is_named_with_its_package_and_only_where_it_is_needed() {
    let _alone = alone();
    build("6.12-cloud", "none").unwrap();
    // A search path with nothing but Rust in it. The kernel's own half has its compiler from --cc.
    let rust = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-compiler-of-c");
    let _ = std::fs::remove_dir_all(&rust);
    std::fs::create_dir_all(&rust).unwrap();
    let which = |name: &str| {
        let found = Command::new("which").arg(name).output().unwrap();
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    };
    for name in ["rustc", "cargo"] {
        std::os::unix::fs::symlink(which(name), rust.join(name)).unwrap();
    }
    let said = |plugin: &str| {
        let mut kp = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
        kp.current_dir(workspace()).args(["kp", "build", "-p", plugin, "--target", "6.12-cloud"]);
        let output = kp.args(["--cc", &which("gcc-12")]).env("PATH", &rust).output().unwrap();
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
    };
    let missing =
        "error: c-code-c has C code, and there is no compiler of C for x86_64-unknown-none: apt-get install gcc";
    assert_eq!(said("c-code"), missing);
    assert!(!said("caller").contains("compiler of C"), "caller has no C code");
}

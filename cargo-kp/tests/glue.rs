//! What the C glue promises of itself.
use std::{fs, path::Path};

#[test]
fn the_c_glue_asks_the_compiler_what_a_kernel_has_and_never_for_its_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-linux/kbuild");
    let mut files = 0;
    for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["LINUX_VERSION_CODE", "KERNEL_VERSION", "linux/version.h", "RHEL_RELEASE"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
        files += 1;
    }
    assert!(files >= 5, "{} has only {files} files", folder.display());
}

#[test]
fn a_kernel_without_retpolines_gets_a_thunk_for_each_register_that_c_code_may_call_through() {
    let glue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-linux/kbuild/kp.c");
    let text = fs::read_to_string(glue).unwrap();
    // All that a call can be made through: rsp has the stack.
    for register in "rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split(' ') {
        assert!(text.contains(&format!("KP_THUNK({register});")), "kp.c has none for {register}");
    }
}

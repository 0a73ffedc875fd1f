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

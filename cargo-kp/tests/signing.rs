//! Keys and signatures, by openssl and a kernel's own program where they are.
#![cfg(unix)]

#[path = "../../kp-tool/src/made_up.rs"]
mod made_up;

use made_up::made_up;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tempfile::TempDir;

/// A folder that goes away with its test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::with_prefix("kp-").unwrap();
        fs::write(folder.path().join("kp-card.ko"), made_up(&["kp=card", "vermagic=6.12.9-amd64 SMP"])).unwrap();
        Folder(folder)
    }

    fn sign(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
        let output = command.current_dir(&self.0).args(["kp", "sign"]).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn without_a_key_nothing_is_signed_and_the_line_says_how_one_is_made() {
    let folder = Folder::new();
    let before = fs::read(folder.0.path().join("kp-card.ko")).unwrap();
    let (exit, said, told) = folder.sign(&["kp-card.ko"]);
    let line =
        "error[E060]: no key keys/mok.key: `cargo kp sign init` makes one, `--key DIR` names the folder of another\n";
    assert_eq!((exit, &*said, &*told), (4, "", line));
    assert_eq!(fs::read(folder.0.path().join("kp-card.ko")).unwrap(), before);
    let (exit, _, told) = folder.sign(&["init", "--name", "a/b"]);
    assert!(exit == 2 && told.starts_with("error[E003]: `a/b`: "), "{told}");
    assert!(!folder.0.path().join("keys").exists());
}

#[test]
fn a_key_is_made_once_and_secret_and_what_it_signs_names_it() {
    if !["/usr/bin/openssl", "/bin/openssl"].iter().any(|file| fs::metadata(file).is_ok()) {
        eprintln!("skipped: openssl is not here");
        return;
    }
    let folder = Folder::new();
    let (exit, said, told) = folder.sign(&["init", "--name", "Ada's modules"]);
    assert_eq!((exit, &*said), (0, "keys/mok.key\nkeys/mok.der\n"), "{told}");
    let key = folder.0.path().join("keys/mok.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(folder.0.path().join("keys/.gitignore")).unwrap(), "*.key\n");
    let before = fs::read(&key).unwrap();
    let (exit, _, told) = folder.sign(&["init"]);
    assert!(exit == 6 && told.starts_with("error[E059]: keys/mok.key is there"), "{told}");
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(fs::read_dir(folder.0.path().join("keys")).unwrap().count(), 3, "nothing unfinished is left");

    let (exit, said, told) = folder.sign(&["kp-card.ko"]);
    if exit == 3 && told.contains("error[E062]") {
        eprintln!("skipped: no kernel's sign-file is here");
        return;
    }
    assert_eq!((exit, &*said), (0, "kp-card.ko\n"), "{told}");
    let signed = fs::read(folder.0.path().join("kp-card.ko")).unwrap();
    let module = kp_tool::module::Module::parse("kp-card.ko".as_ref(), &signed).unwrap();
    assert_eq!(module.signer.as_deref(), Some("Ada's modules"));
    let (exit, _, told) = folder.sign(&["kp-card.ko"]);
    let line = "error[E061]: kp-card.ko is signed already, by \"Ada's modules\": build it again, then sign it\n";
    assert_eq!((exit, &*told), (6, line));
}

//! The program `kp`: what it prints and exits with, by a module of nothing, below a folder.
#![cfg(unix)]

#[path = "../src/made_up.rs"]
mod made_up;

use made_up::made_up;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A folder that goes away with its test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = TempDir::with_prefix("kp-").unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let entries =
            ["kp=card", "version=0.1.0", "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*", "vermagic=6.1.0-9-amd64 SMP"];
        fs::write(folder.path().join("kp-card.ko"), made_up(&entries)).unwrap();
        Folder(folder)
    }

    /// Runs `kp` there: its exit code, its output, its errors.
    fn kp(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_kp")).current_dir(&self.0).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// The files below `root`.
    fn files(&self) -> BTreeSet<String> {
        fn walk(folder: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.insert(path.display().to_string());
                }
            }
        }
        let root = self.0.path().join("root");
        let mut found = BTreeSet::new();
        walk(&root, &mut found);
        let start = root.display().to_string();
        found.into_iter().map(|path| path[start.len()..].to_owned()).collect()
    }
}

#[test]
fn a_plugin_is_installed_below_a_folder_and_removed_again() {
    let folder = Folder::new();
    let steps = "write /lib/modules/6.1.0-9-amd64/updates/kp-card.ko\nwrite /etc/udev/rules.d/70-kp-card.rules\n";
    let install = ["install", "kp-card.ko", "--root", "root", "--group", "kp"];
    let (exit, said, _) = folder.kp(&[&install[..], &["--dry-run"]].concat());
    assert_eq!((exit, &*said), (0, steps));
    assert!(folder.files().is_empty(), "a dry run writes nothing");
    let (exit, said, told) = folder.kp(&install);
    assert_eq!((exit, &*said), (0, ""), "{told}");
    assert_eq!(
        told,
        format!(
            "{steps}card 0.1.0 is in root, whose machine needs `groupadd --system kp` and `depmod 6.1.0-9-amd64`; \
             `kp uninstall card --root root` removes it\n"
        )
    );
    let files = [
        "/etc/udev/rules.d/70-kp-card.rules",
        "/lib/modules/6.1.0-9-amd64/updates/kp-card.ko",
        "/var/lib/kp/card.json",
    ];
    assert_eq!(folder.files(), files.map(str::to_owned).into());
    let (exit, _, told) = folder.kp(&install);
    assert_eq!(
        (exit, &*told),
        (6, "error[E039]: card 0.1.0 is installed: `kp uninstall card` first; nothing was changed\n")
    );
    let (exit, said, _) = folder.kp(&["uninstall", "card", "--root", "root", "--dry-run", "--json"]);
    assert!(exit == 0 && said.starts_with("{\n  \"format\": \"kp-uninstall/1\",\n  \"name\": \"card\""), "{said}");
    assert_eq!(folder.files().len(), 3);
    let (exit, _, told) = folder.kp(&["uninstall", "card", "--root", "root"]);
    assert_eq!((exit, &*told), (0, "card is removed\n"));
    assert_eq!(fs::read_dir(folder.0.path().join("root")).unwrap().count(), 0, "no folder is left either");
    let (exit, _, told) = folder.kp(&["uninstall", "card", "--root", "root"]);
    assert_eq!(
        (exit, &*told),
        (4, "error[E038]: kp has installed no plugin card: `kp list` names those that are there\n")
    );
}

#[test]
fn everybody_may_read_what_was_installed_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$0\" install kp-card.ko --root root"]).arg(env!("CARGO_BIN_EXE_kp"));
    assert!(shell.current_dir(&folder.0).output().unwrap().status.success());
    let root = folder.0.path().join("root");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = folder.files();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let file = root.join(file.trim_start_matches('/'));
        assert_eq!(mode(&file), 0o644, "{}", file.display());
        for made in file.ancestors().skip(1).take_while(|made| *made != root) {
            assert_eq!(mode(made), 0o755, "{}", made.display());
        }
    }
}

#[test]
fn a_second_kp_waits_until_the_first_has_ended_and_then_looks_at_what_that_has_made() {
    use rustix::fs::{FlockOperation, flock};
    use std::io::{BufRead as _, BufReader};
    let folder = Folder::new();
    let first = fs::File::open(folder.0.path().join("root")).unwrap();
    flock(&first, FlockOperation::LockExclusive).unwrap();
    let start = |arguments: &[&str]| {
        let mut kp = Command::new(env!("CARGO_BIN_EXE_kp"));
        kp.current_dir(&folder.0).args(arguments).args(["--root", "root"]).stderr(std::process::Stdio::piped());
        let mut child = kp.spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(told.next().as_deref(), Some("another kp is at work: this one waits until that has ended"));
        (child, told)
    };
    let (mut one, one_told) = start(&["install", "kp-card.ko"]);
    let (mut other, other_told) = start(&["install", "kp-card.ko"]);
    assert!(folder.files().is_empty(), "nothing is made meanwhile");
    let steps = folder.kp(&["install", "kp-card.ko", "--root", "root", "--dry-run"]);
    assert_eq!(steps.0, 0, "who only looks waits for nobody");
    drop(first);
    let told: Vec<String> = one_told.chain(other_told).collect();
    let mut ends = [&mut one, &mut other].map(|child| child.wait().unwrap().code());
    ends.sort();
    assert_eq!(ends, [Some(0), Some(6)], "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("error[E039]: card 0.1.0 is installed: ")), "{told:?}");
    assert_eq!(folder.files().len(), 3);
    let again = fs::File::open(folder.0.path().join("root")).unwrap();
    flock(&again, FlockOperation::LockExclusive).unwrap();
    let (mut removal, told) = start(&["uninstall", "card"]);
    assert_eq!(folder.files().len(), 3, "nothing is removed meanwhile");
    drop(again);
    assert_eq!(
        (removal.wait().unwrap().code(), told.collect::<Vec<_>>()),
        (Some(0), vec!["card is removed".to_owned()])
    );
}

#[test]
fn what_is_refused_is_one_line_with_its_code() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("text.ko"), "text").unwrap();
    for (arguments, exit, line) in [
        (
            &["install", "no.ko", "--root", "root"][..],
            4,
            "error[E028]: no file no.ko (No such file or directory (os error 2)): `cargo kp build` makes one, and prints its path\n",
        ),
        (
            &["install", "text.ko", "--root", "root"],
            2,
            "error[E026]: text.ko is no kernel module: name the .ko file that `cargo kp build` prints\n",
        ),
        (
            &["install", "kp-card.ko", "--root", "none"],
            4,
            "error[E056]: no folder none (No such file or directory (os error 2)): make it first, as with `mkdir none`\n",
        ),
        (
            &["--explain", "E999"],
            4,
            "error[E005]: no error has the code `E999`: it is in brackets, as in `error[E004]`\n",
        ),
        (
            &["status", "no-such"],
            4,
            "error[E055]: no plugin no-such is installed or loaded: `kp list` names those that are\n",
        ),
        (
            &["sign", "enroll"],
            4,
            "error[E118]: no certificate keys/mok.der: copy the mok.der that `cargo kp sign init` has made to this machine, and name it, \
             as in `sudo kp sign enroll mok.der`\n",
        ),
        (&["unload", "no-such"], 4, "error[E046]: no-such is not loaded: `kp load no-such`\n"),
    ] {
        let (code, said, told) = folder.kp(arguments);
        assert_eq!((code, &*said, &*told), (exit, "", line), "{arguments:?}");
    }
    assert!(folder.files().is_empty());
    let (exit, said, _) = folder.kp(&["--explain", "E032"]);
    assert!(exit == 0 && said.starts_with("With Secure Boot"), "{said}");
}

#[test]
fn reports_are_one_object_with_their_format() {
    let folder = Folder::new();
    for (arguments, format) in [
        (&["scan", "--json"][..], "kp-scan/1"),
        (&["list", "--json"], "kp-list/1"),
        (&["status", "--json"], "kp-status/1"),
        (&["install", "kp-card.ko", "--root", "root", "--dry-run", "--json"], "kp-install/1"),
    ] {
        let (exit, said, told) = folder.kp(arguments);
        assert_eq!(exit, 0, "{arguments:?}: {told}");
        let object: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(object["format"], format);
    }
}

#[test]
fn where_no_plugin_is_a_status_says_so_as_a_list_does() {
    let folder = Folder::new();
    let list = folder.kp(&["list"]);
    // This machine may have some.
    if list.1.is_empty() {
        assert_eq!(list.2, "no plugin is installed or loaded: `kp install FILE.ko`\n");
        assert_eq!(folder.kp(&["status"]), list);
    }
}

#[test]
fn shells_and_man_know_every_command() {
    let folder = Folder::new();
    let (code, help, _) = folder.kp(&["--help"]);
    assert_eq!(code, 0);
    let commands =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("they are listed");
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{commands:?}");

    let (code, bash, errors) = folder.kp(&["completions", "bash"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let (code, printed, errors) = folder.kp(&["man", "pages/man1"]);
    assert_eq!((code, printed.as_str(), errors.as_str()), (0, "", ""));
    for command in commands.into_iter().filter(|&command| command != "help") {
        assert!(bash.contains(&format!("kp,{command})")), "{command} is completed");
        let page = folder.0.path().join(format!("pages/man1/kp-{command}.1"));
        assert!(page.exists(), "{} is there", page.display());
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_program_without_a_word() {
    let folder = Folder::new();
    for arguments in [&["completions", "bash"][..], &["--explain", "E001"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut kp = Command::new(env!("CARGO_BIN_EXE_kp"));
        let child =
            kp.current_dir(&folder.0).args(arguments).stdout(writer).stderr(std::process::Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
    }
}

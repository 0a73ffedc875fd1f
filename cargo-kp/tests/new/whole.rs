//! A workspace is there whole, or not at all.
use crate::folder::{EDU, Folder, tool};

#[test]
fn a_dry_run_names_the_files_and_writes_none() {
    let folder = Folder::new();
    folder.write("card.csv", EDU);
    let said = folder.new_card("card --pci 1234:11e8 --registers card.csv --dry-run");
    assert_eq!(folder.names(), ["card.csv"]);
    let made = folder.new_card("card --pci 1234:11e8 --registers card.csv --no-git");
    let named: Vec<&str> = said.lines().filter(|line| line.starts_with("card/")).collect();
    assert_eq!(named.len(), 15);
    assert!(made.contains("15 files in card"), "{made}");
    named.iter().for_each(|name| drop(folder.read(name)));
}

/// A process that writes more than so much to a file is ended by the kernel, in the middle of it.
#[cfg(unix)]
#[test]
fn a_run_that_is_killed_as_it_writes_leaves_no_folder_and_does_not_hinder_the_next() {
    let folder = Folder::new();
    folder.write("card.csv", EDU);
    let mut killed = 0;
    for blocks in 0..16 {
        // With a zero some shells' limit is of 512 bytes, others' of 1024: at the largest here every file fits.
        let script = format!("ulimit -c 0; ulimit -f {blocks}; exec \"$@\"");
        let mut shell = std::process::Command::new("sh");
        let this = tool(folder.path());
        shell.args(["-c", &script, "sh"]).arg(this.get_program()).current_dir(folder.path());
        shell.args(["new", "card", "--pci", "1234:11e8", "--registers", "card.csv", "--no-git"]);
        let output = shell.output().expect("a shell can be started");
        let is_there = folder.path().join("card").exists();
        assert_eq!(is_there, output.status.success(), "{blocks} blocks: {output:?}");
        if is_there {
            assert_eq!(folder.names(), ["card", "card.csv"], "{blocks} blocks");
            std::fs::remove_dir_all(folder.path().join("card")).expect("it can be removed");
        } else {
            killed += 1;
        }
    }
    assert!((4..16).contains(&killed), "{killed}");
    folder.new_card("card --pci 1234:11e8 --registers card.csv");
}

#[cfg(unix)]
#[test]
fn where_nothing_can_be_written_the_error_says_so_and_nothing_is_left() {
    let folder = Folder::new();
    folder.write("card.csv", EDU);
    let ended = folder.kp("new card --software --path card.csv/card");
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.error.trim_end(),
        "error[E024]: cannot write card.csv/card (Not a directory (os error 20)); nothing is there of it"
    );
    assert_eq!(folder.read("card.csv"), EDU);
}

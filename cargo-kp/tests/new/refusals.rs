//! What is refused: by one line, with its code and what the program exits with; nothing is written then.
use crate::folder::{EDU, Ended, Folder, tool};
use std::fs;

/// Runs `new` with a register file of these lines, which has to be refused so.
fn refused(folder: &Folder, table: &str, words: &str, exit: i32, line: &str) {
    folder.write("card.csv", table);
    let ended = folder.kp(&format!("new {words}"));
    assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(exit), "", line), "{words}");
    assert_eq!(folder.names(), ["card.csv"], "{words}");
}

#[test]
fn arguments_that_cannot_be() {
    let folder = Folder::new();
    for (words, exit, line) in [
        (
            "",
            2,
            "error[E001]: nobody to ask: name the device, `--pci VENDOR:DEVICE`, `--qemu NAME`, or `--software` for a plugin without one",
        ),
        (
            "card",
            2,
            "error[E001]: nobody to ask: name the device, `--pci VENDOR:DEVICE`, `--qemu NAME`, or `--software` for a plugin without one",
        ),
        (
            "--qemu pci-serial,chardev=x",
            2,
            "error[E109]: NAME is missing, what the plugin is to be called: as in `cargo kp new card --qemu pci-serial,chardev=x`",
        ),
        ("Card --software", 2, "error[E003]: `Card`: 1 to 31 of a-z, 0-9, `_`, `-`; try `card`"),
        (
            "card --pci 1234",
            2,
            "error[E004]: `1234` is no PCI device: write VENDOR:DEVICE in hexadecimal, as in `--pci 1234:11e8`",
        ),
        (
            "card --pci 1234:11e8 --registers no.csv",
            4,
            "error[E007]: no register file no.csv (No such file or directory (os error 2)): name it as it is seen from here",
        ),
        (
            "card --pci 1234:11e8 --registers card.txt",
            2,
            "error[E006]: card.txt: registers are read from .csv, .svd, .xml (IP-XACT) and .hjson: give the file the ending of what it is",
        ),
        (
            "card --software --kp /no/kp",
            4,
            "error[E025]: no kp-core in /no/kp: name a clone of kp with --kp, or a version of its crates",
        ),
    ] {
        refused(&folder, EDU, words, exit, line);
    }
}

#[test]
fn what_no_interrupt_can_be() {
    let folder = Folder::new();
    for (words, line) in [
        (
            "--irq-status IRQ_STATUS",
            "error[E017]: how is the interrupt acknowledged? Say `--irq-status REG` and `--irq-ack RECIPE`: REG=write-back, w1c, \
             read-clears, REG=VALUE, REG=mask or none",
        ),
        (
            "--irq-ack IRQ_ACK=write-back",
            "error[E019]: --irq-ack IRQ_ACK=write-back needs to know which register says that the card interrupts: add `--irq-status REG`",
        ),
        (
            "--irq-status IRQ_STATUS --irq-ack acknowledge",
            "error[E018]: --irq-ack `acknowledge` is no recipe: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none",
        ),
        (
            "--irq-status IRQ_STATUS --irq-ack w1c",
            "error[E016]: --irq-ack: IRQ_STATUS can only be read: name one that is written, or correct its Access Mode",
        ),
        (
            "--irq-status IRQ_STATUS --irq-ack IRQ_ACK=mask",
            "error[E021]: --irq-ack IRQ_ACK=mask: IRQ_ACK can only be written: use --irq-enable and --irq-disable with another recipe",
        ),
        (
            "--irq-status IRQ_STATE --irq-ack w1c",
            "error[E015]: --irq-status: no register `IRQ_STATE`: there are ID, FACTORIAL, IRQ_STATUS, IRQ_RAISE, IRQ_ACK",
        ),
        (
            "--irq-enable FACTORIAL=0x1ffffffff",
            "error[E022]: --irq-enable: `0x1ffffffff` is no number of 32 bits: write it as 0x4 or 4",
        ),
        ("--irq-enable FACTORIAL=ON", "error[E022]: --irq-enable: `ON` is no number of 32 bits: write it as 0x4 or 4"),
        (
            "--irq-enable FACTORIAL=1 --irq-enable factorial=2",
            "error[E106]: --irq-enable: FACTORIAL is named twice: name it once, by what stays there, and write what comes before it in the \
             plugin's source",
        ),
        (
            "--messages ID,NONE",
            "error[E015]: --messages: no register `NONE`: there are ID, FACTORIAL, IRQ_STATUS, IRQ_RAISE, IRQ_ACK",
        ),
    ] {
        refused(&folder, EDU, &format!("card --pci 1234:11e8 --registers card.csv {words}"), 2, line);
    }
}

#[test]
fn what_no_register_can_be() {
    let folder = Folder::new();
    let head = "Name,Offset,Access Mode,Size,Fields,Count\n";
    for (rows, line) in [
        ("", "error[E009]: card.csv:1: no register: write one in each line behind the columns' names"),
        (
            "A,0,RW,32\nB,2,RW,32",
            "error[E010]: card.csv:3: B: 0x2 is no multiple of its 4 bytes, and a BAR is read at such alone",
        ),
        (
            "STATUS,0x20,RW,32\nMODE,0x20,RW,32",
            "error[E012]: card.csv:3: MODE (0x20, 4 bytes) overlaps STATUS (0x20, 4 bytes): correct one, or make one of them R and the other W",
        ),
        (
            "TABLE,0x20,RW,32,,4\nMODE,0x2c,R,32",
            "error[E012]: card.csv:3: MODE (0x2c, 4 bytes) overlaps TABLE (0x20, 16 bytes): correct one, or make one of them R and the other W",
        ),
        (
            "A B,0,RW,32\na_b,4,RW,32",
            "error[E011]: card.csv:3: A_B is in line 2 already: give one of them another name",
        ),
        ("A,0,RW,24", "error[E009]: card.csv:2: Size of A is 24: 8, 16, 32 or 64 bits"),
        ("A,zero,RW,32", "error[E009]: card.csv:2: Offset of A is `zero`: write a number, as 0x24 or 36"),
        ("A,0,X,32", "error[E009]: card.csv:2: Access Mode of A is `X`: R, W or RW"),
        ("?,0,R,32", "error[E009]: card.csv:2: a register without a name: letters, digits and `_`"),
        ("A,0,R,32,B=4..32", "error[E010]: card.csv:2: A: field B is bits 4..32: write LOW..HIGH, of 0 to 31"),
        ("A,0,R,32,B", "error[E009]: card.csv:2: Fields has `B`: write `BUSY=0; MODE=4..7`"),
        ("A,0,R,32,,0", "error[E009]: card.csv:2: Count of A is 0: 1 to 65536"),
        (
            "SET_A,0,R,32\nA,4,W,32",
            "error[E023]: registers SET_A and A would both make a message `set_a`: rename one, or list those that get a message with --messages",
        ),
    ] {
        refused(&folder, &format!("{head}{rows}\n"), "card --pci 1234:11e8 --registers card.csv", 2, line);
    }
    folder.write("card.csv", &format!("{head}A,0xffffffffffffff00,R,32,,65536\n"));
    let ended = folder.kp("new card --pci 1234:11e8 --registers card.csv");
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.error.contains("error[E010]") && ended.error.contains("registers are mapped up to 0x1000000"),
        "{}",
        ended.error
    );
    refused(
        &folder,
        "Name,Address,Access Mode,Size\nA,0,R,32\n",
        "card --pci 1234:11e8 --registers card.csv",
        2,
        "error[E008]: card.csv:1: no column `Offset`; there are: Name, Address, Access Mode, Size: rename the one that it is",
    );
}

#[test]
fn a_table_that_is_none_says_what_it_is() {
    let folder = Folder::new();
    for (table, line) in [
        (
            "",
            "error[E009]: card.csv:1: nothing is in it: its first line names the columns: Name,Offset,Access Mode,Size",
        ),
        (
            "Name;Offset;Access Mode;Size\nA;0;R;32\n",
            "error[E009]: card.csv:1: its columns are divided by ';': write commas between them",
        ),
    ] {
        refused(&folder, table, "card --pci 1234:11e8 --registers card.csv", 2, line);
    }
}

#[test]
fn a_fields_name_stands_for_its_bits() {
    let folder = Folder::new();
    folder
        .write("card.csv", "Name,Offset,Access Mode,Size,Fields\nIER,1,RW,8,ERBFI=0; ETBEI=1; MODE=4..6\nIIR,2,R,8,\n");
    let new = |name: &str, bits: &str| {
        let rest = "--pci 1b36:0002 --registers card.csv --irq-status IIR --irq-ack read-clears";
        folder.kp(&format!("new {name} {rest} --irq-enable IER={bits}"))
    };
    for (name, bits, value) in [("one", "ETBEI", "0x2"), ("two", "erbfi|MODE", "0x71")] {
        assert_eq!(new(name, bits).error, "");
        let source = folder.read(&format!("{name}/plugin/src/lib.rs"));
        assert!(source.contains(&format!("self.bar0.write(regs::IER, {value});")), "{source}");
    }
    let why = "error[E022]: --irq-enable: `ETBE` is no number of 8 bits: write it as 0x4 or 4, or name a field: ERBFI, ETBEI, MODE";
    assert_eq!(new("none", "ETBE").error.trim_end(), why);
}

#[test]
fn a_workspace_below_a_clone_of_kp_is_refused_as_the_clones_alias_would_reach_it() {
    let folder = Folder::new();
    let clone = folder.path().join("kp");
    for part in ["cargo-kp", "kp-core", ".cargo", "mine", "target"] {
        fs::create_dir_all(clone.join(part)).expect("a folder can be made");
    }
    folder.write("kp/cargo-kp/Cargo.toml", "");
    folder.write("kp/kp-core/Cargo.toml", "");
    folder.write("kp/.cargo/config.toml", include_str!("../../../.cargo/config.toml"));
    let clone = clone.canonicalize().expect("it is there").display().to_string();
    for (words, path) in [("--path kp/card", "kp/card"), ("--path kp/mine/a/card --dry-run", "kp/mine/a/card")] {
        let ended = folder.kp(&format!("new card --software {words}"));
        let line = format!(
            "error[E108]: {path} would lie in a clone of kp, where `cargo kp` is the clone's own: `cargo install --locked --path {clone}/cargo-kp`, \
             then `cargo kp new` in a folder outside"
        );
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(2), "", line.as_str()));
    }
    let ended = Ended::from(tool(&folder.path().join("kp/mine")).arg("new").output().expect("the tool can be started"));
    assert!(ended.error.starts_with("error[E108]: NAME would lie"), "{}", ended.error);
    assert_eq!(fs::read_dir(folder.path().join("kp/mine")).expect("it is there").count(), 0);
    folder.new_card("card --software --path kp/target/card --dry-run");
    folder.write("kp/.cargo/config.toml", "[alias]\nkp = \"run\"\n"); // another repository
    folder.new_card("card --software --path kp/card --dry-run");
}

/// Of cargo's own text there is none.
#[test]
fn outside_of_a_workspace_each_command_says_so_in_one_line() {
    let folder = Folder::new();
    let line = format!(
        "error[E111]: no Cargo workspace in {}: `cd` to the plugin's, or make one: `cargo kp new NAME --pci VENDOR:DEVICE`",
        folder.path().canonicalize().expect("it is there").display()
    );
    for words in ["regs", "build --target windows", "schema"] {
        let ended = folder.kp(words);
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(4), "", line.as_str()), "{words}");
    }
}

#[test]
fn a_name_that_two_bars_have_is_asked_for_and_not_guessed() {
    let folder = Folder::new();
    let table = "Name,Resource Name,Offset,Access Mode,Size\nINT_STATUS,BAR0,0,RW,32\nINT_STATUS,BAR2,0,RW,32\n";
    let words = |status| {
        format!("card --pci 1234:11e8 --registers card.csv --messages none --irq-ack w1c --irq-status {status}")
    };
    let line = "error[E073]: --irq-status: INT_STATUS is in BAR0 and BAR2: say which, as in BAR2.INT_STATUS";
    refused(&folder, table, &words("INT_STATUS"), 2, line);
    folder.new_card(&words("BAR2.INT_STATUS"));
    assert!(folder.read("card/plugin/src/lib.rs").contains("self.bar2.write(bar2::INT_STATUS, bits);"));
    assert!(folder.read("card/plugin/tests/model/mod.rs").contains("const STATUS: (usize, u64) = (2, 0x0);"));
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("card")).expect("a folder can be made");
    folder.write("card/mine", "mine");
    let ended = folder.kp("new card --software");
    assert_eq!(ended.code, Some(6));
    assert_eq!(
        ended.error.trim_end(),
        "error[E002]: card exists and is not empty: choose another NAME, or `--path DIR`"
    );
    assert_eq!((folder.names(), folder.read("card/mine")), (vec!["card".to_owned()], "mine".to_owned()));
    folder.new_card("card --software --path other");
    std::fs::remove_file(folder.path().join("card/mine")).expect("the file can be removed");
    folder.new_card("card --software"); // an empty one is used
}

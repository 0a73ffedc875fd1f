//! `cargo kp regs` writes one file, and loses no edit of another.
use crate::folder::{EDU, Folder};

#[test]
fn a_changed_register_file_changes_registers_rs_and_nothing_else() {
    let folder = Folder::new();
    folder.write("card.csv", EDU);
    folder.new_card("card --pci 1234:11e8 --registers card.csv");
    let kp = |words: &str| {
        let mut tool = crate::folder::tool(&folder.path().join("card"));
        crate::folder::Ended::from(tool.args(words.split(' ')).output().expect("the tool can be started"))
    };
    assert_eq!(kp("regs --check").code, Some(0), "as `new` has made it");
    let edited = folder.read("card/plugin/src/lib.rs") + "// an edit\n";
    folder.write("card/plugin/src/lib.rs", &edited);
    folder.write("card/registers/card.csv", &format!("{EDU}STATUS,BAR0,0x20,RW,32,\"Busy?\",\n"));
    let stale = kp("regs --check");
    assert_eq!(stale.code, Some(1));
    let line = stale.error.lines().last().unwrap_or_default();
    let of =
        |path: &str| folder.path().join("card").canonicalize().expect("it is there").join(path).display().to_string();
    let (file, from) = (of("plugin/src/registers.rs"), of("registers/card.csv"));
    assert_eq!(line, format!("error[E013]: {file} is not what {from} makes: `cargo kp regs -p card`"));
    assert!(!folder.read("card/plugin/src/registers.rs").contains("STATUS: u32, RW"), "a check writes nothing");
    assert_eq!(kp("regs").code, Some(0));
    assert!(folder.read("card/plugin/src/registers.rs").contains("/// Busy?\n        0x20 STATUS: u32, RW;"));
    assert_eq!(kp("regs --check").code, Some(0));
    assert_eq!(folder.read("card/plugin/src/lib.rs"), edited);
}

#[test]
fn a_file_that_cannot_be_read_leaves_registers_rs_as_it_is() {
    let folder = Folder::new();
    folder.write("card.csv", EDU);
    folder.new_card("card --pci 1234:11e8 --registers card.csv");
    let before = folder.read("card/plugin/src/registers.rs");
    folder.write("card/registers/card.csv", "Name\n");
    let mut tool = crate::folder::tool(&folder.path().join("card"));
    let ended = crate::folder::Ended::from(tool.arg("regs").output().expect("the tool can be started"));
    assert_eq!(ended.code, Some(2));
    assert!(ended.error.contains("error[E008]: card.csv:1: no column `Offset`"), "{}", ended.error);
    assert_eq!(folder.read("card/plugin/src/registers.rs"), before);
}

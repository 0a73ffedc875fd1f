//! What is made builds without a warning, keeps the lints and the form, and passes its tests; and its tests see a broken acknowledge.
use crate::folder::{EDU, Folder};

/// A card with everything a recipe may name.
pub const ALL: &str = "\
Name,Offset,Access Mode,Size,Description,Fields,Reset,Write,Count
ID,0x00,R,32,Who is it,MINOR=0..7; MAJOR=8..15,0x0102,,
SCRATCH,0x04,RW,16,,,0xbeef,,
WIDE,0x08,RW,64,,,,,
TABLE,0x10,RW,8,A table,,,,16
INT STATUS,0x20,RW,32,What interrupts,RX=0; TX=2,,one-clears,
INT_MASK,0x24,RW,32,Which of it,,,,
INT_ACK,0x28,W,32,Clears what interrupts,,,,
ON,0x2c,W,32,Lets it interrupt,,,,
OFF,0x2c,R,32,Is off,,,,
OFF_TOO,0x30,W,32,Keeps it from interrupting,,,,
TYPE,0x34,R,8,A word of Rust's,,,,
RAISE,0x38,W,32,Has it interrupt,,,,
MASTER,0x3c,RW,32,Lets anything interrupt,,,,
";

/// Each recipe, by the flags that ask for it.
pub const RECIPES: &[(&str, &str)] = &[
    ("guessed", ""),
    ("write-back", "--irq-status INT_STATUS --irq-ack INT_ACK=write-back --irq-raise RAISE"),
    ("w1c", "--irq-status INT_STATUS --irq-ack w1c"),
    ("read-clears", "--irq-status INT_STATUS --irq-ack read-clears --irq-enable ON=0x4 --irq-disable OFF_TOO"),
    ("value", "--irq-status INT_STATUS --irq-ack INT_ACK=0x1 --irq-enable ON"),
    ("mask", "--irq-status INT_STATUS --irq-ack INT_MASK=mask --irq-raise RAISE"),
    ("none", "--irq-ack none --irq-raise RAISE --irq-enable ON=0x1"),
    ("two-enables", "--irq-ack none --irq-enable MASTER=0x1 --irq-enable ON=0x4"),
    (
        "two-of-each",
        "--irq-status INT_STATUS --irq-ack w1c --irq-enable ON --irq-enable MASTER=0x1 --irq-disable OFF_TOO --irq-disable MASTER=0",
    ),
    ("no-messages", "--messages none"),
    ("some-messages", "--messages ID,TABLE --irq-ack none"),
];

/// Runs a workspace's tests, which have to pass without a warning.
pub fn passes(folder: &Folder, name: &str, tests: usize) {
    let (success, said) = folder.cargo(name, "test --offline --quiet");
    assert!(success && !said.contains("warning"), "{name}: {said}");
    assert!(said.contains(&format!("{tests} passed")), "{name}: {said}");
}

/// Runs what a workspace's `ci/run` runs beside: the lints and the form.
pub fn is_clean(folder: &Folder, name: &str) {
    for words in ["clippy --offline --quiet --all-targets -- -D warnings", "fmt --check"] {
        let (success, said) = folder.cargo(name, words);
        assert!(success, "{name}: cargo {words}: {said}");
    }
}

#[test]
fn a_card_of_a_register_file_passes_its_tests_and_each_broken_acknowledge_fails_them() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    let said = folder.new_card("card --pci 1234:11e8 --registers edu.csv --irq-raise IRQ_RAISE");
    assert_eq!(
        said,
        "registers  5 in BAR 0, 0x68 bytes\n\
         interrupt  guessed by the names: the bits of IRQ_STATUS are written to IRQ_ACK\n\
         15 files in card\n\
         next  cd card && cargo test\n      cargo kp vm --device edu\n"
    );
    passes(&folder, "card", 3);
    is_clean(&folder, "card");
    let source = folder.read("card/plugin/src/lib.rs");
    let acknowledge = "        self.bar0.write(regs::IRQ_ACK, bits);\n";
    assert_eq!(source.matches(acknowledge).count(), 1);
    for (broken, by) in [
        ("dropped", ""),
        ("of another register", "        self.bar0.write(regs::IRQ_RAISE, bits);\n"),
        ("of other bits", "        self.bar0.write(regs::IRQ_ACK, bits & 1);\n"),
    ] {
        folder.write("card/plugin/src/lib.rs", &source.replace(acknowledge, by));
        let (success, said) = folder.cargo("card", "test --offline --quiet -p card");
        assert!(!success && said.contains("an_interrupt_is_acknowledged_and_wakes_the_app"), "{broken}: {said}");
    }
}

#[test]
fn the_app_prints_the_names_that_the_file_has() {
    let folder = Folder::new();
    let table = r#"Name,Offset,Access Mode,Size
VERSION,0,R,32
irqStatus,4,R,32
MAC low,8,R,32
"100% ""up""",12,R,32
"#;
    folder.write("card.csv", table);
    folder.new_card("card --pci abcd:0001 --registers card.csv --no-irq --apps rust,c,python");
    let printed = |file: &str, start: &str| -> Vec<String> {
        let text = folder.read(&format!("card/{file}"));
        let lines = text.lines().filter_map(|line| Some(line.trim().strip_prefix(start)?[..10].to_owned()));
        lines.collect()
    };
    let names = ["VERSION   ", "irqStatus ", "MAC low   ", "R_100_UP  "];
    assert_eq!(printed("app/src/main.rs", "println!(\""), names);
    assert_eq!(printed("apps/c/main.c", "printf(\""), names);
    assert_eq!(printed("apps/python/main.py", "print(f\""), names);
    folder.new_card("bare --pci abcd:0001");
    assert!(folder.read("bare/app/src/main.rs").contains("println!(\"version    {:#010x}\", client.version()?);"));
}

/// The source text alone: `every_recipe_…` compiles such cards.
#[test]
fn several_registers_that_let_a_card_interrupt_are_written_in_their_order_and_undone_in_the_other() {
    let folder = Folder::new();
    folder.write("all.csv", ALL);
    let written = |name: &str, flags: &str| -> Vec<String> {
        folder.new_card(&format!("{name} --pci abcd:0001 --registers all.csv --irq-ack none {flags}"));
        let source = folder.read(&format!("{name}/plugin/src/lib.rs"));
        let int_enable = &source[source.find("impl IntEnable").expect("it is there")..];
        let int_enable = &int_enable[..int_enable.find("impl IntAtIrql").expect("it is behind")];
        let writes = int_enable.split("self.bar0.write(regs::").skip(1);
        writes.filter_map(|write| Some(write.split_once(");")?.0.to_owned())).collect()
    };
    let two = "--irq-enable MASTER=0x1 --irq-enable ON=0x4";
    assert_eq!(written("two", two), ["MASTER, 0x1", "ON, 0x4", "ON, 0x0", "MASTER, 0x0"]);
    let named = format!("{two} --irq-disable MASTER=0 --irq-disable OFF_TOO");
    assert_eq!(written("named", &named), ["MASTER, 0x1", "ON, 0x4", "MASTER, 0x0", "OFF_TOO, 0xffffffff"]);
}

#[test]
#[ignore = "compiles a workspace for each recipe; run by `cargo kp test --long`"]
fn every_recipe_and_option_passes_its_tests_without_a_warning() {
    let folder = Folder::new();
    folder.write("all.csv", ALL);
    for (name, flags) in RECIPES {
        folder.new_card(&format!("{name}-card --pci abcd:0001 --pci abcd:0002 --registers all.csv {flags}"));
        passes(&folder, &format!("{name}-card"), 3);
        is_clean(&folder, &format!("{name}-card"));
    }
    for (name, table, flags, _) in cards_without_a_value() {
        folder.write("card.csv", &table);
        folder.new_card(&format!("{name} --pci abcd:0001 --registers card.csv {flags}"));
        passes(&folder, name, if table.starts_with(EDU) { 3 } else { 2 });
        is_clean(&folder, name);
    }
    folder.new_card("plain --software --author Ada --license GPL-2.0-only");
    passes(&folder, "plain", 3);
    is_clean(&folder, "plain");
    folder.new_card("bare --pci abcd:0001");
    passes(&folder, "bare", 2);
    is_clean(&folder, "bare");
}

/// Cards of which no register has a value that the first test could look at: the name, the table, the flags, and what is called then.
fn cards_without_a_value() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let many: String = (0..12).map(|at| format!("R{at},BAR0,{:#x},RW,32,,\n", 0x100 + 4 * at)).collect();
    let only = |row: &str| format!("Name,Offset,Access Mode,Size,Count\n{row}\n");
    vec![
        ("manycard", format!("{EDU}{many}"), "--irq-raise IRQ_RAISE", "assert!(client.take_causes().is_ok());"),
        ("nonecard", EDU.to_owned(), "--messages none --irq-raise IRQ_RAISE", "assert!(client.take_causes().is_ok());"),
        ("statuscard", EDU.to_owned(), "--messages IRQ_STATUS", "assert!(client.irq_status().is_ok());"),
        ("writtencard", only("CONTROL,0,W,32,"), "", "assert!(client.has(1));"),
        ("arraycard", only("TABLE,0,R,32,4"), "", "assert!(client.has(1));"),
    ]
}

#[test]
fn the_first_test_calls_what_needs_no_argument_where_no_register_has_a_value_to_look_at() {
    let folder = Folder::new();
    for (name, table, flags, call) in cards_without_a_value() {
        folder.write("card.csv", &table);
        folder.new_card(&format!("{name} --pci abcd:0001 --registers card.csv {flags}"));
        let tests = folder.read(&format!("{name}/plugin/tests/{name}.rs"));
        let first = tests.split("fn the_driver_takes_the_card() {").nth(1).expect("the test is there");
        let lines: Vec<&str> =
            first.lines().take_while(|line| *line != "}").filter(|line| line.contains("client.")).collect();
        assert_eq!(lines, [format!("    {call}")], "{name}");
    }
}

/// What the README shows of it: the table, what is typed, what is printed.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../../../README.md");
    let block =
        readme.split("```text\n").find(|block| block.starts_with("$ cat edu.csv\n")).expect("the block is there");
    let block = &block[..block.find("```").expect("its end")];
    let parts: Vec<(&str, &str)> =
        block.split("$ ").skip(1).map(|part| part.split_once('\n').expect("a command")).collect();
    let folder = Folder::new();
    let [(_, table), (typed, printed), ..] = parts[..] else { panic!("two commands: {parts:?}") };
    assert_eq!(table, EDU);
    folder.write("edu.csv", table);
    assert_eq!(folder.new_card(typed.strip_prefix("cargo kp new ").expect("it makes a card")), printed);
}

/// What breaks each recipe's acknowledge: what is found in the plugin, and what stands there then.
const BROKEN: &[(&str, &str, &str)] = &[
    ("w1c", "        self.bar0.write(regs::INT_STATUS, bits);\n        self.causes", "        self.causes"),
    (
        "w1c",
        "        self.bar0.write(regs::INT_STATUS, bits);\n        self.causes",
        "        self.bar0.write(regs::INT_ACK, bits);\n        self.causes",
    ),
    ("read-clears", "Verdict::DEFER", "Verdict::DONE"),
    ("read-clears", "self.bar0.write(regs::ON, 0x4);", ""),
    ("value", "self.bar0.write(regs::INT_ACK, 0x1);\n        self.causes", "self.causes"),
    (
        "value",
        "self.bar0.write(regs::INT_ACK, 0x1);\n        self.causes",
        "self.bar0.write(regs::INT_ACK, 0x2);\n        self.causes",
    ),
    ("mask", "self.bar0.write(regs::INT_MASK, 0); // until", "// until"),
    ("mask", "if *armed {\n                self.bar0.write(regs::INT_MASK, !0);\n            }", "let _ = armed;"),
    ("none", "Verdict::DEFER", "Verdict::DONE"),
    ("two-enables", "self.bar0.write(regs::MASTER, 0x1);", ""),
    ("two-enables", "self.bar0.write(regs::ON, 0x4);", ""),
    ("two-enables", "self.bar0.write(regs::ON, 0x0);", ""),
    ("two-enables", "self.bar0.write(regs::MASTER, 0x0);", ""),
    ("two-of-each", "self.bar0.write(regs::OFF_TOO, 0xffffffff);", ""),
    ("two-of-each", "self.bar0.write(regs::MASTER, 0x0);", ""),
];

#[test]
#[ignore = "compiles a workspace for each recipe; run by `cargo kp test --long`"]
fn each_recipes_broken_acknowledge_fails_its_test() {
    let folder = Folder::new();
    folder.write("all.csv", ALL);
    for (at, (name, right, wrong)) in BROKEN.iter().enumerate() {
        let (_, flags) = RECIPES.iter().find(|(recipe, _)| recipe == name).expect("a recipe");
        let card = format!("broken{at}");
        folder.new_card(&format!("{card} --pci abcd:0001 --registers all.csv {flags}"));
        let file = format!("{card}/plugin/src/lib.rs");
        let source = folder.read(&file);
        assert_eq!(source.matches(right).count(), 1, "{name}: {right}\n{source}");
        folder.write(&file, &source.replace(right, wrong));
        let (success, said) = folder.cargo(&card, &format!("test --offline --quiet -p {card}"));
        assert!(!success && said.contains("an_interrupt_is_acknowledged_and_wakes_the_app"), "{name}: {wrong}: {said}");
    }
}

//! A register file of each kind says the same as a table does; what each kind alone has is read too, and what no card can have is refused by the
//! checks that a table has.
use crate::folder::{Ended, Folder, tool};
use crate::generated::{is_clean, passes};

/// One card, by each kind of file.
const TABLE: &str = include_str!("../../../tests/cards/lights.csv");
const OTHERS: &[(&str, &str)] = &[
    ("lights.svd", include_str!("../../../tests/cards/lights.svd")),
    ("lights-2009.xml", include_str!("../../../tests/cards/lights-2009.xml")),
    ("lights-2014.xml", include_str!("../../../tests/cards/lights-2014.xml")),
    ("lights-2022.xml", include_str!("../../../tests/cards/lights-2022.xml")),
    ("lights.hjson", include_str!("../../../tests/cards/lights.hjson")),
];

/// An SVD with what is between `<peripherals>` and its end, each line of which is one of the file from the third on.
pub fn svd(peripherals: &str) -> String {
    format!(
        "<device schemaVersion=\"1.3\"><name>D</name><version>1</version><description>d</description><addressUnitBits>8</addressUnitBits>\n\
         <width>32</width><size>32</size><access>read-write</access><peripherals>\n{peripherals}</peripherals></device>\n"
    )
}

/// A peripheral of these registers.
pub fn peripheral(name: &str, registers: &str) -> String {
    format!(
        "<peripheral><name>{name}</name><baseAddress>0x1000</baseAddress><registers>\n{registers}</registers></peripheral>\n"
    )
}

/// One register.
pub fn register(name: &str, offset: &str) -> String {
    format!("<register><name>{name}</name><addressOffset>{offset}</addressOffset></register>\n")
}

#[test]
fn every_kind_of_file_makes_the_registers_that_a_table_makes() {
    let folder = Folder::new();
    folder.write("lights.csv", TABLE);
    let said = folder.new_card("lights-card --pci abcd:0001 --registers lights.csv");
    assert!(said.contains("interrupt  guessed by the names: ones are written to INTR_STATE\n"), "{said}");
    let registers = folder.read("lights-card/plugin/src/registers.rs");
    let driver = folder.read("lights-card/plugin/src/lib.rs");
    let interface = folder.read("lights-card/interface/src/lib.rs");
    for (at, (file, text)) in OTHERS.iter().enumerate() {
        folder.write(file, text);
        let told = folder.new_card(&format!("lights-card --pci abcd:0001 --registers {file} --path other{at}"));
        assert_eq!(told.replace(&format!("other{at}"), "lights-card"), said, "{file}");
        let read = |path: &str| folder.read(&format!("other{at}/{path}")).replace(file, "lights.csv");
        assert_eq!(read("plugin/src/registers.rs"), registers, "{file}");
        assert_eq!(read("plugin/src/lib.rs"), driver, "{file}");
        assert_eq!(read("interface/src/lib.rs"), interface, "{file}");
        let mut check = tool(&folder.path().join(format!("other{at}")));
        let ended = Ended::from(check.args(["regs", "--check"]).output().expect("the tool can be started"));
        assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""), "{file}");
    }
    // The one of which the others differ in no file that is compiled.
    passes(&folder, "other0", 3);
    is_clean(&folder, "other0");
}

#[test]
#[ignore = "compiles a workspace for each kind of register file; run by `cargo kp test --long`"]
fn a_workspace_of_each_kind_of_file_passes_its_tests_without_a_warning() {
    let folder = Folder::new();
    for (at, (file, text)) in OTHERS.iter().enumerate() {
        folder.write(file, text);
        let name = format!("golden{at}");
        folder.new_card(&format!(
            "{name} --pci abcd:0001 --registers {file} --irq-raise INTR_TEST --irq-enable INTR_ENABLE"
        ));
        passes(&folder, &name, 3);
        is_clean(&folder, &name);
    }
    folder.write("gaps.svd", &svd(&peripheral("GAPS", &format!("{CHANNELS}{}", register("LAST", "0x80")))));
    folder.new_card("gaps --pci abcd:0001 --registers gaps.svd");
    passes(&folder, "gaps", 2);
    is_clean(&folder, "gaps");
}

/// Registers in an array of clusters, and one that is an array with gaps.
const CHANNELS: &str = "\
<cluster><dim>4</dim><dimIncrement>0x10</dimIncrement><name>CHANNEL[%s]</name><addressOffset>0</addressOffset>\n\
<register><name>CTRL</name><addressOffset>0</addressOffset><fields><field><name>ON</name><bitRange>[0:0]</bitRange></field></fields></register>\n\
<register><name>STATUS</name><addressOffset>4</addressOffset><access>read-only</access></register></cluster>\n\
<register><dim>3</dim><dimIncrement>8</dimIncrement><name>ODD[%s]</name><addressOffset>0x44</addressOffset></register>\n";

#[test]
fn arrays_with_gaps_are_blocks_of_one_register_and_a_table_has_them_by_its_stride() {
    let folder = Folder::new();
    folder.write("gaps.svd", &svd(&peripheral("GAPS", CHANNELS)));
    folder.write(
        "gaps.csv",
        "Name,Offset,Access Mode,Size,Fields,Count,Stride\nCHANNEL_CTRL,0,RW,32,ON=0,4,0x10\nCHANNEL_STATUS,4,R,32,,4,0x10\nODD,0x44,RW,32,,3,8\n",
    );
    for kind in ["svd", "csv"] {
        folder.new_card(&format!("gaps --pci abcd:0001 --registers gaps.{kind} --path {kind} --dry-run"));
        folder.new_card(&format!("gaps --pci abcd:0001 --registers gaps.{kind} --path {kind}"));
    }
    let registers = folder.read("svd/plugin/src/registers.rs");
    assert_eq!(registers.replace("gaps.svd", "gaps.csv"), folder.read("csv/plugin/src/registers.rs"));
    for line in [
        "    pub mod regs_channel_ctrl[0x4] {\n        0x00 CHANNEL_CTRL: u32, RW { ON = 0 };\n    }\n",
        "        0x00 CHANNEL_CTRL: [regs_channel_ctrl; 4 stride 0x10];\n        0x04 CHANNEL_STATUS: [regs_channel_status; 4 stride 0x10];\n",
        "        0x44 ODD: [regs_odd; 3 stride 0x8];\n",
    ] {
        assert!(registers.contains(line), "{line}\n{registers}");
    }
    passes(&folder, "svd", 2);
    is_clean(&folder, "svd");
}

#[test]
fn blocks_lie_where_it_is_said_and_stay_there_when_the_registers_are_made_anew() {
    let folder = Folder::new();
    let blocks = [
        peripheral("UART", &register("DATA", "0")),
        peripheral("DMA", &register("DATA", "4")),
        peripheral("GPIO", &register("PIN", "0")),
    ];
    folder.write("soc.svd", &svd(&blocks.concat()));
    let new = "card --pci abcd:0001 --registers soc.svd";
    let said = folder.new_card(&format!("{new} --bar UART=0 --bar DMA=0+0x100"));
    assert!(
        said.starts_with("registers  2 in BAR 0, 0x108 bytes\n           left out, as no --bar names them: GPIO\n"),
        "{said}"
    );
    let registers = folder.read("card/plugin/src/registers.rs");
    assert!(registers.contains("0x000 UART_DATA: u32, RW;\n        0x104 DMA_DATA: u32, RW;\n"), "{registers}");
    assert!(folder.read("card/plugin/Cargo.toml").contains("bars = [\"UART=0\", \"DMA=0+0x100\"]"));
    let mut check = tool(&folder.path().join("card"));
    let ended = Ended::from(check.args(["regs", "--check"]).output().expect("the tool can be started"));
    assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""));
    folder.new_card("named --pci abcd:0001 --registers io=soc.svd --bar GPIO=2");
    assert!(
        folder.read("named/plugin/src/registers.rs").contains("    /// BAR 2, from soc.svd.\n    pub mod io[0x8] {")
    );
    let mut check = tool(&folder.path().join("named"));
    let ended = Ended::from(check.args(["regs", "--check"]).output().expect("the tool can be started"));
    assert_eq!((ended.code, ended.error.as_str()), (Some(0), ""));
    folder.write("card.csv", "Name,Resource Name,Offset,Access Mode,Size\nA,BAR0,0,RW,32\nB,BAR2,0,RW,32\n");
    for (words, line) in [
        (
            new.to_owned(),
            "error[E097]: soc.svd has the blocks UART, DMA, GPIO: say in which BAR those are that the plugin needs, as in `--bar UART=0`",
        ),
        (
            format!("{new} --bar SPI=0"),
            "error[E096]: --bar SPI: soc.svd has no such block, or it is named twice; there are UART, DMA, GPIO",
        ),
        (
            format!("{new} --bar UART=6"),
            "error[E095]: --bar `UART=6`: write BLOCK=N or BLOCK=N+OFFSET, as in `--bar REGS=0` or `--bar DMA=2+0x1000`",
        ),
        (
            "card --pci abcd:0001 --registers card.csv --bar A=0".to_owned(),
            "error[E099]: --bar is for the blocks of .svd, .xml and .hjson: in card.csv the column `Resource Name` says the BAR",
        ),
        (
            "card --pci abcd:0001 --registers io=card.csv".to_owned(),
            "error[E098]: --registers io=…: the file has registers in several BARs: leave the name out",
        ),
        (
            "card --pci abcd:0001 --registers Io=soc.svd --bar GPIO=2".to_owned(),
            "error[E098]: --registers Io=…: it is no name for a Rust module: take small letters, digits and `_`",
        ),
        (
            "io --pci abcd:0001 --registers io=soc.svd --bar GPIO=2".to_owned(),
            "error[E098]: --registers io=…: the plugin itself is called so",
        ),
    ] {
        let ended = folder.kp(&format!("new {words} --path none"));
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(2), "", line), "{words}");
    }
}

#[test]
fn what_no_register_can_be_is_refused_as_in_a_table_with_its_line() {
    let folder = Folder::new();
    for (registers, line) in [
        (
            register("STATUS", "0x20") + &register("MODE", "0x20"),
            "error[E012]: card.svd:5: MODE (0x20, 4 bytes) overlaps STATUS (0x20, 4 bytes): correct one, or make one of them R and the other W",
        ),
        (register("A", "2"), "error[E010]: card.svd:4: A: 0x2 is no multiple of its 4 bytes, and a BAR is read at such alone"),
        (register("A", "0") + &register("a", "4"), "error[E011]: card.svd:5: A is in line 4 already: give one of them another name"),
        (
            "<register><name>A</name><addressOffset>0</addressOffset><size>24</size></register>\n".to_owned(),
            "error[E009]: card.svd:4: Size of A is 24: 8, 16, 32 or 64 bits",
        ),
        (
            CHANNELS.to_owned() + &register("SPARE", "0x14"),
            "error[E012]: card.svd:8: SPARE (0x14, 4 bytes) overlaps CHANNEL_STATUS (0x4, 52 bytes): correct one, or make one of them R and the other W",
        ),
        (
            "<register><name>A</name><addressOffset>0</addressOffset><fields><field><name>B</name><bitRange>[32:4]</bitRange></field></fields></register>\n".to_owned(),
            "error[E010]: card.svd:4: A: field B is bits 4..32: write LOW..HIGH, of 0 to 31",
        ),
    ] {
        folder.write("card.svd", &svd(&peripheral("P", &registers)));
        let ended = folder.kp("new card --pci abcd:0001 --registers card.svd");
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(2), "", line));
        assert_eq!(folder.names(), ["card.svd"]);
    }
}

//! What is known of a card comes from this machine, from a scan's file or from QEMU, and is the same by each of them; what cannot be then is refused.
use crate::folder::{EDU, Folder};
use crate::generated::{is_clean, passes};
use std::fs;
use std::path::Path;

/// A scan of a machine with QEMU's e1000, edu, ivshmem-doorbell and pci-testdev.
const SCAN: &str = include_str!("../../../tests/cards/scan.json");

/// QEMU's edu as Linux shows it below `/sys`: to root, or as much as others see.
pub fn sysfs(folder: &Folder, root: bool) {
    let device = folder.path().join("machine/sys/bus/pci/devices/0000:00:04.0");
    fs::create_dir_all(&device).expect("a folder can be made");
    let mut config = vec![0; if root { 256 } else { 64 }];
    let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &[0x34, 0x12, 0xe8, 0x11, 0, 0, 0x10, 0, 0x10, 0x00, 0xff, 0x00]);
    put(0x2c, &[0xf4, 0x1a, 0x00, 0x11]);
    put(0x34, &[0x40]);
    put(0x3d, &[1]);
    if root {
        put(0x40, &[0x05, 0x00, 0x80, 0x00]);
    }
    fs::write(device.join("config"), config).expect("a file can be written");
    let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
    let memory = "0x00000000fea00000 0x00000000feafffff 0x0000000000040200\n";
    for (file, text) in [
        ("vendor", "0x1234\n"),
        ("device", "0x11e8\n"),
        ("class", "0x00ff00\n"),
        ("subsystem_vendor", "0x1af4\n"),
        ("subsystem_device", "0x1100\n"),
        ("resource", &[memory, &none.repeat(12)].concat()),
    ] {
        fs::write(device.join(file), text).expect("a file can be written");
    }
}

/// All files below a folder, with what is in them.
fn tree(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").display().to_string();
                files.push((name, fs::read_to_string(path).expect("a text")));
            }
        }
    }
    files.sort();
    files
}

/// Makes edu's workspace of one source, and says what was printed of it, with the files.
fn edu(folder: &Folder, source: &str, path: &str) -> (String, Vec<(String, String)>) {
    let said = folder.new_card(&format!("card {source} --registers edu.csv --no-git --path {path}"));
    let (_, facts) = said.split_once('\n').expect("lines");
    (facts.replace(path, "card"), tree(&folder.path().join(path)))
}

#[cfg(unix)]
#[test]
fn this_machine_and_a_scans_file_tell_the_same_of_a_card_and_its_workspace_passes_its_tests() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    folder.write("scan.json", SCAN);
    sysfs(&folder, true);
    let device = edu(&folder, "--from-device 00:04.0 --root machine", "card");
    assert_eq!(
        device.0,
        "           BAR 0: memory, 32 bit, 1 MiB\n           interrupts: line, pin A; MSI, 1\n\
         registers  5 in BAR 0, 0x68 bytes\n\
         interrupt  guessed by the names: the bits of IRQ_STATUS are written to IRQ_ACK\n\
         15 files in card\n\
         next  cd card && cargo test\n      cargo kp vm --device edu\n"
    );
    assert_eq!(edu(&folder, "--scan scan.json#0000:00:04.0", "scanned"), device);
    let model = folder.read("card/plugin/tests/model/mod.rs");
    assert!(model.contains("const BARS: [u64; 6] = [0x100000, 0, 0, 0, 0, 0];"), "{model}");
    assert!(folder.read("card/plugin/src/lib.rs").contains("devices: [0x1234:0x11e8], vectors: 1..=1,"));
    passes(&folder, "card", 3);
    is_clean(&folder, "card");
}

#[test]
#[ignore = "needs QEMU"]
fn qemu_tells_the_same_of_its_device_as_linux_does() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    sysfs(&folder, true);
    let device = edu(&folder, "--from-device 0000:00:04.0 --root machine", "card");
    assert_eq!(edu(&folder, "--qemu edu", "asked"), device);
    // A BAR of ports and one of memory; MSI-X by a server; 64 bits and no interrupt.
    let says = |device: &str, lines: &[&str]| {
        let said = folder.new_card(&format!("other --qemu {device} --dry-run"));
        assert!(lines.iter().all(|line| said.contains(line)), "{device}: {said}");
    };
    says(
        "e1000",
        &["8086:100e\n", "BAR 0: memory, 32 bit, 128 KiB\n", "BAR 1: ports, 64 bytes\n", "interrupts: line, pin A\n"],
    );
    says("ivshmem-doorbell,vectors=8", &["1af4:1110\n", "BAR 2: memory, 64 bit, prefetchable, 4 KiB\n", "MSI-X, 8\n"]);
    says(
        "pci-testdev,membar=1M",
        &["1b36:0005\n", "BAR 2: memory, 64 bit, prefetchable, 1 MiB\n", "interrupts: none\n"],
    );
    for (device, exit, line) in [
        ("ed", 4, "error[E090]: QEMU has no device `ed`: `edu`, "),
        ("edu,no=1", 2, "error[E091]: QEMU does not make `edu,no=1` ("),
        (
            "isa-debug-exit",
            2,
            "error[E092]: QEMU's `isa-debug-exit` is not on its PCI bus: name a device that is, or --software",
        ),
    ] {
        let ended = folder.kp(&format!("new none-card --qemu {device}"));
        assert_eq!((ended.code, ended.error.starts_with(line)), (Some(exit), true), "{}", ended.error);
    }
    // Before it looks for what it would build.
    let ended = folder.kp("vm --device pci-serail");
    let line = "error[E090]: QEMU has no device `pci-serail`: `pci-serial`, ";
    assert_eq!((ended.code, ended.error.starts_with(line)), (Some(4), true), "{}", ended.error);
}

#[cfg(unix)]
#[test]
fn without_qemu_the_package_is_named() {
    let folder = Folder::new();
    let mut tool = crate::folder::tool(folder.path());
    let output = tool.args(["new", "card", "--qemu", "edu"]).env("PATH", folder.path()).output();
    let ended = crate::folder::Ended::from(output.expect("the tool can be started"));
    let line =
        "error[E042]: missing program: qemu-system-x86_64: `apt-get install qemu-system-x86`; nothing was changed";
    assert_eq!((ended.code, ended.error.trim_end()), (Some(3), line));
}

#[cfg(unix)]
#[test]
fn what_linux_shows_to_root_alone_is_said_with_the_command_that_shows_it() {
    let folder = Folder::new();
    folder.write("edu.csv", EDU);
    sysfs(&folder, false);
    let said = folder.new_card("card --from-device 0000:00:04.0 --root machine --registers edu.csv --dry-run");
    assert!(said.contains("           interrupts: line, pin A\n"), "{said}");
    let hint =
        "           messages are shown to root alone: `sudo kp scan --json > card.json`, then --scan card.json\n";
    assert!(said.contains(hint), "{said}");
}

/// A table of one register, and what acknowledges.
const ONE: &str = "Name,Resource Name,Offset,Access Mode,Size,Write\n";

#[test]
fn what_the_card_has_not_is_refused_in_one_line() {
    let folder = Folder::new();
    folder.write("scan.json", SCAN);
    let there =
        "0000:00:03.0 (8086:100e), 0000:00:04.0 (1234:11e8), 0000:00:05.0 (1af4:1110), 0000:00:06.0 (1b36:0005)";
    for (row, words, exit, line) in [
        ("", "--scan none.json", 4, "error[E087]: no file none.json (No such file or directory (os error 2)): `sudo kp scan --json > FILE` makes one, on the card's machine".to_owned()),
        ("", "--scan card.csv", 2, "error[E086]: card.csv: it is no scan: `sudo kp scan --json > FILE` makes one, on the card's machine".to_owned()),
        ("", "--scan scan.json", 2, format!("error[E088]: scan.json has several devices: name one, as in --scan scan.json#ADDRESS; there are {there}")),
        ("", "--scan scan.json#00:09.0", 4, format!("error[E089]: scan.json has no device at 00:09.0; there are {there}")),
        ("DATA,BAR0,0x2000,R,32,", "--scan scan.json#00:06.0 --registers card.csv", 2, "error[E081]: card.csv:2: DATA at 0x2000 ends beyond BAR 0 (4096 bytes): another BAR, or a wrong offset".to_owned()),
        ("DATA,BAR2,0,R,32,", "--scan scan.json#00:04.0 --registers card.csv", 2, "error[E082]: card.csv: registers in BAR 2, which 0000:00:04.0 has not: there is BAR 0 (memory, 32 bit, 1 MiB); name another".to_owned()),
        ("DATA,BAR1,0,R,64,", "--scan scan.json#00:03.0 --registers card.csv", 2, "error[E083]: card.csv:2: DATA has 64 bits, and BAR 1 is of ports in 0000:00:03.0, of 32 at most: make two registers of it".to_owned()),
        ("DATA,BAR1,0x40,R,32,", "--scan scan.json#00:03.0 --registers card.csv", 2, "error[E081]: card.csv:2: DATA at 0x40 ends beyond BAR 1 (64 bytes): another BAR, or a wrong offset".to_owned()),
        ("DATA,BAR0,0,R,32,", "--scan scan.json#00:03.0 --registers card.csv --irq-ack none", 2, "error[E084]: --irq-ack none: 0000:00:03.0 sends no messages, and its line has to be acknowledged: name another recipe".to_owned()),
        ("INT_STATUS,BAR0,0,RW,32,one-clears", "--scan scan.json#00:06.0 --registers card.csv --irq-status INT_STATUS --irq-ack w1c", 2, "error[E085]: --irq-status: 0000:00:06.0 has no interrupt: leave the flag out".to_owned()),
    ] {
        folder.write("card.csv", &format!("{ONE}{row}\n"));
        let ended = folder.kp(&format!("new card {words}"));
        assert_eq!((ended.code, ended.said.as_str(), ended.error.trim_end()), (Some(exit), "", line.as_str()), "{words}");
        assert_eq!(folder.names(), ["card.csv", "scan.json"], "{words}");
    }
    // What is guessed only is no contradiction.
    folder.write("card.csv", &format!("{ONE}INT_STATUS,BAR0,0,RW,32,one-clears\n"));
    let said = folder.new_card("card --scan scan.json#00:06.0 --registers card.csv --dry-run");
    assert!(said.contains("interrupt  none: the card has none\n"), "{said}");
    let ended = folder.kp("new card --scan scan.json --pci 1234:11e8");
    assert_eq!((ended.code, ended.error.contains("cannot be used with")), (Some(2), true), "{}", ended.error);
}

/// QEMU's pci-serial, a 16550 behind ports, as its manual numbers the registers.
const UART: &str = "\
Name,Resource Name,Offset,Access Mode,Size,Fields,Reset,Count
RBR,BAR1,0,R,8,,,
THR,BAR1,0,W,8,,,
IER,BAR1,1,RW,8,ERBFI=0; ETBEI=1,,
IIR,BAR1,2,R,8,,,
FCR,BAR1,2,W,8,,,
MCR,BAR1,4,RW,8,LOOP=4,,
LSR,BAR1,5,R,8,,0x60,
PAIR,BAR1,0x8,RW,16,,,2
LONG,BAR1,0xc,RW,32,,,
STATUS,BAR0,0,R,32,,,
";

#[test]
fn registers_of_ports_are_made_as_those_of_memory_are_and_pass_their_tests() {
    let folder = Folder::new();
    folder.write("scan.json", SCAN);
    folder.write("uart.csv", UART);
    let irq = "--irq-status IIR --irq-ack read-clears --irq-enable IER=ETBEI --irq-raise FCR";
    folder.new_card(&format!("uart --scan scan.json#00:03.0 --registers uart.csv {irq}"));
    let source = folder.read("uart/plugin/src/lib.rs");
    for line in [
        "    bar0: Bar<bar0::Map>,",
        "    bar1: Bar<bar1::Map, Ports>,",
        "bar0: device.map(cx, 0)?,",
        "bar1: device.map_ports(cx, 1)?,",
        "self.bar1.write(bar1::IER, 0x2);",
    ] {
        assert!(source.contains(line), "{line}: {source}");
    }
    assert!(folder.read("uart/plugin/tests/model/mod.rs").contains("1 => BarKind::Ports"));
    passes(&folder, "uart", 3);
    is_clean(&folder, "uart");
    for (words, why) in [
        ("--raise 0x1ff", "--raise 0x1ff: number too large to fit in target type; it has 8 bits"),
        ("--wait soon", "--wait soon: invalid digit found in string"),
        ("--rase 1", "no option --rase: there is --raise BITS, --wait SECONDS"),
    ] {
        let (success, said) = folder.cargo("uart", &format!("run --offline --quiet -p uart-app -- {words}"));
        assert_eq!((success, said.trim_end()), (false, format!("uart-app: {why}").as_str()));
    }
}

#[test]
#[ignore = "compiles a workspace for each of several cards, one of them QEMU's; run by `cargo kp test --long`"]
fn a_workspace_of_each_kind_of_card_passes_its_tests_without_a_warning() {
    let folder = Folder::new();
    folder.write("scan.json", SCAN);
    folder.write("card.csv", &format!("{ONE}INT_STATUS,BAR0,0,RW,32,one-clears\n"));
    for (name, words, has) in [
        ("lined", "#00:03.0 --registers card.csv", "for enable in [Enable::line()]"),
        ("mapped", "#00:05.0 --registers card.csv", "for enable in [Enable::msix(1..=1)]"),
        ("message", "#00:04.0 --registers card.csv --irq-ack none", "for enable in [Enable::msi()]"),
    ] {
        folder.new_card(&format!("{name} --scan scan.json{words}"));
        let tests = folder.read(&format!("{name}/plugin/tests/{name}.rs"));
        assert!(tests.contains(has), "{name}: {tests}");
        passes(&folder, name, 3);
        is_clean(&folder, name);
    }
    assert!(folder.read("mapped/plugin/src/lib.rs").contains("vectors: 1..=64"));
    assert!(folder.read("mapped/plugin/tests/model/mod.rs").contains("2 => BarKind::Prefetchable"));
    // QEMU's own, with ports beside.
    folder.write("e1000.csv", include_str!("../../../tests/cards/e1000.csv"));
    let recipe = "--irq-status ICR --irq-ack read-clears --irq-enable IMS=0x4 --irq-disable IMC --irq-raise ICS";
    folder.new_card(&format!("asked --qemu e1000 --registers e1000.csv {recipe}"));
    assert!(folder.read("asked/plugin/tests/model/mod.rs").contains("1 => BarKind::Ports"));
    passes(&folder, "asked", 3);
    is_clean(&folder, "asked");
    folder.new_card("bare --scan scan.json#00:06.0");
    passes(&folder, "bare", 2);
    is_clean(&folder, "bare");
}

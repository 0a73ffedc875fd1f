//! Each check of a Windows driver refuses a file that was made to break it, and lets a good one pass.
//!
//! The drivers are put together here, byte by byte, and then changed: no compiler is needed.
use cargo_kp::build::pe::imports::{self, Table};
use cargo_kp::build::pe::{self, Refusal, image};
use cargo_kp::build::{Arch, Info};
use object::read::pe::PeFile64;
use std::collections::BTreeSet;

const BASE: u64 = 0x1_4000_0000;
/// Where the PE header begins, and from there the optional header and the first section's header.
const HEADER: usize = 0x40;
const OPTIONAL: usize = HEADER + 24;
const SECTIONS: usize = OPTIONAL + 240;
/// Where each section's bytes are: in the file, and in memory.
const TEXT: (usize, u32) = (0x400, 0x1000);
const RDATA: (usize, u32) = (0x600, 0x2000);
const DATA: (usize, u32) = (0xE00, 0x3000);
const INIT: (usize, u32) = (0x1000, 0x4000);
/// Where things are in .rdata.
const POINTERS: usize = 0x140;
const FUNCTIONS: usize = 0x150;
const IMPORTS: usize = 0x180;
const DEBUG: usize = 0x600;
const STRINGS: usize = 0x700;

/// What a driver is made of.
struct Driver<'a> {
    module: &'a str,
    imports: &'a [&'a str],
    strings: &'a [u8],
    code: &'a [u8],
}

const GOOD: Driver<'static> = Driver {
    module: "ntoskrnl.exe",
    imports: &["IoCreateDevice", "ObOpenObjectByPointer", "ZwSetSecurityObject", "MmGetSystemRoutineAddress"],
    strings: b"a panic's messageKeGetCurrentIrql\0",
    code: &[0x0F, 0x57, 0xC0, 0xC3], // xorps xmm0, xmm0; ret
};

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

/// A driver with the right checksum.
fn build(driver: &Driver) -> Vec<u8> {
    let mut bytes = vec![0; INIT.0 + 0x200];
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x3C, &(HEADER as u32).to_le_bytes());
    put(&mut bytes, HEADER, b"PE\0\0");
    put(&mut bytes, HEADER + 4, &0x8664_u16.to_le_bytes());
    put(&mut bytes, HEADER + 6, &4_u16.to_le_bytes()); // sections
    put(&mut bytes, HEADER + 20, &240_u16.to_le_bytes()); // the optional header's size
    let optional = |bytes: &mut [u8], at: usize, what: &[u8]| put(bytes, OPTIONAL + at, what);
    optional(&mut bytes, 0, &0x20B_u16.to_le_bytes());
    optional(&mut bytes, 16, &INIT.1.to_le_bytes());
    optional(&mut bytes, 24, &BASE.to_le_bytes());
    optional(&mut bytes, 68, &1_u16.to_le_bytes()); // native
    optional(&mut bytes, 70, &0x4160_u16.to_le_bytes());
    optional(&mut bytes, 108, &16_u32.to_le_bytes()); // directories
    for (number, at, len) in [(1, IMPORTS, 40), (6, DEBUG, 28), (10, 0, 0x140)] {
        let directory = 112 + 8 * number;
        optional(&mut bytes, directory, &(RDATA.1 + at as u32).to_le_bytes());
        optional(&mut bytes, directory + 4, &(len as u32).to_le_bytes());
    }
    let sections = [
        (".text", TEXT, 0x200, 0x6000_0020_u32),
        (".rdata", RDATA, 0x800, 0x4000_0040),
        (".data", DATA, 0x200, 0xC000_0040),
        ("INIT", INIT, 0x200, 0x6200_0020),
    ];
    for (index, (name, (file, memory), len, characteristics)) in sections.into_iter().enumerate() {
        let at = SECTIONS + 40 * index;
        put(&mut bytes, at, name.as_bytes());
        for (field, value) in [(8, len), (12, memory), (16, len), (20, file as u32), (36, characteristics)] {
            put(&mut bytes, at + field, &value.to_le_bytes());
        }
    }

    bytes[TEXT.0..TEXT.0 + 0x200].fill(0xCC);
    put(&mut bytes, TEXT.0, &[0xC3]);
    put(&mut bytes, TEXT.0 + 0x10, &[0xFF, 0xE0]); // jmp rax
    put(&mut bytes, TEXT.0 + 0x20, driver.code);
    bytes[INIT.0..INIT.0 + 0x200].fill(0xCC);
    put(&mut bytes, INIT.0, &[0x31, 0xC0, 0xC3]); // xor eax, eax; ret

    let rdata = |bytes: &mut [u8], at: usize, what: &[u8]| put(bytes, RDATA.0 + at, what);
    let address = |at: usize| (BASE + u64::from(RDATA.1) + at as u64).to_le_bytes();
    rdata(&mut bytes, 0, &0x140_u32.to_le_bytes());
    rdata(&mut bytes, 112, &address(POINTERS));
    rdata(&mut bytes, 120, &address(POINTERS + 8));
    rdata(&mut bytes, 128, &address(FUNCTIONS));
    rdata(&mut bytes, 136, &3_u64.to_le_bytes());
    rdata(&mut bytes, 144, &0x500_u32.to_le_bytes());
    for (index, function) in [0_u32, 0x10, 0x20].into_iter().enumerate() {
        let function = TEXT.1 + function;
        rdata(&mut bytes, FUNCTIONS + 4 * index, &function.to_le_bytes());
        if index < 2 {
            rdata(&mut bytes, POINTERS + 8 * index, &(BASE + u64::from(function)).to_le_bytes());
        }
    }

    let (thunks, mut names) = (IMPORTS + 0x40, IMPORTS + 0x100);
    let relative = |at: usize| (RDATA.1 + at as u32).to_le_bytes();
    rdata(&mut bytes, IMPORTS, &relative(thunks));
    rdata(&mut bytes, IMPORTS + 12, &relative(names));
    rdata(&mut bytes, IMPORTS + 16, &relative(thunks));
    rdata(&mut bytes, names, driver.module.as_bytes());
    for (index, name) in driver.imports.iter().enumerate() {
        names += 0x20;
        rdata(&mut bytes, thunks + 8 * index, &relative(names));
        rdata(&mut bytes, names + 2, name.as_bytes());
    }
    rdata(&mut bytes, DEBUG + 12, &2_u32.to_le_bytes()); // CodeView
    rdata(&mut bytes, DEBUG + 16, &36_u32.to_le_bytes());
    rdata(&mut bytes, DEBUG + 24, &((RDATA.0 + DEBUG + 28) as u32).to_le_bytes());
    rdata(&mut bytes, DEBUG + 28, b"RSDS");
    rdata(&mut bytes, DEBUG + 52, b"kp_echo.pdb\0");
    rdata(&mut bytes, STRINGS, driver.strings);
    seal(bytes)
}

/// Puts the right checksum in.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let (at, checksum) = image::checksum_of(&bytes).unwrap();
    put(&mut bytes, at, &checksum.to_le_bytes());
    bytes
}

/// A good driver with some bytes changed, and the checksum put right.
fn changed(at: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = build(&GOOD);
    put(&mut bytes, at, to);
    seal(bytes)
}

/// What the checks say to it.
fn refusal(bytes: &[u8]) -> String {
    pe::driver(bytes, Arch::X64).expect_err("a bad driver passed").to_string()
}

#[test]
fn a_good_driver_passes_every_check() {
    assert_eq!(pe::driver(&build(&GOOD), Arch::X64), Ok(()));
    let arm = changed(HEADER + 4, &0xAA64_u16.to_le_bytes());
    assert_eq!(pe::driver(&arm, Arch::Arm64), Ok(()));
}

#[test]
fn a_driver_that_ends_anywhere_is_refused() {
    let bytes = build(&GOOD);
    for len in 0..bytes.len() {
        assert!(pe::driver(&bytes[..len], Arch::X64).is_err(), "the first {len} bytes passed");
    }
    assert!(refusal(b"\x7fELF").starts_with("not a usable driver: "));
}

#[test]
fn no_byte_can_be_changed_unseen_and_none_stops_the_tool() {
    let good = build(&GOOD);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0xFF;
        assert!(pe::driver(&bytes, Arch::X64).is_err(), "byte {at:#x} changed unseen");
        // With the checksum put right it may be a driver still.
        if let (Ok((place, checksum)), 0) = (image::checksum_of(&bytes), at % 3) {
            put(&mut bytes, place, &checksum.to_le_bytes());
            let _ = pe::driver(&bytes, Arch::X64);
        }
    }
}

#[test]
fn a_driver_for_another_processor_or_subsystem_is_refused() {
    assert_eq!(
        pe::driver(&build(&GOOD), Arch::Arm64).unwrap_err().to_string(),
        "made for processor 0x8664: name the right one with --target"
    );
    assert_eq!(
        refusal(&changed(OPTIONAL + 68, &3_u16.to_le_bytes())),
        "made for subsystem 3, not for the kernel: link with /SUBSYSTEM:NATIVE"
    );
}

#[test]
fn a_driver_without_one_of_the_protections_is_refused() {
    for (flag, link) in [(0x100, "/NXCOMPAT"), (0x40, "/DYNAMICBASE"), (0x20, "/HIGHENTROPYVA"), (0x4000, "/GUARD:CF")]
    {
        let flags = 0x4160_u16 & !flag;
        assert_eq!(
            refusal(&changed(OPTIONAL + 70, &flags.to_le_bytes())),
            format!("Windows cannot protect it: link with {link}")
        );
    }
}

#[test]
fn a_section_both_writable_and_executable_is_refused() {
    assert_eq!(
        refusal(&changed(SECTIONS + 36, &0xE000_0020_u32.to_le_bytes())),
        "section .text is both writable and executable: keep code and data apart"
    );
}

#[test]
fn an_entry_point_outside_a_discardable_init_is_refused() {
    let rule = "it has to be in INIT, which is given back after it has run";
    let entry = |rva: u32| changed(OPTIONAL + 16, &rva.to_le_bytes());
    assert_eq!(refusal(&entry(TEXT.1)), format!("the entry point is in .text: {rule}"));
    assert_eq!(refusal(&entry(0)), format!("the entry point is in no section: {rule}"));
    let stays = changed(SECTIONS + 3 * 40 + 36, &0x6000_0020_u32.to_le_bytes());
    assert_eq!(refusal(&stays), format!("the entry point is in an INIT that stays: {rule}"));
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut bytes = build(&GOOD);
    bytes[DATA.0] = 1;
    let Err(Refusal::Checksum(stated, right)) = pe::driver(&bytes, Arch::X64) else { panic!("it passed") };
    assert_eq!(right, stated + 1);
    assert_eq!(
        refusal(&bytes),
        format!("checksum {stated:#x} where {right:#x} is right: link with /RELEASE, and change nothing after")
    );
}

#[test]
fn debug_information_in_the_driver_is_refused() {
    let rule = "in the driver: keep debug information in the PDB beside it";
    let symbols = changed(HEADER + 12, &0x1200_u32.to_le_bytes());
    assert_eq!(refusal(&symbols), format!("a symbol table {rule}"));
    let section = changed(SECTIONS + 2 * 40, b".debug_i");
    assert_eq!(refusal(&section), format!("section .debug_i {rule}"));
    let coff = changed(RDATA.0 + DEBUG + 12, &1_u32.to_le_bytes());
    assert_eq!(refusal(&coff), format!("debug information of type 1 {rule}"));
    let path = changed(RDATA.0 + DEBUG + 52, b"C:\\kp.pdb\0");
    assert_eq!(refusal(&path), format!("the path of a PDB on the machine that built it {rule}"));
}

#[test]
fn a_load_configuration_that_guards_nothing_is_refused() {
    let at = |offset: usize| RDATA.0 + offset;
    let data = BASE + u64::from(DATA.1);
    for (bytes, what) in [
        (changed(OPTIONAL + 112 + 8 * 10 + 4, &0_u32.to_le_bytes()), "no load configuration"),
        (changed(OPTIONAL + 112 + 8 * 10 + 4, &64_u32.to_le_bytes()), "the load configuration is too short"),
        (changed(at(0), &64_u32.to_le_bytes()), "the load configuration is too short"),
        (changed(at(144), &0x400_u32.to_le_bytes()), "its flags don't say that calls are checked"),
        (changed(at(112), &0_u64.to_le_bytes()), "the check's pointer points to no code"),
        (changed(at(120), &data.to_le_bytes()), "the check's pointer points to no code"),
        (changed(at(136), &0_u64.to_le_bytes()), "no table of functions"),
        (changed(at(136), &u64::MAX.to_le_bytes()), "no table of functions"),
        (
            changed(at(FUNCTIONS), &DATA.1.to_le_bytes()),
            "its table of functions lists what is no code, or is out of order",
        ),
        (
            changed(at(FUNCTIONS), &0x1030_u32.to_le_bytes()),
            "its table of functions lists what is no code, or is out of order",
        ),
        (changed(at(88), &(BASE + u64::from(RDATA.1)).to_le_bytes()), "its security cookie cannot be written"),
    ] {
        assert_eq!(
            refusal(&bytes),
            format!("Control Flow Guard: {what}: link kp-windows' load configuration with /GUARD:CF")
        );
    }
    assert_eq!(pe::driver(&changed(at(88), &data.to_le_bytes()), Arch::X64), Ok(()));
}

#[test]
fn a_function_of_another_module_is_refused() {
    let driver = Driver { module: "hal.dll", imports: &["KeStallExecutionProcessor"], ..GOOD };
    assert_eq!(
        refusal(&build(&driver)),
        "KeStallExecutionProcessor comes from hal.dll: a driver may use ntoskrnl.exe only"
    );
}

#[test]
fn a_driver_that_does_not_say_which_plugin_it_is_is_refused() {
    assert_eq!(
        Info::from_driver(&build(&GOOD)).unwrap_err().to_string(),
        "no .kp_info in the driver: kp-windows and cargo-kp aren't of one version"
    );
}

#[test]
fn a_function_that_the_table_lacks_is_refused() {
    let driver = Driver { imports: &["IoDeleteDevice", "PsLookupProcessByProcessId"], ..GOOD };
    assert_eq!(
        refusal(&build(&driver)),
        "PsLookupProcessByProcessId isn't in windows-imports.toml: add it there, with the Windows that it came with"
    );
}

#[test]
fn a_function_newer_than_the_oldest_windows_is_refused() {
    let text = "source = ''\nlooked-up = {}\nimports.ExAllocatePool2 = { since = '10 2004', page = '' }\n";
    let table = Table::parse(text).unwrap();
    let bytes = build(&Driver { imports: &["ExAllocatePool2"], ..GOOD });
    let file = PeFile64::parse(bytes.as_slice()).unwrap();
    assert_eq!(
        imports::known(&file, &table).unwrap_err().to_string(),
        "ExAllocatePool2 came with Windows 10 2004: for 10 1809 look it up with MmGetSystemRoutineAddress, and do without"
    );
    let older = Table::parse(&text.replace("10 2004", "10 1809")).unwrap();
    assert_eq!(imports::known(&file, &older), Ok(()));
}

#[test]
fn a_function_that_the_driver_s_processor_has_not_got_is_refused() {
    let text = "source = ''\nlooked-up = {}\nimports.KfLowerIrql = { since = '2000', page = '', only = 'aarch64' }\n";
    let bytes = build(&Driver { imports: &["KfLowerIrql"], ..GOOD });
    let file = PeFile64::parse(bytes.as_slice()).unwrap();
    assert_eq!(
        imports::known(&file, &Table::parse(text).unwrap()).unwrap_err().to_string(),
        "KfLowerIrql is exported on aarch64 only: look it up with MmGetSystemRoutineAddress, and do without"
    );
    assert_eq!(imports::known(&file, &Table::parse(&text.replace("aarch64", "x86_64")).unwrap()), Ok(()));
}

#[test]
fn a_name_that_is_looked_up_and_not_listed_is_refused() {
    for strings in [&b"ExAllocatePool2\0"[..], b"some other textExAllocatePool2\0"] {
        let bytes = build(&Driver { strings, ..GOOD });
        assert_eq!(
            refusal(&bytes),
            "ExAllocatePool2 is looked up, and isn't in windows-imports.toml: add it there, with its fallback"
        );
    }
}

#[test]
fn a_device_that_everybody_may_open_is_refused() {
    for (imports, lacks) in [
        (&["IoCreateDevice", "ZwSetSecurityObject"][..], "ObOpenObjectByPointer"),
        (&["IoCreateDevice", "ObOpenObjectByPointer"][..], "ZwSetSecurityObject"),
    ] {
        assert_eq!(
            refusal(&build(&Driver { imports, ..GOOD })),
            format!("it creates a device that everybody may open: close it to all but administrators with {lacks}")
        );
    }
    let attached = Driver { imports: &["IoCreateDevice", "IoAttachDeviceToDeviceStack"], ..GOOD };
    assert_eq!(pe::driver(&build(&attached), Arch::X64), Ok(()));
}

#[test]
fn an_instruction_on_registers_that_windows_does_not_save_is_refused() {
    let cases: [(&str, &[u8]); 5] = [
        ("vaddps", &[0xC5, 0xF4, 0x58, 0xC2]),
        ("vmovdqu64", &[0x62, 0xF1, 0xFE, 0x48, 0x6F, 0x07]),
        ("paddb", &[0x0F, 0xFC, 0xC1]),
        ("faddp", &[0xDE, 0xC1]),
        ("fld", &[0xD9, 0x07]),
    ];
    for (name, code) in cases {
        assert_eq!(
            refusal(&build(&Driver { code, ..GOOD })),
            format!("{name} at .text+0x20: Windows doesn't save those registers; build without target features")
        );
    }
}

#[test]
fn the_table_has_what_the_port_names_and_nothing_else() {
    let port = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-windows/src");
    let mut files = vec![port];
    // What compilers name.
    let (mut imports, mut looked_up) = (BTreeSet::from(["__C_specific_handler".to_owned()]), BTreeSet::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if path.ends_with("nt/imports.rs") {
            let lines = text.lines().filter(|line| line.starts_with("    pub(crate)"));
            imports.extend(lines.filter_map(|line| Some(line.split_once(" fn ")?.1.split('(').next()?.to_owned())));
        }
        // Kernel functions are the only C strings of letters alone.
        let strings = text.split("(c\"").skip(1).filter_map(|rest| rest.split('"').next());
        let names =
            strings.filter(|text| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric()));
        looked_up.extend(names.map(str::to_owned));
    }
    let table = Table::shipped();
    assert_eq!(table.imports.keys().cloned().collect::<BTreeSet<_>>(), imports);
    assert_eq!(table.looked_up.keys().cloned().collect::<BTreeSet<_>>(), looked_up);
    assert!(imports.len() > 20 && looked_up.len() > 3, "{imports:?} {looked_up:?}");
}

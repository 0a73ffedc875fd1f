//! What pelite, a reader that is not ours, makes of a driver's file: every table is whole, and nothing is in it that does not belong there.
use super::{alone, build};
use cargo_kp::build::pe::imports::Table;
use cargo_kp::build::{Arch, Signer};
use pelite::image::*;
use pelite::pe64::{Pe, PeFile, headers::SectionHeader, imports::Import};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
#[ignore = "needs Debian's compiler; run by `cargo kp test`"]
fn another_reader_finds_every_table_of_a_driver_whole_and_nothing_else_in_it() {
    let _alone = alone();
    for arch in Arch::ALL {
        let driver = build("edu", arch, &Signer::default()).unwrap();
        let bytes = std::fs::read(&driver).unwrap();
        let file = PeFile::from_bytes(&bytes).unwrap();
        headers(file, bytes.len());
        directories(file);
        relocations(file);
        imports(file);
        file.resources().unwrap().fsck().unwrap();
        symbols(file, &driver);
        if arch == Arch::X64 {
            unwinding(file);
        }
    }
}

fn headers(file: PeFile<'_>, len: usize) {
    let (header, optional) = (file.file_header(), file.optional_header());
    assert_eq!(file.headers().check_sum(), optional.CheckSum, "Windows loads no driver with another one");
    assert_eq!(optional.Subsystem, IMAGE_SUBSYSTEM_NATIVE);
    assert_eq!(
        header.Characteristics & !IMAGE_FILE_LARGE_ADDRESS_AWARE,
        IMAGE_FILE_EXECUTABLE_IMAGE,
        "no library, with relocations, without symbols of its own"
    );
    assert_eq!((optional.SectionAlignment, optional.FileAlignment), (0x1000, 0x200));
    assert_eq!((optional.Win32VersionValue, optional.LoaderFlags, optional.NumberOfRvaAndSizes), (0, 0, 16));
    // Sections follow each other without a hole, in memory and in the file, and the last one ends both.
    let up = |value: u32, to: u32| value.next_multiple_of(to);
    let mut memory = up(optional.SizeOfHeaders, 0x1000);
    let mut place = optional.SizeOfHeaders;
    for section in file.section_headers() {
        let name = section.name().unwrap();
        assert_eq!(section.VirtualAddress, memory, "{name}");
        assert!(
            section.VirtualSize > 0 && section.PointerToRelocations == 0 && section.NumberOfLinenumbers == 0,
            "{name}"
        );
        if section.SizeOfRawData > 0 {
            assert_eq!(section.PointerToRawData, place, "{name}");
            place += section.SizeOfRawData;
        }
        let both = IMAGE_SCN_MEM_WRITE | IMAGE_SCN_MEM_EXECUTE;
        assert_ne!(section.Characteristics & both, both, "{name}");
        memory += up(section.VirtualSize, 0x1000);
    }
    assert_eq!((optional.SizeOfImage, place as usize), (memory, len));
}

/// What is there is what a driver needs; what is not was not asked for.
fn directories(file: PeFile<'_>) {
    let wanted = [
        IMAGE_DIRECTORY_ENTRY_IMPORT,
        IMAGE_DIRECTORY_ENTRY_RESOURCE,
        IMAGE_DIRECTORY_ENTRY_EXCEPTION,
        IMAGE_DIRECTORY_ENTRY_BASERELOC,
        IMAGE_DIRECTORY_ENTRY_DEBUG,
        IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG,
        IMAGE_DIRECTORY_ENTRY_IAT,
    ];
    let found: Vec<usize> =
        file.data_directory().iter().enumerate().filter(|(_, entry)| entry.Size > 0).map(|(at, _)| at).collect();
    assert_eq!(found, wanted);
    for entry in file.data_directory().iter().filter(|entry| entry.Size > 0) {
        let range = entry.VirtualAddress..entry.VirtualAddress + entry.Size;
        let holds = |section: &SectionHeader| {
            let has = section.virtual_range();
            has.start <= range.start && range.end <= has.end
        };
        assert!(file.section_headers().iter().any(holds), "{range:x?} is in no section");
    }
}

/// Each one is of a pointer, to something in the image, and in no code that is shared.
fn relocations(file: PeFile<'_>) {
    let base = file.optional_header().ImageBase;
    let image = base..base + u64::from(file.optional_header().SizeOfImage);
    let mut places = BTreeSet::new();
    for block in file.base_relocs().unwrap().iter_blocks() {
        assert_eq!(block.image().VirtualAddress % 0x1000, 0);
        for word in block.words() {
            match block.type_of(word) {
                IMAGE_REL_BASED_ABSOLUTE => continue, // fills up the block
                kind => assert_eq!(kind, IMAGE_REL_BASED_DIR64),
            }
            let rva = block.rva_of(word);
            assert!(places.insert(rva), "{rva:#x} twice");
            let pointer = file.derva_copy::<u64>(rva).unwrap();
            assert!(image.contains(&pointer), "{rva:#x} has {pointer:#x}");
            let section = file.section_headers().by_rva(rva).unwrap();
            assert_eq!(section.Characteristics & IMAGE_SCN_MEM_EXECUTE, 0, "{rva:#x}");
        }
    }
    assert!(!places.is_empty(), "it can lie anywhere");
}

/// From the kernel alone, each function once, by a name of the list.
fn imports(file: PeFile<'_>) {
    let known = Table::shipped();
    let mut names = BTreeSet::new();
    for module in file.imports().unwrap() {
        assert_eq!(module.dll_name().unwrap(), "ntoskrnl.exe");
        for import in module.int().unwrap() {
            let Import::ByName { name, .. } = import.unwrap() else { panic!("by number") };
            let name = name.to_str().unwrap().to_owned();
            assert!(known.imports.contains_key(&name), "{name}");
            assert!(names.insert(name));
        }
        assert_eq!(module.iat().unwrap().count(), module.int().unwrap().count());
    }
    assert!(names.contains("IoCreateDevice"));
}

/// The PDB beside the driver is the one that it names.
fn symbols(file: PeFile<'_>, driver: &Path) {
    let debug = file.debug().unwrap();
    assert_eq!(debug.pdb_file_name().unwrap(), "kp_edu.pdb");
    assert!(driver.with_file_name("kp_edu.pdb").is_file());
}

/// Each function has its way out, in order, and its code is code.
fn unwinding(file: PeFile<'_>) {
    let table = file.exception().unwrap();
    assert!(table.check_sorted());
    let mut functions = 0;
    for function in table.functions() {
        let section = file.section_headers().by_rva(function.image().BeginAddress).unwrap();
        assert_ne!(section.Characteristics & IMAGE_SCN_MEM_EXECUTE, 0);
        let info = function.unwind_info().unwrap();
        assert!((1..=2).contains(&info.version()) && !function.bytes().unwrap().is_empty());
        functions += 1;
    }
    assert!(functions > 100, "{functions}");
}

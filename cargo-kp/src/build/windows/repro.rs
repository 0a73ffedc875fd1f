//! The same driver from the same source. The linker names driver and symbols by a hash that has the paths of its temporary files in
//! it; here they are named by the driver's own bytes.
use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::pe;
use object::pod::slice_from_bytes;
use object::read::pe::PeFile64;
use std::ops::Range;

use crate::build::pe::image::checksum_of;

/// Where the header has its date, from its beginning.
const DATE: usize = 8;
/// The identity of the symbols in the record that names them: after `RSDS`.
const IDENTITY: Range<usize> = 4..20;

/// Gives a driver, and its symbols with it, a date and an identity that follow from its other bytes, and the checksum for them.
///
/// # Errors
/// A driver that names no symbols, or symbols of another driver.
pub fn seal(driver: &mut [u8], symbols: &mut [u8]) -> Result<()> {
    let places = places(driver)?;
    let old = driver[places.identity.clone()].to_vec();
    let (checksum, _) = checksum_of(driver)?;
    for place in places.dates.iter().cloned().chain([places.identity.clone(), checksum..checksum + 4]) {
        driver[place].fill(0);
    }
    let identity = [fnv(driver, 1).to_le_bytes(), fnv(driver, 2).to_le_bytes()].concat();
    for place in places.dates {
        driver[place].copy_from_slice(&identity[..4]);
    }
    driver[places.identity].copy_from_slice(&identity);
    let (_, sum) = checksum_of(driver)?;
    driver[checksum..checksum + 4].copy_from_slice(&sum.to_le_bytes());

    let mut renamed = false;
    for at in 0..=symbols.len().saturating_sub(old.len()) {
        if symbols[at..].starts_with(&old) {
            symbols[at..at + old.len()].copy_from_slice(&identity);
            renamed = true;
        }
    }
    if !renamed {
        bail!("the symbols belong to another driver: remove the folder of target/kp/build, and build again");
    }
    Ok(())
}

/// What a driver is named by, as places in the file.
struct Places {
    dates: Vec<Range<usize>>,
    identity: Range<usize>,
}

fn places(driver: &[u8]) -> Result<Places> {
    let file = PeFile64::parse(driver)?;
    let header = file.dos_header().nt_headers_offset() as usize + DATE;
    let directory = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG).context("the driver names no symbols")?;
    let sections = file.section_table();
    let data = directory.data(driver, &sections)?;
    let count = data.len() / size_of::<pe::ImageDebugDirectory>();
    let (entries, _) =
        slice_from_bytes::<pe::ImageDebugDirectory>(data, count).ok().context("the debug directory is cut")?;
    let (mut dates, mut identity) = (Vec::new(), None);
    dates.push(header..header + 4);
    let start = directory.file_range(&sections)?.0 as usize;
    for (index, entry) in entries.iter().enumerate() {
        let date = start + index * size_of::<pe::ImageDebugDirectory>() + 4;
        dates.push(date..date + 4);
        if entry.typ.get(LE) == pe::IMAGE_DEBUG_TYPE_CODEVIEW {
            let record = entry.pointer_to_raw_data.get(LE) as usize;
            identity = Some(record + IDENTITY.start..record + IDENTITY.end);
        }
    }
    let identity = identity.filter(|place| place.end <= driver.len()).context("the driver names no symbols")?;
    Ok(Places { dates, identity })
}

/// FNV-1a, 64 bits, after a first byte.
pub(crate) fn fnv(bytes: &[u8], first: u8) -> u64 {
    std::iter::once(&first)
        .chain(bytes)
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that is a driver with symbols: a header, and a section with a debug directory of one entry.
    fn driver(date: u32, identity: [u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, b"MZ");
        put(0x3C, &[0x40]);
        put(0x40, b"PE\0\0\x64\x86\x01");
        put(0x48, &date.to_le_bytes());
        put(0x54, &[0xF0]); // the optional header's size
        put(0x58, &[0x0B, 0x02]);
        put(0x58 + 108, &[16]); // directories, of which the seventh is the debug directory
        put(0x58 + 112 + 48, &[0, 0x10, 0, 0, 28]);
        put(0x148 + 8, &[0, 2, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 2]);
        put(0x204, &date.to_le_bytes());
        put(0x20C, &[2, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0x40, 2]);
        put(0x240, b"RSDS");
        put(0x244, &identity);
        bytes
    }

    #[test]
    fn dates_and_identities_follow_from_the_rest_and_the_symbols_follow_too() {
        let sealed = |date: u32, identity: [u8; 16]| {
            let (mut driver, mut symbols) =
                (driver(date, identity), [b"before".as_slice(), &identity, b"after"].concat());
            seal(&mut driver, &mut symbols).unwrap();
            (driver, symbols)
        };
        let (one, symbols) = sealed(1, [1; 16]);
        assert_eq!((&one, &symbols), (&sealed(2, [2; 16]).0, &sealed(2, [2; 16]).1));
        assert_eq!(symbols[6..22], one[0x244..0x254]);
        assert_eq!(one[0x48..0x4C], one[0x204..0x208]);
        let (at, checksum) = checksum_of(&one).unwrap();
        assert_eq!(one[at..at + 4], checksum.to_le_bytes());
        let mut other = driver(1, [1; 16]);
        other[0x300] = 1;
        seal(&mut other, &mut [[1; 16]; 2].concat()).unwrap();
        assert_ne!(other[0x244..0x254], one[0x244..0x254]);
    }

    #[test]
    fn symbols_of_another_driver_are_refused() {
        let error = seal(&mut driver(1, [1; 16]), &mut [2; 64]).unwrap_err().to_string();
        assert!(error.starts_with("the symbols belong to another driver: "), "{error}");
        assert!(seal(&mut b"MZ".to_vec(), &mut [0; 64]).is_err());
    }
}

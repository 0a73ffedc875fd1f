//! Control Flow Guard: the load configuration, as the kernel reads it. Its layout is in Microsoft's "PE Format", "The Load
//! Configuration Structure".
use object::LittleEndian as LE;
use object::pe;
use object::pod::from_bytes;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};

use super::Refusal;
use super::image::has;

/// The flags that have to be set: calls are checked, and there is a table of what may be called.
const FLAGS: u32 = pe::IMAGE_GUARD_CF_INSTRUMENTED | pe::IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT;
/// The flags' highest four bits: bytes of each entry of the table after its address.
const EXTRA: u32 = 28;

/// Refuses a driver whose load configuration is missing, or points to what it cannot mean.
///
/// # Errors
/// [`Refusal::Guard`], [`Refusal::Malformed`].
pub fn tables(file: &PeFile64<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    let sections = file.section_table();
    let base = file.nt_headers().optional_header().image_base();
    let directory = file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG);
    let directory = directory.filter(|directory| directory.size.get(LE) != 0);
    let data = directory.ok_or(Refusal::Guard("no load configuration"))?.data(bytes, &sections)?;
    let short = Refusal::Guard("the load configuration is too short");
    let (config, _) = from_bytes::<pe::ImageLoadConfigDirectory64>(data).map_err(|()| short.clone())?;
    if (config.size.get(LE) as usize) > data.len() || (config.size.get(LE) as usize) < 148 {
        return Err(short);
    }
    if config.guard_flags.get(LE) & FLAGS != FLAGS {
        return Err(Refusal::Guard("its flags don't say that calls are checked"));
    }

    let relative = |address: u64| address.checked_sub(base).and_then(|rva| u32::try_from(rva).ok());
    let is_code = |rva: u32| {
        let section = sections.section_containing(rva);
        section.is_some_and(|section| has(section, pe::IMAGE_SCN_MEM_EXECUTE))
    };
    // The kernel writes its own check there while it loads the driver; until then it is the driver's, which does nothing.
    let pointer = |place: u64| {
        let rva = relative(place).filter(|&rva| !is_code(rva))?;
        let target = sections.pe_data_at(bytes, rva)?.get(..8)?.try_into().ok().map(u64::from_le_bytes)?;
        relative(target).filter(|&rva| is_code(rva))
    };
    for place in [&config.guard_cf_check_function_pointer, &config.guard_cf_dispatch_function_pointer] {
        pointer(place.get(LE)).ok_or(Refusal::Guard("the check's pointer points to no code"))?;
    }

    let (table, count) = (config.guard_cf_function_table.get(LE), config.guard_cf_function_count.get(LE));
    let entry = 4 + (config.guard_flags.get(LE) >> EXTRA) as usize;
    let listed = relative(table).and_then(|rva| sections.pe_data_at(bytes, rva)).unwrap_or_default();
    let listed = usize::try_from(count).ok().and_then(|count| listed.get(..count.checked_mul(entry)?));
    let listed = listed.filter(|listed| !listed.is_empty()).ok_or(Refusal::Guard("no table of functions"))?;
    let addresses: Vec<u32> =
        listed.chunks_exact(entry).map(|entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]])).collect();
    if !addresses.is_sorted() || !addresses.iter().all(|&rva| is_code(rva)) {
        return Err(Refusal::Guard("its table of functions lists what is no code, or is out of order"));
    }
    let cookie = config.security_cookie.get(LE);
    let writable =
        |rva: u32| sections.section_containing(rva).is_some_and(|section| has(section, pe::IMAGE_SCN_MEM_WRITE));
    if cookie != 0 && !relative(cookie).is_some_and(writable) {
        return Err(Refusal::Guard("its security cookie cannot be written"));
    }
    Ok(())
}

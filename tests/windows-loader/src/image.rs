//! A .sys in memory: sections mapped as the file asks for, relocated, its imports bound to the simulated kernel.
use crate::space::{PAGE, Protection, Space};
use object::{
    LittleEndian as LE,
    pe::{
        IMAGE_DIRECTORY_ENTRY_EXCEPTION, IMAGE_FILE_MACHINE_AMD64, IMAGE_REL_BASED_ABSOLUTE, IMAGE_REL_BASED_DIR64,
        IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, ImageNtHeaders64,
    },
    read::pe::{ImageNtHeaders, ImageThunkData, PeFile64},
};
use std::{fs, path::Path, ptr};

/// A driver's image.
pub(crate) struct Image {
    /// Its file's name, for messages.
    pub(crate) name: String,
    pub(crate) base: usize,
    pub(crate) len: usize,
    /// Address of its entry point.
    pub(crate) entry: usize,
    /// One entry for each function with a frame: start, end and unwind information, relative to the base.
    functions: Vec<[u32; 3]>,
}

impl Image {
    /// Maps a file. `import` gives the address of a kernel function, or refuses.
    ///
    /// # Errors
    /// What is wrong with the file, in one line.
    pub(crate) fn load(
        path: &Path,
        space: &Space,
        import: &mut dyn FnMut(&str) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let data = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        map(&data, name, space, import).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Is this address in it?
    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.base..self.base + self.len).contains(&address)
    }

    /// Start and unwind information, relative to the base, of the function that this address is in. None: a leaf function, or no code.
    pub(crate) fn function(&self, address: usize) -> Option<(u32, u32)> {
        let at = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let index = self.functions.partition_point(|[start, ..]| *start <= at).checked_sub(1)?;
        let [start, end, unwind] = self.functions[index];
        (at < end).then_some((start, unwind))
    }

    /// Bytes of the image.
    ///
    /// # Panics
    /// If they are not all in it.
    pub(crate) fn bytes(&self, at: u32, len: usize) -> &[u8] {
        assert!(at as usize + len <= self.len, "{}: unwind information outside of the image", self.name);
        // SAFETY: inside the image, which stays mapped and readable as long as this; unwind information is never written.
        unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance(self.base + at as usize), len) }
    }
}

fn map(
    data: &[u8],
    name: String,
    space: &Space,
    import: &mut dyn FnMut(&str) -> Result<usize, String>,
) -> Result<Image, String> {
    let text = |error: object::read::Error| error.to_string();
    let file = PeFile64::parse(data).map_err(text)?;
    let headers = file.nt_headers();
    let machine = headers.file_header().machine.get(LE);
    if machine != IMAGE_FILE_MACHINE_AMD64 {
        return Err(format!(
            "it is for another processor, {machine:#x}; this one runs drivers for x64, `--target windows`"
        ));
    }
    let optional = headers.optional_header();
    let len = optional.size_of_image.get(LE) as usize;
    let base = space.take(len, Protection::ReadWrite);
    let put = |at: usize, bytes: &[u8]| -> Result<(), String> {
        if at.checked_add(bytes.len()).is_none_or(|end| end > len) {
            return Err("a part of it lies outside of its image".into());
        }
        // SAFETY: inside the pages taken above, which nobody else knows yet.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::with_exposed_provenance_mut(base + at), bytes.len()) };
        Ok(())
    };
    put(0, &data[..(optional.size_of_headers.get(LE) as usize).min(data.len())])?;
    for section in file.section_table().iter() {
        put(section.virtual_address.get(LE) as usize, section.pe_data(data).map_err(text)?)?;
    }
    relocate(&file, data, base, len)?;
    bind(&file, base, len, import)?;
    let functions = functions(&file, data)?;
    for section in file.section_table().iter() {
        let bits = section.characteristics.get(LE);
        let (start, size) = (section.virtual_address.get(LE) as usize, section.virtual_size.get(LE) as usize);
        let protection = match (bits & IMAGE_SCN_MEM_WRITE != 0, bits & IMAGE_SCN_MEM_EXECUTE != 0) {
            (true, true) => return Err("a section is writable and executable".into()),
            (true, false) => Protection::ReadWrite,
            (false, true) => Protection::ReadExecute,
            (false, false) => Protection::Read,
        };
        space.protect(base + start, size.next_multiple_of(PAGE), protection);
    }
    space.protect(base, PAGE, Protection::Read);
    let entry = base + optional.address_of_entry_point.get(LE) as usize;
    Ok(Image { name, base, len, entry, functions })
}

/// Moves addresses from where the linker has put the image to where it is.
fn relocate(file: &PeFile64<'_>, data: &[u8], base: usize, len: usize) -> Result<(), String> {
    let delta = (base as u64).wrapping_sub(file.nt_headers().optional_header().image_base.get(LE));
    let directories = file.data_directories();
    let blocks = directories.relocation_blocks(data, &file.section_table()).map_err(|error| error.to_string())?;
    let Some(mut blocks) = blocks else { return Err("it has no relocations".into()) };
    while let Some(block) = blocks.next().map_err(|error| error.to_string())? {
        for relocation in block {
            match relocation.typ {
                IMAGE_REL_BASED_ABSOLUTE => {}
                IMAGE_REL_BASED_DIR64 if (relocation.virtual_address as usize) < len - 7 => {
                    let place = ptr::with_exposed_provenance_mut::<u64>(base + relocation.virtual_address as usize);
                    // SAFETY: eight bytes inside the image, which is still writable and nobody else's.
                    unsafe { place.write_unaligned(place.read_unaligned().wrapping_add(delta)) };
                }
                kind => return Err(format!("it has a relocation of kind {kind}, or one outside of its image")),
            }
        }
    }
    Ok(())
}

fn bind(
    file: &PeFile64<'_>,
    base: usize,
    len: usize,
    import: &mut dyn FnMut(&str) -> Result<usize, String>,
) -> Result<(), String> {
    let text = |error: object::read::Error| error.to_string();
    let Some(table) = file.import_table().map_err(text)? else { return Err("it imports nothing".into()) };
    let mut descriptors = table.descriptors().map_err(text)?;
    while let Some(descriptor) = descriptors.next().map_err(text)? {
        let module = table.name(descriptor.name.get(LE)).map_err(text)?;
        if !module.eq_ignore_ascii_case(b"ntoskrnl.exe") {
            return Err(format!("it imports from {}", String::from_utf8_lossy(module)));
        }
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE)).map_err(text)?;
        let mut slot = descriptor.first_thunk.get(LE) as usize;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>().map_err(text)? {
            if thunk.is_ordinal() {
                return Err("it imports by number".into());
            }
            let (_, name) = table.hint_name(thunk.address()).map_err(text)?;
            let address = import(&String::from_utf8_lossy(name))?;
            if slot > len - 8 {
                return Err("its import table lies outside of its image".into());
            }
            // SAFETY: eight bytes inside the image, which is still writable and nobody else's.
            unsafe { ptr::with_exposed_provenance_mut::<usize>(base + slot).write_unaligned(address) };
            slot += 8;
        }
    }
    Ok(())
}

/// Each function with a frame: start, end and unwind information.
pub(crate) fn functions(file: &PeFile64<'_>, data: &[u8]) -> Result<Vec<[u32; 3]>, String> {
    let Some(directory) = file.data_directories().get(IMAGE_DIRECTORY_ENTRY_EXCEPTION) else { return Ok(Vec::new()) };
    let bytes = directory.data(data, &file.section_table()).map_err(|error| error.to_string())?;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let mut functions: Vec<[u32; 3]> =
        bytes.chunks_exact(12).map(|entry| [word(entry, 0), word(entry, 4), word(entry, 8)]).collect();
    functions.retain(|[start, ..]| *start != 0);
    functions.sort_unstable();
    Ok(functions)
}

//! The version resource of a driver, as a resource file that the linker takes: what Explorer, debuggers and crash reports read.
//! Microsoft's pages: "Resource File Formats", "VS_VERSIONINFO structure" and those that it leads to.
use super::Product;

/// What the header of a resource names by a number in place of a text.
const ORDINAL: u16 = 0xFFFF;
const RT_VERSION: u16 = 16;
/// VS_VERSION_INFO, the name that there can be one of.
const NAME: u16 = 1;
const MOVEABLE_PURE: u16 = 0x30;
/// English (United States); text in UTF-16.
const LANGUAGE: u16 = 0x0409;
const CODE_PAGE: u16 = 1200;
const HEADER: u32 = 32;

const SIGNATURE: u32 = 0xFEEF_04BD;
const STRUCTURE_VERSION: u32 = 0x0001_0000;
const ALL_FLAGS: u32 = 0x3F;
const VOS_NT_WINDOWS32: u32 = 0x0004_0004;
const VFT_DRV: u32 = 3;
const VFT2_DRV_SYSTEM: u32 = 7;

/// The file: an empty resource, by which a linker knows the format, and the version.
pub fn resource(product: &Product) -> Vec<u8> {
    let mut file = entry([0, 0], [0; 2], &[]);
    file.extend(entry([RT_VERSION, NAME], [MOVEABLE_PURE, LANGUAGE], &information(product)));
    file
}

/// One resource: its type and name, its memory flags and language, and its bytes.
fn entry(named: [u16; 2], [flags, language]: [u16; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = [(data.len() as u32).to_le_bytes(), HEADER.to_le_bytes()].concat();
    let rest = [ORDINAL, named[0], ORDINAL, named[1], 0, 0, flags, language, 0, 0, 0, 0];
    bytes.extend(rest.into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(data);
    pad(&mut bytes);
    bytes
}

/// VS_VERSIONINFO.
fn information(product: &Product) -> Vec<u8> {
    let file = format!("{}.sys", product.name);
    let version = product.version();
    let texts = [
        ("CompanyName", product.provider.as_str()),
        ("FileDescription", &product.description),
        ("FileVersion", &version),
        ("InternalName", &product.name),
        ("LegalCopyright", product.copyright.as_deref().unwrap_or_default()),
        ("OriginalFilename", &file),
        ("ProductName", &product.name),
        ("ProductVersion", &version),
    ];
    let texts = texts.iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| string(key, text));
    let table = node(&format!("{LANGUAGE:04X}{CODE_PAGE:04X}"), Value::None, texts);
    let translation = [LANGUAGE, CODE_PAGE].map(u16::to_le_bytes).concat();
    let children = [
        node("StringFileInfo", Value::None, [table]),
        node("VarFileInfo", Value::None, [node("Translation", Value::Bytes(translation), [])]),
    ];
    node("VS_VERSION_INFO", Value::Bytes(fixed(product.version)), children)
}

/// VS_FIXEDFILEINFO. No date: the driver's own is a hash too.
fn fixed([a, b, c, d]: [u16; 4]) -> Vec<u8> {
    let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    let version = [pair(a, b), pair(c, d)];
    let kind = [ALL_FLAGS, 0, VOS_NT_WINDOWS32, VFT_DRV, VFT2_DRV_SYSTEM, 0, 0];
    let words = [&[SIGNATURE, STRUCTURE_VERSION][..], &version, &version, &kind].concat();
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// What a block says, before those inside it.
enum Value {
    None,
    Bytes(Vec<u8>),
    /// With a zero at its end. Its length is counted in characters.
    Text(Vec<u16>),
}

fn string(key: &str, text: &str) -> Vec<u8> {
    node(key, Value::Text(text.encode_utf16().chain([0]).collect()), [])
}

/// A block: its length, its value's length, whether that is text, its key, its value, and those inside it, each at a multiple of four.
fn node(key: &str, value: Value, children: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let (length, is_text, value) = match value {
        Value::None => (0, 1, vec![]),
        Value::Bytes(bytes) => (bytes.len(), 0, bytes),
        Value::Text(units) => (units.len(), 1, units.into_iter().flat_map(u16::to_le_bytes).collect()),
    };
    let mut bytes: Vec<u8> = [0, length as u16, is_text].into_iter().flat_map(u16::to_le_bytes).collect();
    bytes.extend(key.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    for part in [value].into_iter().chain(children).filter(|part| !part.is_empty()) {
        pad(&mut bytes);
        bytes.extend(part);
    }
    let length = bytes.len() as u16;
    bytes[..2].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Up to a multiple of four.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_product_there_can_be_fits_the_lengths_of_sixteen_bits() {
        let authors = vec!["\u{1F980}".repeat(127); 20];
        let product = Product::new(&"x".repeat(251), &authors, &"y".repeat(300), "1.2.3", 0).unwrap();
        let file = resource(&product);
        let length = u32::from_le_bytes(file[32..36].try_into().unwrap());
        assert_eq!(file.len() as u32, 64 + length.next_multiple_of(4));
        let inside = u16::from_le_bytes(file[64..66].try_into().unwrap());
        assert_eq!(u32::from(inside), length, "the lengths are cut");
    }
}

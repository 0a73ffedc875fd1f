//! A register as a file says it, before anything of it has been looked at.
use super::{Access, Field, Register, register_name};

/// The most items of an array.
const MOST: u64 = 65_536;

/// What a file says of one BAR, or of a block of registers whose BAR it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The block's name in the file.
    pub name: String,
    /// Its BAR, if the file says that.
    pub bar: Option<usize>,
    /// Its registers.
    pub registers: Vec<Raw>,
}

/// One register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its name in the file.
    pub name: String,
    /// Where it is in its block, in bytes.
    pub offset: u64,
    /// Its width.
    pub bits: u64,
    /// What software may do with it.
    pub access: Access,
    /// Groups of its bits.
    pub fields: Vec<Field>,
    /// What it reads after power-on.
    pub reset: u64,
    /// Whether writing a one clears that bit.
    pub one_clears: bool,
    /// How many there are.
    pub count: u64,
    /// From one to the next, in bytes; without it they are one behind the other.
    pub stride: Option<u64>,
    /// What the file says of it.
    pub doc: String,
    /// Its line in the file.
    pub line: u64,
}

/// Where a group of registers begins, in a file that has such.
#[cfg(feature = "readers")]
#[derive(Debug, Clone, Default)]
pub struct At {
    /// What stands before its registers' names.
    pub prefix: String,
    /// Where it is in its block, in bytes.
    pub offset: u64,
    /// How many there are, and from one to the next.
    pub items: Option<(u64, u64)>,
}

impl Raw {
    /// The register, if it can be one: some bytes further on, and with something before its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn register(self, offset: u64, prefix: &str) -> Result<Register, String> {
        let Raw { bits, reset, count, stride, line, access, one_clears, .. } = self;
        let listed = format!("{prefix}{}", self.name.trim());
        let name = register_name(&listed).ok_or("a register without a name: letters, digits and `_`")?;
        let bits = match bits {
            8 | 16 | 32 | 64 => bits as u32,
            bits => return Err(format!("Size of {name} is {bits}: 8, 16, 32 or 64 bits")),
        };
        if bits < 64 && reset >> bits != 0 {
            return Err(format!("Reset of {name} is {reset:#x}, more than its {bits} bits"));
        }
        let count = match count {
            1 => None,
            2..=MOST => Some(count),
            count => return Err(format!("Count of {name} is {count}: 1 to {MOST}")),
        };
        let bytes = u64::from(bits / 8);
        let stride = match stride.filter(|stride| count.is_some() && *stride != bytes) {
            Some(stride) if stride < bytes || !stride.is_multiple_of(bytes) => {
                return Err(format!("Stride of {name} is {stride}: a multiple of its {bytes} bytes"));
            }
            stride => stride,
        };
        Ok(Register {
            offset: self.offset.checked_add(offset).ok_or_else(|| format!("Offset of {name} has more than 64 bits"))?,
            doc: self.doc.split_whitespace().collect::<Vec<_>>().join(" "),
            fields: self.fields,
            name,
            listed,
            bits,
            access,
            reset,
            one_clears,
            count,
            stride,
            line,
        })
    }
}

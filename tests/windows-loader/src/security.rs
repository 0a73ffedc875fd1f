//! Who may open what: access control lists as drivers set them, and the check at each open.
use crate::rule::{Broken, Rule};
use std::ptr;

/// Access to a file or device.
pub mod access {
    /// FILE_READ_DATA.
    pub const READ: u32 = 1;
    /// FILE_WRITE_DATA.
    pub const WRITE: u32 = 2;
    /// FILE_ALL_ACCESS.
    pub const ALL: u32 = 0x001F_01FF;
    /// GENERIC_ALL.
    pub(super) const GENERIC_ALL: u32 = 0x1000_0000;
    /// GENERIC_WRITE.
    pub(super) const GENERIC_WRITE: u32 = 0x4000_0000;
    /// GENERIC_READ.
    pub(super) const GENERIC_READ: u32 = 0x8000_0000;
}

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The system itself.
    System,
    /// An administrator, elevated.
    Administrator,
    /// Anybody else.
    User,
}

impl Token {
    fn accounts(self) -> &'static [&'static str] {
        match self {
            Token::System => &["S-1-5-18", "S-1-5-32-544", "S-1-1-0"],
            Token::Administrator => &["S-1-5-32-544", "S-1-1-0"],
            Token::User => &["S-1-5-32-545", "S-1-1-0"],
        }
    }

    /// The address by which the kernel's functions know it.
    pub(crate) fn address(self) -> usize {
        (&raw const TOKENS[self as usize]).expose_provenance()
    }

    /// The one at an address.
    pub(crate) fn at(address: usize) -> Option<Self> {
        TOKENS.iter().copied().find(|token| token.address() == address)
    }

    /// Does it belong to the administrators?
    pub(crate) fn is_admin(self) -> bool {
        self.accounts().contains(&"S-1-5-32-544")
    }
}

static TOKENS: [Token; 3] = [Token::System, Token::Administrator, Token::User];

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// It allows, or it denies.
    pub allows: bool,
    /// Which access.
    pub mask: u32,
    /// To whom, as `S-1-…`.
    pub account: String,
}

/// A discretionary access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dacl {
    /// It inherits nothing.
    pub is_protected: bool,
    /// In their order.
    pub entries: Vec<Entry>,
}

/// What a device without a list of its own grants to everybody.
const DEFAULT: u32 = access::READ | access::WRITE;

/// May `token` open something for `wanted`?
pub(crate) fn allows(dacl: Option<&Dacl>, token: Token, wanted: u32) -> bool {
    let Some(dacl) = dacl else { return token != Token::User || wanted & !DEFAULT == 0 };
    let mut missing = wanted;
    for entry in dacl.entries.iter().filter(|entry| token.accounts().contains(&entry.account.as_str())) {
        let mask = specific(entry.mask);
        if !entry.allows && mask & missing != 0 {
            return false;
        }
        missing &= !mask;
    }
    missing == 0
}

fn specific(mask: u32) -> u32 {
    let mut all = mask;
    if mask & access::GENERIC_ALL != 0 {
        all |= access::ALL;
    }
    if mask & access::GENERIC_READ != 0 {
        all |= access::READ;
    }
    if mask & access::GENERIC_WRITE != 0 {
        all |= access::WRITE;
    }
    all
}

/// Bits of a security descriptor's control word.
const DACL_PRESENT: u16 = 0x0004;
const DACL_PROTECTED: u16 = 0x1000;
const SELF_RELATIVE: u16 = 0x8000;

fn read<T: Copy>(address: usize) -> T {
    // SAFETY: the driver's security descriptor, of which the lengths in it say how far it reaches.
    unsafe { ptr::with_exposed_provenance::<T>(address).read_unaligned() }
}

/// Reads the list out of a security descriptor of either form. None: the descriptor has no list, which lets everybody in.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn parse(descriptor: usize) -> Result<Option<Dacl>, Broken> {
    if read::<u8>(descriptor) != 1 {
        return Err(Rule::SecurityDescriptor.broken("a security descriptor of an unknown revision was set"));
    }
    let control: u16 = read(descriptor + 2);
    let list = match control & SELF_RELATIVE != 0 {
        true => match read::<u32>(descriptor + 16) {
            0 => 0,
            offset => descriptor + offset as usize,
        },
        false => read::<usize>(descriptor + 32),
    };
    if control & DACL_PRESENT == 0 || list == 0 {
        return Ok(None);
    }
    let (size, count) = (usize::from(read::<u16>(list + 2)), read::<u16>(list + 4));
    let mut entries = Vec::new();
    let mut at = 8;
    for _ in 0..count {
        let len = usize::from(read::<u16>(list + at + 2));
        if len < 16 || at + len > size {
            return Err(
                Rule::SecurityDescriptor.broken("a list of access rights was set whose entries do not fit into it")
            );
        }
        let kind: u8 = read(list + at);
        entries.push(Entry { allows: kind == 0, mask: read(list + at + 4), account: account(list + at + 8, len - 8)? });
        if kind > 1 {
            return Err(Rule::SecurityDescriptor.broken(format!("a list of access rights has an entry of kind {kind}")));
        }
        at += len;
    }
    Ok(Some(Dacl { is_protected: control & DACL_PROTECTED != 0, entries }))
}

/// An account as text.
fn account(at: usize, len: usize) -> Result<String, Broken> {
    let count = usize::from(read::<u8>(at + 1));
    if read::<u8>(at) != 1 || 8 + 4 * count > len {
        return Err(Rule::SecurityDescriptor.broken("a list of access rights names an account that is none"));
    }
    let authority = (2..8).fold(0u64, |authority, i| authority << 8 | u64::from(read::<u8>(at + i)));
    let parts = (0..count).map(|i| format!("-{}", read::<u32>(at + 8 + 4 * i)));
    Ok(format!("S-1-{authority}") + &parts.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(bool, u32, &str)]) -> Dacl {
        let entry = |&(allows, mask, account): &(bool, u32, &str)| Entry { allows, mask, account: account.into() };
        Dacl { is_protected: true, entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn a_list_lets_in_whom_it_names_and_nobody_else() {
        let both = access::READ | access::WRITE;
        let admins = list(&[(true, access::GENERIC_ALL, "S-1-5-32-544")]);
        assert!(allows(Some(&admins), Token::Administrator, both));
        assert!(!allows(Some(&admins), Token::User, access::READ));
        assert!(allows(None, Token::User, both), "no list lets everybody in");
        assert!(!allows(Some(&list(&[])), Token::System, access::READ), "an empty list lets nobody in");
        let denied = list(&[(false, access::WRITE, "S-1-1-0"), (true, access::ALL, "S-1-1-0")]);
        assert!(allows(Some(&denied), Token::User, access::READ));
        assert!(!allows(Some(&denied), Token::User, both));
    }
}

//! Which devices a plugin drives.
#![deny(unsafe_code)]

/// One entry of `devices` in [`plugin!`](crate::plugin!): what a device must be for the plugin to drive it. Named for what it does, and not
/// for PCI: a list may come to have entries of several buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatchId {
    /// A PCI device of this vendor and number.
    Pci {
        /// Vendor.
        vendor: u16,
        /// Device.
        device: u16,
        /// Vendor and number of the card that it is on; None: any.
        subsystem: Option<(u16, u16)>,
    },
    /// A PCI device of this class. Source: PCI Code and ID Assignment Specification.
    PciClass {
        /// Base class, sub-class and programming interface, as `0xCCSSPP`.
        class: u32,
        /// Which bits of `class` count: `0xffff00` or `0xffffff`.
        mask: u32,
    },
}

impl MatchId {
    #[doc(hidden)]
    pub const fn pci(vendor: u32, device: u32) -> Self {
        Self::Pci { vendor: check_vendor(vendor), device: check_number(device), subsystem: None }
    }

    #[doc(hidden)]
    pub const fn pci_subsystem(vendor: u32, device: u32, by: u32, number: u32) -> Self {
        let subsystem = Some((check_vendor(by), check_number(number)));
        Self::Pci { vendor: check_vendor(vendor), device: check_number(device), subsystem }
    }

    /// `number`, which is written as `text`: `8086:1572`, as lspci prints it, are two numbers as well, and no device's.
    #[doc(hidden)]
    pub const fn hexadecimal(text: &str, number: u32) -> u32 {
        let text = text.as_bytes();
        assert!(
            text.len() > 2 && text[0] == b'0' && text[1] == b'x',
            "numbers in `devices` are hexadecimal, and begin with 0x: `0x8086:0x100e`"
        );
        number
    }

    /// `text` is the number as it is written: 0x0108 and 0x000108 are one number, and not one class.
    #[doc(hidden)]
    pub const fn pci_class(text: &str, class: u32) -> Self {
        let text = text.as_bytes();
        assert!(
            text.len() > 2 && text[0] == b'0' && text[1] == b'x',
            "a class is written as 0xCCSS or 0xCCSSPP: base class, sub-class, programming interface"
        );
        let mut i = 2;
        while i < text.len() {
            assert!(
                text[i].is_ascii_hexdigit(),
                "a class is written with hexadecimal digits alone: 0xCCSS or 0xCCSSPP"
            );
            i += 1;
        }
        match text.len() - 2 {
            4 => Self::PciClass { class: class << 8, mask: 0xffff00 },
            6 => Self::PciClass { class, mask: 0xffffff },
            _ => panic!("a class has four digits, 0xCCSS, or six with the programming interface, 0xCCSSPP"),
        }
    }
}

const fn check_vendor(vendor: u32) -> u16 {
    assert!(vendor != 0 && vendor < 0xffff, "a PCI vendor is 0x0001 to 0xfffe: 0xffff is read where no device is");
    vendor as u16
}

const fn check_number(number: u32) -> u16 {
    assert!(number <= 0xffff, "a PCI device number has 16 bits");
    number as u16
}

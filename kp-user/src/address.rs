//! Bus addresses.
use kp_abi::request::NO_BUS_ADDRESS;
use std::{fmt, str::FromStr};

/// Where a device is on the PCI bus: `0000:03:00.0`, as `lspci -D` and sysfs write it. Addresses sort as they are on the bus.
///
/// ```
/// # use kp_user::BusAddress;
/// let address: BusAddress = "03:00.0".parse()?; // domain 0
/// assert_eq!(address.to_string(), "0000:03:00.0");
/// # Ok::<(), kp_user::BadAddress>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusAddress {
    /// Number of the root: 0 on most machines.
    pub domain: u32,
    /// The bus.
    pub bus: u8,
    /// The device on the bus, its slot: at most 31.
    pub device: u8,
    /// The function of the device: at most 7.
    pub function: u8,
}

impl BusAddress {
    /// From QUERY's field `bus_address`. `None` for a plugin without a device.
    pub fn from_query(field: u64) -> Option<Self> {
        if field == NO_BUS_ADDRESS {
            return None;
        }
        let part = |shift: u32, mask: u64| (field >> shift & mask) as u8;
        let domain = u32::try_from(field >> 16).ok()?;
        Some(Self { domain, bus: part(8, 0xff), device: part(3, 0x1f), function: part(0, 7) })
    }

    /// As QUERY's field `bus_address`.
    pub fn to_query(self) -> u64 {
        let Self { domain, bus, device, function } = self;
        u64::from(domain) << 16 | u64::from(bus) << 8 | u64::from(device) << 3 | u64::from(function)
    }
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// Not a bus address: neither `domain:bus:device.function` nor `bus:device.function`, in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a bus address: use one such as `0000:03:00.0`, as `lspci -D` writes it")
    }
}
impl std::error::Error for BadAddress {}

impl FromStr for BusAddress {
    type Err = BadAddress;

    /// With the domain or without it, which is then 0; leading zeros may be left out.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (rest, function) = text.rsplit_once('.').ok_or(BadAddress)?;
        let (rest, device) = rest.rsplit_once(':').ok_or(BadAddress)?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        Ok(Self {
            domain: number(domain, u32::MAX)?,
            bus: number(bus, 0xff)? as u8,
            device: number(device, 0x1f)? as u8,
            function: number(function, 7)? as u8,
        })
    }
}

fn number(digits: &str, highest: u32) -> Result<u32, BadAddress> {
    // from_str_radix takes a sign too.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BadAddress);
    }
    u32::from_str_radix(digits, 16).ok().filter(|&number| number <= highest).ok_or(BadAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_domain_and_written_as_sysfs_does() {
        for (text, written) in [
            ("0000:03:00.0", "0000:03:00.0"),
            ("03:1f.7", "0000:03:1f.7"),
            ("3:0.0", "0000:03:00.0"),
            ("0001:FF:1F.0", "0001:ff:1f.0"),
            ("10000:e1:00.0", "10000:e1:00.0"),
        ] {
            assert_eq!(text.parse::<BusAddress>().expect(text).to_string(), written);
        }
        for text in [
            "",
            "edu.0",
            "03:00",
            "00.0",
            ":00.0",
            "03:.0",
            "03:00.",
            "03:00.8",
            "03:20.0",
            "100:00.0",
            "+3:00.0",
            "03:00.0 ",
            ":03:00.0",
            "0:0000:03:00.0",
            "100000000:03:00.0",
        ] {
            assert_eq!(text.parse::<BusAddress>(), Err(BadAddress), "{text:?}");
        }
    }

    #[test]
    fn querys_field_is_an_address_or_none() {
        let at = |field| {
            let address = BusAddress::from_query(field)?;
            assert_eq!(address.to_query(), field);
            Some(address.to_string())
        };
        assert_eq!(at(0x0003_0048).as_deref(), Some("0003:00:09.0"));
        assert_eq!(at(0x1_0000_e107).as_deref(), Some("10000:e1:00.7"));
        assert_eq!(at(NO_BUS_ADDRESS), None);
    }
}

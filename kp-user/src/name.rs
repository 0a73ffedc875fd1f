//! Names of plugins and of their devices.
use kp_abi::limits::MAX_NAME;
use std::{fmt, str::FromStr};

/// A plugin's name, or that of one device of it: `edu`, `edu.1`.
///
/// Names sort by plugin, then by instance; a plugin without a device comes before its instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    plugin: String,
    instance: Option<u32>,
}

impl Name {
    /// The plugin: `edu` in `edu.1`.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The device's number among those of the plugin: 1 in `edu.1`. `None` for a plugin that drives no device, or if
    /// the name leaves it open.
    pub fn instance(&self) -> Option<u32> {
        self.instance
    }
}

/// Not a name: neither `plugin` nor `plugin.number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::sentences::BAD_NAME.linux)
    }
}
impl std::error::Error for BadName {}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (plugin, instance) = match text.split_once('.') {
            None => (text, None),
            Some((plugin, digits)) => (plugin, Some(number(digits).ok_or(BadName)?)),
        };
        let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if plugin.is_empty() || plugin.len() > MAX_NAME || !plugin.bytes().all(is_good) {
            return Err(BadName);
        }
        Ok(Self { plugin: plugin.to_owned(), instance })
    }
}

/// A number in its only spelling: no sign, no leading zero. Else two names could mean one node.
fn number(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            None => f.write_str(&self.plugin),
            Some(instance) => write!(f, "{}.{instance}", self.plugin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_plugin_and_perhaps_an_instance() {
        for text in ["edu", "edu.0", "edu.17", "my_plugin-2"] {
            assert_eq!(text.parse::<Name>().expect(text).to_string(), text);
        }
        for text in
            ["", ".", ".1", "edu.", "edu.x", "edu.+1", "edu.01", "edu.1.2", "Edu", "../edu", "edu/1", "edu.4294967296"]
        {
            assert_eq!(text.parse::<Name>(), Err(BadName), "{text}");
        }
        assert_eq!("a".repeat(32).parse::<Name>(), Err(BadName));
    }

    #[test]
    fn instances_sort_by_number() {
        let mut names: Vec<Name> =
            ["edu.10", "edu.9", "echo", "edu"].iter().map(|text| text.parse().unwrap()).collect();
        names.sort();
        assert_eq!(names.iter().map(Name::to_string).collect::<Vec<_>>(), ["echo", "edu", "edu.9", "edu.10"]);
    }
}

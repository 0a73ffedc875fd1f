//! To JSON, and from it: `kp-schema/1`.
use super::{Bad, Method, Schema};
use serde::{Deserialize, Serialize};

/// What the object's `format` says.
const FORMAT: &str = "kp-schema/1";

#[derive(Serialize, Deserialize)]
struct Object {
    format: String,
    name: String,
    version: u32,
    fingerprint: String,
    chains: Vec<String>,
    messages: Vec<Method>,
}

/// A number of the chain, as text: JSON's readers have no 64 bits in common.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn number(text: &str) -> Result<u64, Bad> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_hex).ok_or_else(|| Bad::new(format!("{text:?} is no fingerprint")))
}

impl Schema {
    /// The schema as a JSON object, in lines.
    #[must_use]
    pub fn to_json(&self) -> String {
        let object = Object {
            format: FORMAT.to_owned(),
            name: self.name.clone(),
            version: self.version,
            fingerprint: hex(self.fingerprint()),
            chains: self.chains.iter().copied().map(hex).collect(),
            messages: self.messages.clone(),
        };
        serde_json::to_string_pretty(&object).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) has written, or anybody. Members that are not known are passed over.
    ///
    /// # Errors
    /// It is no JSON, of another format, or no schema.
    pub fn from_json(text: &str) -> Result<Self, Bad> {
        let object: Object = serde_json::from_str(text).map_err(|error| Bad::new(error.to_string()))?;
        if object.format != FORMAT {
            return Err(Bad::new(format!("its format is {:?}, and only {FORMAT:?} is known", object.format)));
        }
        let chains = object.chains.iter().map(|text| number(text)).collect::<Result<Vec<_>, _>>()?;
        let fingerprint = number(&object.fingerprint)?;
        let schema = Self { name: object.name, version: object.version, chains, messages: object.messages };
        if schema.fingerprint() != fingerprint {
            return Err(Bad::new("its fingerprint is not that of its messages"));
        }
        schema.checked()
    }
}

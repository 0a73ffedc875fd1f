//! A plugin's messages as data: read from a driver's bytes, and written and read as JSON. Both forms are those of `docs/schema.md`.
mod check;
mod decode;
mod fingerprint;
mod json;
mod text;

use serde::{Deserialize, Serialize};
use std::fmt;

/// A plugin's interface. Whatever has made one has checked it: names and sizes can be believed, and the chain is the one of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its version, for people.
    pub version: u32,
    /// The fingerprint chain at 0, 1, 2, … messages.
    pub chains: Vec<u64>,
    /// Its messages; number `n` stands at index `n - 1`.
    pub messages: Vec<Method>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its documentation, line by line. None: the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Vec<String>>,
    /// Nobody answers it any more.
    pub retired: bool,
    /// Its parameters.
    pub args: Vec<Field>,
    /// Its reply.
    pub reply: Type,
}

/// A field of a struct, or a parameter of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Bytes from the start of the struct, or of the message's fixed arguments.
    pub offset: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

/// A variant of an enum, or a bit of flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// A type on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Type {
    /// `()`.
    Unit,
    /// `bool`.
    Bool,
    /// An unsigned integer.
    Uint {
        /// In bytes.
        size: u64,
    },
    /// A signed integer.
    Int {
        /// In bytes.
        size: u64,
    },
    /// So many elements.
    Array {
        /// The type of each.
        element: Box<Type>,
        /// How many.
        length: u64,
    },
    /// As many elements as there are: a last parameter, or a reply.
    Slice {
        /// The type of each.
        element: Box<Type>,
    },
    /// A struct.
    Struct {
        /// Its name, for people.
        name: String,
        /// In bytes.
        size: u64,
        /// In the order of their offsets.
        fields: Vec<Field>,
    },
    /// An integer that has one of these values.
    Enum {
        /// Its name, for people.
        name: String,
        /// In bytes.
        size: u64,
        /// As declared.
        values: Vec<Value>,
    },
    /// An integer made of these bits.
    Flags {
        /// Its name, for people.
        name: String,
        /// In bytes.
        size: u64,
        /// As declared.
        values: Vec<Value>,
    },
}

/// What is no schema, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad(String);

impl Bad {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Bad {}

impl Schema {
    /// The schema of messages that somebody has at hand.
    ///
    /// # Errors
    /// `interface!` would not take them.
    pub fn of(name: &str, version: u32, messages: Vec<Method>) -> Result<Self, Bad> {
        let mut schema = Self { name: name.to_owned(), version, chains: Vec::new(), messages };
        schema.chains = schema.computed_chains();
        schema.checked()
    }

    /// The fingerprint: the chain at all messages.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.chains.last().copied().unwrap_or_default()
    }

    /// Prints it: for people, or as JSON.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", self.to_json());
        } else {
            print!("{self}");
        }
    }
}

//! The fingerprint, of what was read: FNV-1a over the canonical form of `docs/abi.md`.
use super::{Field, Method, Schema, Type, Value};
use kp_abi::schema_bytes::tag;

impl Schema {
    /// The chain at 0, 1, 2, … messages, computed from the messages.
    pub(super) fn computed_chains(&self) -> Vec<u64> {
        let mut hash = Fnv::new();
        hash.text(&self.name);
        let mut chains = vec![hash.0];
        for message in &self.messages {
            let mut hash = Fnv::new();
            hash.number(chains[chains.len() - 1]);
            hash.message(message);
            chains.push(hash.0);
        }
        chains
    }
}

struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn message(&mut self, message: &Method) {
        self.number(message.id.into());
        self.text(&message.name);
        self.fields(&message.args);
        self.ty(&message.reply);
    }

    fn fields(&mut self, fields: &[Field]) {
        self.number(fields.len() as u64);
        for field in fields {
            self.text(&field.name);
            self.number(field.offset);
            self.ty(&field.ty);
        }
    }

    fn values(&mut self, values: &[Value]) {
        self.number(values.len() as u64);
        for value in values {
            self.text(&value.name);
            self.number(value.value);
        }
    }

    fn sized(&mut self, tag: u64, size: u64) {
        self.number(tag);
        self.number(size);
    }

    fn ty(&mut self, ty: &Type) {
        match ty {
            Type::Unit => self.number(tag::UNIT),
            Type::Bool => self.number(tag::BOOL),
            Type::Uint { size } => self.sized(tag::UINT, *size),
            Type::Int { size } => self.sized(tag::INT, *size),
            Type::Array { element, length } => {
                self.number(tag::ARRAY);
                self.ty(element);
                self.number(*length);
            }
            Type::Slice { element } => {
                self.number(tag::SLICE);
                self.ty(element);
            }
            Type::Struct { size, fields, .. } => {
                self.sized(tag::STRUCT, *size);
                self.fields(fields);
            }
            Type::Enum { size, values, .. } => {
                self.sized(tag::ENUM, *size);
                self.values(values);
            }
            Type::Flags { size, values, .. } => {
                self.sized(tag::FLAGS, *size);
                self.values(values);
            }
        }
    }
}

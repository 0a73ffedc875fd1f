//! An interface as bytes, which say it to whoever has no source of it: made by the compiler, sent by SCHEMA. The format is that of
//! `docs/schema.md`.
use crate::{Field, Interface, Method, Type};

/// What the bytes begin with.
pub const MAGIC: [u8; 4] = *b"KPSC";
/// The format's version.
pub const VERSION: u16 = 1;
/// Where the fingerprint stands.
pub const FINGERPRINT_AT: usize = 8;
/// Bytes in front of the interface's name.
pub const HEAD: usize = 16;
/// How deep types are at most: `u8` is 1, `[u8; 2]` is 2.
pub const MAX_DEPTH: usize = 32;
/// Bit of a message's flags: it is retired.
pub const RETIRED: u64 = 1 << 0;

/// What a type begins with: the numbers that the fingerprint has for it, too.
pub mod tag {
    /// `()`.
    pub const UNIT: u64 = 0;
    /// `bool`.
    pub const BOOL: u64 = 1;
    /// An unsigned integer.
    pub const UINT: u64 = 2;
    /// A signed integer.
    pub const INT: u64 = 3;
    /// `[T; N]`.
    pub const ARRAY: u64 = 4;
    /// `&[T]`, or the reply `[T]`.
    pub const SLICE: u64 = 5;
    /// A struct.
    pub const STRUCT: u64 = 6;
    /// An enum.
    pub const ENUM: u64 = 7;
    /// Flags.
    pub const FLAGS: u64 = 8;
}

impl Interface {
    /// Length of [`schema`](Self::schema) with everything in it.
    pub const fn schema_len(&self) -> usize {
        let mut writer = Writer::new(Target::Room(&mut []));
        writer.interface(self);
        writer.docs(self);
        writer.at
    }

    /// Length of [`schema`](Self::schema) without the messages' documentation.
    pub const fn schema_names_len(&self) -> usize {
        let mut writer = Writer::new(Target::Room(&mut []));
        writer.interface(self);
        writer.at
    }

    /// The interface as bytes. `N` is [`schema_len`](Self::schema_len), or [`schema_names_len`](Self::schema_names_len) to leave the
    /// documentation out.
    ///
    /// # Panics
    /// `N` is neither, or types are deeper than [`MAX_DEPTH`](crate::schema_bytes::MAX_DEPTH). In a constant that stops the build.
    pub const fn schema<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.write_schema(&mut bytes);
        bytes
    }

    /// As [`schema`](Self::schema), into bytes that are as long.
    ///
    /// # Panics
    /// As for [`schema`](Self::schema).
    pub const fn write_schema(&self, bytes: &mut [u8]) {
        let len = bytes.len();
        let mut writer = Writer::new(Target::Room(bytes));
        writer.interface(self);
        if writer.at != len {
            writer.docs(self);
        }
        assert!(writer.at == len, "the length is that of a schema, with documentation or without");
    }

    /// Are these the interface's bytes, with documentation and without? They are what an app without its source believes.
    #[doc(hidden)]
    pub const fn __has_schema(&self, bytes: &[u8], names: &[u8]) -> bool {
        let mut writer = Writer::new(Target::Same(bytes, true));
        writer.interface(self);
        let (names_len, mut i) = (writer.at, 0);
        writer.docs(self);
        if !writer.is_same() || names.len() != names_len {
            return false;
        }
        while i < names_len && names[i] == bytes[i] {
            i += 1;
        }
        i == names_len
    }
}

/// Where the bytes go.
enum Target<'a> {
    /// Here; what has no room is counted only.
    Room(&'a mut [u8]),
    /// Nowhere: they are compared with these.
    Same(&'a [u8], bool),
}

struct Writer<'a> {
    target: Target<'a>,
    at: usize,
}

impl<'a> Writer<'a> {
    const fn new(target: Target<'a>) -> Self {
        Self { target, at: 0 }
    }

    const fn is_same(&self) -> bool {
        matches!(&self.target, Target::Same(bytes, true) if bytes.len() == self.at)
    }

    const fn counts_only(&self) -> bool {
        matches!(self.target, Target::Room([]))
    }

    /// Without calls in its loops: the compiler counts both, in what a constant may need.
    const fn put(&mut self, at: usize, bytes: &[u8]) {
        let (len, mut i) = (bytes.len(), 0);
        match &mut self.target {
            Target::Room(room) => {
                let room_len = room.len();
                while i < len && at + i < room_len {
                    room[at + i] = bytes[i];
                    i += 1;
                }
            }
            Target::Same(other, is_same) => {
                let other_len = other.len();
                while i < len {
                    *is_same = *is_same && at + i < other_len && other[at + i] == bytes[i];
                    i += 1;
                }
            }
        }
    }

    const fn bytes(&mut self, bytes: &[u8]) {
        self.put(self.at, bytes);
        self.at += bytes.len();
    }

    /// LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
    const fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes(&[rest as u8 | 0x80]);
            rest >>= 7;
        }
        self.bytes(&[rest as u8]);
    }

    const fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    const fn interface(&mut self, interface: &Interface) {
        self.bytes(&MAGIC);
        self.bytes(&VERSION.to_le_bytes());
        self.bytes(&[0; 2]);
        self.at = HEAD; // the fingerprint is known at the end
        self.text(interface.name);
        self.number(interface.version as u64);
        self.number(interface.methods.len() as u64);
        let mut chain = interface.first_link();
        self.bytes(&chain.to_le_bytes());
        let mut i = 0;
        while i < interface.methods.len() {
            if !self.counts_only() {
                chain = interface.next_link(chain, i);
            }
            self.message(&interface.methods[i]);
            self.bytes(&chain.to_le_bytes());
            i += 1;
        }
        self.put(FINGERPRINT_AT, &chain.to_le_bytes());
    }

    const fn message(&mut self, method: &Method) {
        self.number(method.id as u64);
        self.text(method.name);
        self.number(if method.retired { RETIRED } else { 0 });
        self.fields(method.args, 0);
        self.ty(method.reply, 0);
    }

    /// The documentation of all messages, behind all else: without it the rest is the same.
    const fn docs(&mut self, interface: &Interface) {
        let mut i = 0;
        while i < interface.methods.len() {
            let lines = interface.methods[i].doc;
            self.number(lines.len() as u64);
            let mut j = 0;
            while j < lines.len() {
                // `/// Text.` is the line ` Text.`
                self.text(match lines[j].as_bytes() {
                    [b' ', ..] => lines[j].split_at(1).1,
                    _ => lines[j],
                });
                j += 1;
            }
            i += 1;
        }
    }

    const fn fields(&mut self, fields: &[Field], depth: usize) {
        self.number(fields.len() as u64);
        let mut i = 0;
        while i < fields.len() {
            self.text(fields[i].name);
            self.number(fields[i].offset as u64);
            self.ty(fields[i].ty, depth);
            i += 1;
        }
    }

    const fn values(&mut self, values: &[(&str, u64)]) {
        self.number(values.len() as u64);
        let mut i = 0;
        while i < values.len() {
            self.text(values[i].0);
            self.number(values[i].1);
            i += 1;
        }
    }

    /// `depth`: how many types this one is in.
    const fn ty(&mut self, ty: &Type, depth: usize) {
        assert!(depth < MAX_DEPTH, "a message's types are more than 32 deep");
        match ty {
            Type::Unit => self.number(tag::UNIT),
            Type::Bool => self.number(tag::BOOL),
            Type::Uint(size) => self.sized(tag::UINT, *size as usize),
            Type::Int(size) => self.sized(tag::INT, *size as usize),
            Type::Array(element, length) => {
                self.number(tag::ARRAY);
                self.number(*length as u64);
                self.ty(element, depth + 1);
            }
            Type::Slice(element) => {
                self.number(tag::SLICE);
                self.ty(element, depth + 1);
            }
            Type::Struct { name, size, fields } => {
                self.sized(tag::STRUCT, *size);
                self.text(name);
                self.fields(fields, depth + 1);
            }
            Type::Enum { name, size, variants } => {
                self.sized(tag::ENUM, *size);
                self.text(name);
                self.values(variants);
            }
            Type::Flags { name, size, bits } => {
                self.sized(tag::FLAGS, *size);
                self.text(name);
                self.values(bits);
            }
        }
    }

    const fn sized(&mut self, tag: u64, size: usize) {
        self.number(tag);
        self.number(size as u64);
    }
}

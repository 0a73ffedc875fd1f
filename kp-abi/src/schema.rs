//! What travels, as data: documents, bindings and fuzzers are made from it, and so is the fingerprint.
//!
//! The canonical form that is hashed is written down in `docs/abi.md`; it never changes.
use crate::{Wire, limits::MAX_FIXED_REPLY};

/// A type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `()`: no bytes.
    Unit,
    /// `bool`: one byte, 0 or 1.
    Bool,
    /// An unsigned integer of so many bytes.
    Uint(u8),
    /// A signed integer of so many bytes, two's complement.
    Int(u8),
    /// So many elements, back to back.
    Array(&'static Type, usize),
    /// As many elements as there are, back to back: a last parameter, or a reply.
    Slice(&'static Type),
    /// A `#[repr(C)]` struct without padding.
    Struct {
        /// The type's name, for people: not part of the fingerprint.
        name: &'static str,
        /// Size in bytes.
        size: usize,
        /// Its fields, in the order of their offsets.
        fields: &'static [Field],
    },
    /// An integer that has one of the listed values.
    Enum {
        /// The type's name, for people: not part of the fingerprint.
        name: &'static str,
        /// Size in bytes.
        size: usize,
        /// Name and value of each variant, as declared.
        variants: &'static [(&'static str, u64)],
    },
    /// An integer made of the listed bits.
    Flags {
        /// The type's name, for people: not part of the fingerprint.
        name: &'static str,
        /// Size in bytes.
        size: usize,
        /// Name and value of each flag, as declared.
        bits: &'static [(&'static str, u64)],
    },
}

impl Type {
    /// A type's schema. It is the type's: whoever implements [`Wire`](crate::Wire) by hand may write any, and lengths on the wire follow from it.
    #[doc(hidden)]
    pub const fn __of<T: Wire>() -> &'static Type {
        let size = match T::SCHEMA.size() {
            Some(size) => size,
            None => usize::MAX,
        };
        assert!(size == size_of::<T>(), "a `SCHEMA` has the size of its type");
        T::SCHEMA
    }

    /// Schema of a slice's element. Elements without a size could not be counted.
    #[doc(hidden)]
    pub const fn __element<T: Wire>() -> &'static Type {
        assert!(size_of::<T>() > 0, "a slice needs elements of at least one byte");
        Self::__of::<T>()
    }

    /// Is it, or has it, the number of a [`Buffer`](crate::Buffer)?
    pub(crate) const fn has_buffer(&self) -> bool {
        match self {
            Type::Array(element, _) | Type::Slice(element) => element.has_buffer(),
            Type::Struct { name, fields, .. } => {
                let mut i = 0;
                while i < fields.len() {
                    if fields[i].ty.has_buffer() {
                        return true;
                    }
                    i += 1;
                }
                // No other has a colon in it.
                matches!(name.as_bytes(), b"kp_abi::Buffer")
            }
            Type::Unit | Type::Bool | Type::Uint(_) | Type::Int(_) | Type::Enum { .. } | Type::Flags { .. } => false,
        }
    }

    /// Bytes of a value; `None` for a slice.
    pub const fn size(&self) -> Option<usize> {
        Some(match self {
            Type::Unit => 0,
            Type::Bool => 1,
            Type::Uint(size) | Type::Int(size) => *size as usize,
            Type::Array(element, length) => match element.size() {
                Some(size) => size * *length,
                None => return None,
            },
            Type::Slice(_) => return None,
            Type::Struct { size, .. } | Type::Enum { size, .. } | Type::Flags { size, .. } => *size,
        })
    }
}

/// A field of a struct, or a parameter of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Bytes from the start of the struct, or of the message's fixed arguments.
    pub offset: usize,
    /// Its type.
    pub ty: &'static Type,
}

impl Field {
    /// A field whose type the accessor tells, so that [`describe!`](crate::describe!) need not repeat it.
    #[doc(hidden)]
    pub const fn __of<S, F: Wire>(name: &'static str, offset: usize, _: fn(&S) -> &F) -> Self {
        Self { name, offset, ty: Type::__of::<F>() }
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its number: 1, 2, 3, … in the order of the declaration.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// Its documentation, line by line; not part of the fingerprint.
    pub doc: &'static [&'static str],
    /// Its parameters.
    pub args: &'static [Field],
    /// Its reply.
    pub reply: &'static Type,
    /// Declared `#[retired]`: nobody answers it any more. Not part of the fingerprint, so old apps can still open.
    pub retired: bool,
}

/// What stands behind the [`Answer`](crate::request::Answer) in the buffer of a direct call. Both sides know it from the message's declaration, so no length travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Arguments of this many bytes; then, in their place, a reply of this many.
    Fixed {
        /// Fixed arguments, in bytes.
        args: usize,
        /// The reply, in bytes; [`MAX_FIXED_REPLY`] at most.
        reply: usize,
    },
    /// [`Segments`](crate::request::Segments), then arguments of this many bytes: messages that have a slice, or a large reply.
    Segments {
        /// Fixed arguments, in bytes.
        args: usize,
    },
}

impl Method {
    /// How it stands in the buffer of a direct call.
    pub const fn shape(&self) -> Shape {
        let (mut args, mut has_data, mut i) = (0, false, 0);
        while i < self.args.len() {
            match self.args[i].ty.size() {
                Some(size) => args += size,
                None => has_data = true,
            }
            i += 1;
        }
        match self.reply.size() {
            Some(reply) if !has_data && reply <= MAX_FIXED_REPLY => Shape::Fixed { args, reply },
            _ => Shape::Segments { args },
        }
    }
}

/// A plugin's messages. [`interface!`](crate::interface!) writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: &'static str,
    /// Its version, for people: not part of the fingerprint.
    pub version: u32,
    /// Its messages; number `n` stands at index `n - 1`.
    pub methods: &'static [Method],
}

impl Interface {
    /// Does a message carry the number of a [`Buffer`](crate::Buffer)?
    pub const fn has_buffers(&self) -> bool {
        let mut i = 0;
        while i < self.methods.len() {
            let mut j = 0;
            while j < self.methods[i].args.len() {
                if self.methods[i].args[j].ty.has_buffer() {
                    return true;
                }
                j += 1;
            }
            i += 1;
        }
        false
    }

    /// The fingerprint chain at the first `n` messages, or at all of them if there are fewer.
    ///
    /// `chain(0)` is made of the name alone, and `chain(n)` of `chain(n - 1)` and message `n`. So two builds of an
    /// interface fit exactly if their chains agree at the smaller one of their message counts.
    pub const fn chain(&self, n: usize) -> u64 {
        let count = if n < self.methods.len() { n } else { self.methods.len() };
        let mut chain = self.first_link();
        let mut i = 0;
        while i < count {
            chain = self.next_link(chain, i);
            i += 1;
        }
        chain
    }

    /// The fingerprint chain at the first 0, 1, 2, … messages. `N` is one more than there are messages.
    pub const fn chains<const N: usize>(&self) -> [u64; N] {
        assert!(N == self.methods.len() + 1, "one for each count of messages, and 0");
        let mut chains = [self.first_link(); N];
        let mut i = 1;
        while i < N {
            chains[i] = self.next_link(chains[i - 1], i - 1);
            i += 1;
        }
        chains
    }

    /// Are these the [`chains`](Self::chains)? They are what an app and its driver agree by.
    #[doc(hidden)]
    pub const fn __has_chains(&self, chains: &[u64]) -> bool {
        let mut chain = self.first_link();
        let mut i = 0;
        while i < chains.len() && chains[i] == chain {
            if i == self.methods.len() {
                return chains.len() == i + 1;
            }
            chain = self.next_link(chain, i);
            i += 1;
        }
        false
    }

    pub(crate) const fn first_link(&self) -> u64 {
        Hash::new().text(self.name).0
    }

    /// The chain with the message at index `i`, by the one without.
    pub(crate) const fn next_link(&self, chain: u64, i: usize) -> u64 {
        Hash::new().number(chain).message(&self.methods[i]).0
    }

    /// The fingerprint chain at all messages.
    pub const fn fingerprint(&self) -> u64 {
        self.chain(self.methods.len())
    }

    /// May an app that knows `known` messages with this `fingerprint` talk to us? `None` if it knows more than we do:
    /// the app then asks for our chain and decides.
    pub const fn accepts(&self, known: usize, fingerprint: u64) -> Option<bool> {
        if known <= self.methods.len() { Some(self.chain(known) == fingerprint) } else { None }
    }

    /// The message of this number, retired ones included.
    pub const fn method(&self, id: u32) -> Option<&'static Method> {
        if id >= 1 && id as usize <= self.methods.len() { Some(&self.methods[id as usize - 1]) } else { None }
    }

    /// Stops the build unless the numbers start at 1 and go up by one, so none can be used again or left out.
    #[doc(hidden)]
    pub const fn __check(&self) {
        let mut i = 0;
        while i < self.methods.len() {
            assert!(
                self.methods[i].id == i as u32 + 1,
                "message numbers must be 1, 2, 3, ... in order: append only, never reuse"
            );
            i += 1;
        }
    }
}

/// FNV-1a, 64 bits, over the canonical form. Loops are without calls, and numbers without a turn for each byte: the compiler counts both, in what
/// a constant may need.
struct Hash(u64);

impl Hash {
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    /// By what so many bytes that are 0 multiply the hash.
    const ZEROS: [u64; 9] = {
        let (mut zeros, mut i) = ([1u64; 9], 1);
        while i < 9 {
            zeros[i] = zeros[i - 1].wrapping_mul(Self::PRIME);
            i += 1;
        }
        zeros
    };

    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Eight bytes, little-endian.
    const fn number(self, number: u64) -> Self {
        let (mut hash, mut rest, mut zeros) = (self.0, number, 8);
        while rest != 0 {
            hash = ((hash ^ rest & 0xFF) as u128 * Self::PRIME as u128) as u64;
            rest >>= 8;
            zeros -= 1;
        }
        Self(hash.wrapping_mul(Self::ZEROS[zeros]))
    }

    /// The length, then the bytes: no two lists of texts have the same form.
    const fn text(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let (len, mut i) = (bytes.len(), 0);
        let mut hash = self.number(len as u64).0;
        while i < len {
            hash = ((hash ^ bytes[i] as u64) as u128 * Self::PRIME as u128) as u64;
            i += 1;
        }
        Self(hash)
    }

    const fn message(self, method: &Method) -> Self {
        self.number(method.id as u64).text(method.name).fields(method.args).ty(method.reply)
    }

    const fn fields(self, fields: &[Field]) -> Self {
        let mut hash = self.number(fields.len() as u64);
        let mut i = 0;
        while i < fields.len() {
            hash = hash.text(fields[i].name).number(fields[i].offset as u64).ty(fields[i].ty);
            i += 1;
        }
        hash
    }

    const fn values(self, values: &[(&str, u64)]) -> Self {
        let mut hash = self.number(values.len() as u64);
        let mut i = 0;
        while i < values.len() {
            hash = hash.text(values[i].0).number(values[i].1);
            i += 1;
        }
        hash
    }

    /// Type names are left out: renaming a type changes nothing on the wire.
    const fn ty(self, ty: &Type) -> Self {
        match ty {
            Type::Unit => self.number(0),
            Type::Bool => self.number(1),
            Type::Uint(size) => self.number(2).number(*size as u64),
            Type::Int(size) => self.number(3).number(*size as u64),
            Type::Array(element, length) => self.number(4).ty(element).number(*length as u64),
            Type::Slice(element) => self.number(5).ty(element),
            Type::Struct { size, fields, .. } => self.number(6).number(*size as u64).fields(fields),
            Type::Enum { size, variants, .. } => self.number(7).number(*size as u64).values(variants),
            Type::Flags { size, bits, .. } => self.number(8).number(*size as u64).values(bits),
        }
    }
}

//! From bytes. They may be anybody's: each length is compared with what there is, and nothing is made that is larger than they are.
use super::{Bad, Field, Method, Schema, Type, Value};
use kp_abi::schema_bytes::{FINGERPRINT_AT, HEAD, MAGIC, MAX_DEPTH, RETIRED, VERSION, tag};

impl Schema {
    /// Reads the bytes that `kp_abi::schema_bytes` makes, and computes the chain anew.
    ///
    /// # Errors
    /// They are no schema, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or_else(ends)?;
        if !head.starts_with(&MAGIC) {
            return Err(Bad::new("it does not begin as one"));
        }
        let version = u16::from_le_bytes([head[4], head[5]]);
        if version != VERSION {
            return Err(Bad::new(format!("it has version {version} of the format, and only {VERSION} is known")));
        }
        if head[6..FINGERPRINT_AT] != [0; 2] {
            return Err(Bad::new("what is reserved is not zero"));
        }
        let fingerprint = u64::from_le_bytes(head[FINGERPRINT_AT..].try_into().unwrap_or_default());
        let schema = Reader(rest).interface()?;
        if schema.fingerprint() != fingerprint {
            return Err(Bad::new("its fingerprint is not that of its messages"));
        }
        schema.checked()
    }
}

fn ends() -> Bad {
    Bad::new("it ends too early")
}

/// What is not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(ends)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// LEB128, in as few bytes as can be.
    fn number(&mut self) -> Result<u64, Bad> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            let part = u64::from(byte & 0x7F);
            if part << shift >> shift != part || (byte == 0 && shift != 0) {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Bad::new("a number is longer than it can be"))
    }

    fn word(&mut self) -> Result<u64, Bad> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().unwrap_or_default()))
    }

    fn text(&mut self) -> Result<String, Bad> {
        let len = usize::try_from(self.number()?).map_err(|_| ends())?;
        let text = std::str::from_utf8(self.bytes(len)?).map_err(|_| Bad::new("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// As many as a number says. Each takes a byte or more, so it ends with the bytes.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
        let count = self.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn interface(&mut self) -> Result<Schema, Bad> {
        let name = self.text()?;
        let version = u32::try_from(self.number()?).map_err(|_| Bad::new("the interface's version is too large"))?;
        let count = self.number()?;
        let (mut chains, mut messages) = (vec![self.word()?], Vec::new());
        for _ in 0..count {
            messages.push(self.message()?);
            chains.push(self.word()?);
        }
        if !self.0.is_empty() {
            for message in &mut messages {
                message.doc = Some(self.list(Self::text)?);
            }
        }
        if !self.0.is_empty() {
            return Err(Bad::new(format!("{} bytes are left over", self.0.len())));
        }
        Ok(Schema { name, version, chains, messages })
    }

    fn message(&mut self) -> Result<Method, Bad> {
        let id = u32::try_from(self.number()?).map_err(|_| Bad::new("a message's number is too large"))?;
        let name = self.text()?;
        let flags = self.number()?;
        if flags & !RETIRED != 0 {
            return Err(Bad::new(format!("message {id} has a flag that is not known")));
        }
        let args = self.fields(0)?;
        Ok(Method { id, name, doc: None, retired: flags & RETIRED != 0, args, reply: self.ty(0)? })
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<Field>, Bad> {
        self.list(|reader| Ok(Field { name: reader.text()?, offset: reader.number()?, ty: reader.ty(depth)? }))
    }

    fn values(&mut self) -> Result<Vec<Value>, Bad> {
        self.list(|reader| Ok(Value { name: reader.text()?, value: reader.number()? }))
    }

    /// `depth`: how many types this one is in.
    fn ty(&mut self, depth: usize) -> Result<Type, Bad> {
        if depth >= MAX_DEPTH {
            return Err(Bad::new(format!("its types are more than {MAX_DEPTH} deep")));
        }
        Ok(match self.number()? {
            tag::UNIT => Type::Unit,
            tag::BOOL => Type::Bool,
            tag::UINT => Type::Uint { size: self.number()? },
            tag::INT => Type::Int { size: self.number()? },
            tag::ARRAY => {
                let length = self.number()?;
                Type::Array { element: Box::new(self.ty(depth + 1)?), length }
            }
            tag::SLICE => Type::Slice { element: Box::new(self.ty(depth + 1)?) },
            tag::STRUCT => {
                let (size, name) = (self.number()?, self.text()?);
                Type::Struct { name, size, fields: self.fields(depth + 1)? }
            }
            tag::ENUM => {
                let (size, name) = (self.number()?, self.text()?);
                Type::Enum { name, size, values: self.values()? }
            }
            tag::FLAGS => {
                let (size, name) = (self.number()?, self.text()?);
                Type::Flags { name, size, values: self.values()? }
            }
            other => return Err(Bad::new(format!("there is no type {other}"))),
        })
    }
}

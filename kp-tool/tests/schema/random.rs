//! Interfaces that are made up: every kind of type, in every place where it can be.
use kp_abi::{Field, Interface, Method, Type};

/// A sequence of numbers that its seed makes.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn name(&mut self) -> &'static str {
        let words = ["a", "value", "Größe", "r#type", "_pad", "LONG_NAME_OF_A_THING_THAT_IS_LONGER_THAN_OTHERS"];
        let word = self.of(&words);
        leak_text(format!("{word}{}", self.below(100)))
    }

    fn doc(&mut self) -> &'static [&'static str] {
        let lines =
            ["", " Text.", "no space", "   `code` and \"quotes\" \\ of it", " naïve ⚠ \u{1F980}", " two\n lines"];
        (0..self.below(4)).map(|_| self.of(&lines)).collect::<Vec<_>>().leak()
    }

    fn values(&mut self, size: usize) -> &'static [(&'static str, u64)] {
        let most = if size == 8 { u64::MAX } else { (1 << (8 * size)) - 1 };
        let count = 1 + self.below(5);
        let value = |random: &mut Self| match random.below(4) {
            0 => most,
            1 => 0,
            _ => random.below(most),
        };
        (0..count).map(|_| (self.name(), value(self))).collect::<Vec<_>>().leak()
    }

    /// A type with a size, of at most `room` bytes: smaller types in it are `depth` deep at most.
    fn sized(&mut self, room: usize, depth: usize) -> &'static Type {
        let size = self.of(&[1, 2, 4, 8].map(|size| if size > room { 1 } else { size }));
        if room == 0 {
            return &Type::Unit;
        }
        let ty = match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Type::Unit,
            1 => Type::Bool,
            2 => Type::Uint(size as u8),
            3 => Type::Int(size as u8),
            4 => Type::Enum { name: self.name(), size, variants: self.values(size) },
            5 => Type::Flags { name: self.name(), size, bits: self.values(size) },
            6 => {
                let length = self.below(5) as usize;
                Type::Array(self.sized(room / length.max(1), depth - 1), length)
            }
            _ => {
                let mut fields = Vec::new();
                let mut offset = 0;
                for _ in 0..self.below(5) {
                    let field = Field { name: self.name(), offset, ty: self.sized(room - offset, depth - 1) };
                    offset += field.ty.size().expect("it has one");
                    fields.push(field);
                }
                Type::Struct { name: self.name(), size: offset, fields: fields.leak() }
            }
        };
        Box::leak(Box::new(ty))
    }

    fn slice(&mut self) -> &'static Type {
        let element = match self.sized(64, 3) {
            element if element.size() == Some(0) => &Type::Uint(1),
            element => element,
        };
        Box::leak(Box::new(Type::Slice(element)))
    }

    fn method(&mut self, id: u32) -> Method {
        let (mut args, mut offset) = (Vec::new(), 0);
        for _ in 0..self.below(6) {
            let field = Field { name: self.name(), offset, ty: self.sized(256 - offset, 4) };
            offset += field.ty.size().expect("it has one");
            args.push(field);
        }
        if self.below(2) == 0 {
            args.push(Field { name: self.name(), offset, ty: self.slice() });
        }
        let reply = match self.below(3) {
            0 => &Type::Unit,
            1 => self.sized(1000, 4),
            _ => self.slice(),
        };
        let (name, doc, retired) = (self.name(), self.doc(), self.below(5) == 0);
        Method { id, name, doc, args: args.leak(), reply, retired }
    }
}

fn leak_text(text: String) -> &'static str {
    text.leak()
}

/// The interface of this number.
pub fn interface(seed: u64) -> Interface {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let count = random.below(12) as u32;
    let methods: Vec<Method> = (1..=count).map(|id| random.method(id)).collect();
    Interface { name: random.name(), version: random.below(1 << 32) as u32, methods: methods.leak() }
}

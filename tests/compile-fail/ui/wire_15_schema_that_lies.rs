//! A schema that says less or more than the type has would have the driver read past a message, or past the kernel's stack.
use kp_abi::{
    Type, Wire, interface,
    zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout},
};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[zerocopy(crate = "kp_abi::zerocopy")]
#[repr(C)]
pub struct Liar(u32);

impl Wire for Liar {
    const SCHEMA: &'static Type = &Type::Array(&Type::Uint(8), 256);
}

interface! {
    pub mod lies, version 1 {
        fn tell(liar: Liar) = 1;
        fn told() -> Liar = 2;
    }
}

fn main() {
    let _ = lies::INTERFACE;
}

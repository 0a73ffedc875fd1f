//! More argument bytes than a host has room for on its stack, in an interface and a `Plugin::direct` by hand.
include!("part/plugin.rs");
include!("part/by_hand.rs");
use kp_abi::{Field, Method, Type};

const LONG: &Type = &Type::Array(&Type::Uint(1), 257);
const INTERFACE: &Interface = &Interface {
    name: "long",
    version: 1,
    methods: &[Method {
        id: 1,
        name: "long",
        doc: &[],
        args: &[Field { name: "bytes", offset: 0, ty: LONG }],
        reply: &Type::Unit,
        retired: false,
    }],
};

impl Plugin for Plain {
    const TABLE: Table<Self> = by_hand("long", INTERFACE, &INTERFACE.chains::<2>());

    fn direct<D>(_: u32, direct: D) -> D::Answer
    where
        D: Direct<Handler = Self, Context = Passive, Session = ()>,
    {
        direct.fixed::<1, 257, 0>(|_, _, _, _, _| Ok(()))
    }
}

//! A `Plugin::direct` by hand whose reply is longer than its interface says: it would be written past the end of the app's buffer.
include!("part/plugin.rs");
include!("part/by_hand.rs");
include!("part/interface.rs");

impl Plugin for Plain {
    const TABLE: Table<Self> = by_hand("sums", sums::INTERFACE, &sums::INTERFACE.chains::<3>());

    fn direct<D>(_: u32, direct: D) -> D::Answer
    where
        D: Direct<Handler = Self, Context = Passive, Session = ()>,
    {
        direct.fixed::<1, 4, 64>(|_, _, _, _, reply| reply.bytes(&[0xEE; 64]))
    }
}

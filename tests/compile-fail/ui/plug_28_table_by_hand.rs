//! A table by hand is held to what `plugin!` asks for: a name goes into C code and paths, and by the chain an app believes the messages.
include!("part/plugin.rs");
include!("part/by_hand.rs");
include!("part/interface.rs");

impl Plugin for Plain {
    const TABLE: Table<Self> = by_hand("sums\"\n#error", sums::INTERFACE, &sums::INTERFACE.chains::<3>());
}

pub struct Other;
impl Init for Other {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Other)
    }
}
impl Plugin for Other {
    const TABLE: Table<Self> = Table {
        name: "other",
        devices: &[],
        vectors: (1, 1),
        own_interrupt: false,
        interface: Some(sums::INTERFACE),
        chain: &[1, 2, 3],
        schema: &[],
        schema_names: &[],
        open: None,
        close: None,
        call: None,
        int: None,
        event: None,
        timer_at_dpc: None,
        work: None,
    };
}

pub struct Described;
impl Init for Described {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Described)
    }
}
impl Plugin for Described {
    const TABLE: Table<Self> = Table {
        name: "described",
        devices: &[],
        vectors: (1, 1),
        own_interrupt: false,
        interface: Some(sums::INTERFACE),
        chain: &sums::INTERFACE.chains::<3>(),
        schema: sums::SCHEMA,
        schema_names: sums::SCHEMA,
        open: None,
        close: None,
        call: None,
        int: None,
        event: None,
        timer_at_dpc: None,
        work: None,
    };
}

// As a port does.
pub static NAMED: usize = host::info_len::<Plain>();
pub static CHAINED: usize = host::info_len::<Other>();
pub static DESCRIBED: usize = host::info_len::<Described>();

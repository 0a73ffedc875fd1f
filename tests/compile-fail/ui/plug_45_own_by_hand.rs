//! A table by hand is held to what an interrupt of the plugin's own needs, too.
include!("part/plugin.rs");
include!("part/by_hand.rs");
include!("part/interface.rs");

impl Plugin for Plain {
    const TABLE: Table<Self> = Table {
        own_interrupt: true,
        ..by_hand("sums", sums::INTERFACE, &sums::INTERFACE.chains::<3>())
    };
}

// As a port does.
pub static OWN: usize = host::info_len::<Plain>();

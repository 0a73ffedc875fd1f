//! Batched calls: the same messages, the same answers, one request; and what a hostile app can do, which is nothing. Once with memory that the
//! app maps, and once with a buffer of the app's.
#[path = "../test_plugin/mod.rs"]
mod test_plugin;

#[path = "."]
mod mapped {
    use super::test_plugin;
    use kp_sim::{Builder, Sim};

    fn kernel() -> Builder<test_plugin::TestPlugin> {
        Sim::builder()
    }

    #[path = "by_hand.rs"]
    mod by_hand;
    #[path = "end.rs"]
    mod end;
    #[path = "in_use.rs"]
    mod in_use;
    #[path = "malformed.rs"]
    mod malformed;
    #[path = "mapping.rs"]
    mod mapping;
    #[path = "ordinary.rs"]
    mod ordinary;
}

#[path = "."]
#[expect(clippy::duplicate_mod, reason = "the same tests with other memory")]
mod lent {
    use super::test_plugin;
    use kp_sim::{Builder, Sim};

    fn kernel() -> Builder<test_plugin::TestPlugin> {
        Sim::builder().no_mmap()
    }

    #[path = "buffer.rs"]
    mod buffer;
    #[path = "by_hand.rs"]
    mod by_hand;
    #[path = "end.rs"]
    mod end;
    #[path = "malformed.rs"]
    mod malformed;
    #[path = "ordinary.rs"]
    mod ordinary;
}

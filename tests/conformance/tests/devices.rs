//! Stories of devices that have no part of the scenario, on the models that stand for them where QEMU is not.
#![cfg(all(target_pointer_width = "64", not(windows)))]

mod switch_and_random_numbers {
    use conformance::pcie::{model::Card, reset, vectors};
    use kp_sim::Sim;
    use pcie_interface::pcie;

    #[test]
    fn vectors_and_resets_are_as_on_the_device() {
        let [switch, random] = [Card::switch(), Card::random()].map(|card| Sim::<::pcie::Card>::with(card).unwrap());
        let [switch, random] = [&switch, &random].map(|sim| sim.connect(pcie::INTERFACE).unwrap());
        vectors(&switch);
        reset(&random, 3);
    }
}

mod test_device {
    use conformance::testdev::{model::TestDevice, story};
    use kp_sim::Sim;
    use testdev_interface::testdev;

    #[test]
    fn ports_and_a_window_reach_the_device() {
        let sim = Sim::<::testdev::TestDevice>::with(TestDevice::default()).unwrap();
        story(&sim.connect(testdev::INTERFACE).unwrap());
    }
}

mod card_in_loopback {
    use conformance::loopback::{Frames, Pair, model::Card, story};
    use kp_sim::Sim;
    use kp_user::{Enable, Plugin};
    use loopback::LoopBack;
    use loopback_interface::loopback::{Client, INTERFACE};

    fn sim() -> Sim<LoopBack> {
        Sim::with(Card::default()).unwrap()
    }

    #[test]
    fn each_byte_comes_back_polled_and_by_interrupts() {
        let sim = sim();
        let plugin = sim.connect(INTERFACE).unwrap();
        story(&plugin, Enable::any());
        drop(plugin);
        let live = sim.live();
        sim.unload().unwrap();
        assert_eq!(live.pinned, 0, "what was registered is released");
    }

    #[test]
    fn a_machine_that_copies_is_seen_to() {
        let sim = sim();
        let plugin = sim.connect(INTERFACE).unwrap();
        assert!(!Pair::new(&plugin, 2).is_direct(), "the simulator shows copies");
    }

    #[test]
    fn what_the_card_does_not_finish_is_kept_until_it_is_reset() {
        let sim = sim();
        let plugin = sim.connect(INTERFACE).unwrap();
        let mut pair = Pair::new(&plugin, 2);
        let late = pair.client().wait_for_nothing(5).expect_err("nobody sends");
        assert_eq!(late, kp_abi::Status::TIMEOUT);
        let kept = |plugin: &Plugin| plugin.query().unwrap().quarantined;
        assert_eq!(kept(&plugin), 4 * 4096, "both mappings");
        pair.client().reset().unwrap();
        assert_eq!(kept(&plugin), 0);
        pair.attach();
        pair.go_round(Frames { from_at: 0, into: 1, len: 100, count: 1 });
    }

    #[test]
    fn shared_memory_is_as_long_as_asked_for() {
        let sim = sim();
        let plugin = sim.connect(INTERFACE).unwrap();
        let client = Client(&plugin);
        client.share(3 * 4096).unwrap();
        assert_eq!(client.share(0).expect_err("none"), kp_abi::Status::BAD_VALUE);
    }
}

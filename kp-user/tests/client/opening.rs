//! Opening, negotiation, calls, and what happens at the end.
use crate::{
    fake::Fake,
    interfaces::{edited, one_other, renamed, three, two},
};
use kp_abi::{Error, Status, Transport, TransportStatus};
use kp_user::{Connection, OpenOptions, Plugin, Side};
use std::sync::Arc;

#[test]
fn an_app_of_the_drivers_age_opens_at_once() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    let plugin = Plugin::over(fake.clone(), two::edu::INTERFACE, b"hi").unwrap();
    assert_eq!(plugin.session(), 17);
    assert_eq!(plugin.driver(), Side { version: 1, messages: 2 });
    assert_eq!(fake.log(), ["OPEN 2 hi"]);
}

#[test]
fn an_older_app_opens_at_once() {
    let fake = Fake::new(Some(three::edu::INTERFACE)).shared();
    let plugin = Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap();
    assert_eq!(plugin.driver(), Side { version: 2, messages: 3 });
    assert_eq!(fake.log(), ["OPEN 2 "]);
}

#[test]
fn a_newer_app_asks_once_more_and_knows_what_is_missing() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    let plugin = Plugin::over(fake.clone(), three::edu::INTERFACE, b"hi").unwrap();
    assert_eq!(fake.log(), ["OPEN 3 hi", "OPEN 2 hi"]);
    assert!(plugin.knows(1) && plugin.knows(2));
    assert!(!plugin.knows(0) && !plugin.knows(3));

    let client = three::edu::Client(&plugin);
    assert!(client.has(2) && !client.has(3));
    assert_eq!(client.three(), Err(Status::UNKNOWN_MESSAGE.into()));
    assert_eq!(three::edu::Client(plugin.nowait()).three(), Err(Status::UNKNOWN_MESSAGE.into()));
    assert_eq!(fake.log().len(), 2, "a message that the driver lacks is not sent");
}

#[test]
fn a_newer_app_whose_first_messages_differ_does_not_ask_again() {
    let fake = Fake::new(Some(edited::edu::INTERFACE)).shared();
    let error = Plugin::over(fake.clone(), three::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(error.status(), Some(Status::INTERFACE_MISMATCH));
    assert_eq!(fake.log().iter().filter(|line| line.starts_with("OPEN")).count(), 1);
    assert_eq!(
        error.to_string(),
        "connection: the app's interface `edu` is version 2 (3 messages), the driver's is version 3 (2 messages), and they \
         differ in message 2, `two`: build both from one interface crate"
    );
}

#[test]
fn a_message_edited_in_place_is_named() {
    let fake = Fake::new(Some(edited::edu::INTERFACE)).shared();
    let error = Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(error.status(), Some(Status::INTERFACE_MISMATCH));
    assert_eq!(fake.log(), ["OPEN 2 ", "QUERY 0", "QUERY 1", "QUERY 2"], "opening again would change nothing");

    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    let error = Plugin::over(fake, one_other::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "connection: app and driver both have version 1 of the interface `edu`, and differ in message 1, `one`: build both from \
         one interface crate, in which a message that changes gets a number of its own"
    );
}

#[test]
fn a_plugin_of_another_interface_is_not_said_to_differ_in_a_message() {
    let text = |driver| {
        let error = Plugin::over(Fake::new(driver).shared(), two::edu::INTERFACE, &[]).unwrap_err();
        assert_eq!(error.status(), Some(Status::INTERFACE_MISMATCH));
        error.to_string()
    };
    assert_eq!(
        text(Some(renamed::card::INTERFACE)),
        "connection: the app is for the interface `edu`, and this plugin has another one, version 1 (1 message): open the plugin \
         that the app is for, or build the app with this one's interface crate"
    );
    assert_eq!(
        text(None),
        "connection: the app is for the interface `edu`, and this plugin has none: open the plugin that the app is for, or this \
         one without an interface; if it should have one, its `plugin!` lacks `interface:`"
    );
}

#[test]
fn a_second_refusal_is_final() {
    let busy = Fake::new(Some(two::edu::INTERFACE)).refusing(Status::BUSY).shared();
    let error = Plugin::over(busy.clone(), three::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(error.status(), Some(Status::BUSY));
    assert_eq!(busy.log(), ["OPEN 3 ", "OPEN 2 "]);
    let text = "connection: OPEN answered Busy: In use; ask again. See `dmesg`";
    assert_eq!(error.to_string(), text);

    let stubborn = Fake::new(Some(two::edu::INTERFACE)).refusing(Status::INTERFACE_MISMATCH).shared();
    let error = Plugin::over(stubborn.clone(), three::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(error.status(), Some(Status::INTERFACE_MISMATCH));
    assert_eq!(stubborn.log()[..2], ["OPEN 3 ", "OPEN 2 "]);
    assert_eq!(
        error.to_string(),
        "connection: the app's interface `edu` is version 2 (3 messages), the driver's is version 1 (2 messages), and the driver \
         says that they do not fit: build both from one interface crate"
    );
}

#[test]
fn a_driver_that_knows_all_messages_is_not_asked_again() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).refusing(Status::INTERFACE_MISMATCH).shared();
    assert!(Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).is_err());
    assert_eq!(fake.log().iter().filter(|line| line.starts_with("OPEN")).count(), 1);
}

#[test]
fn another_major_abi_names_both() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).speaking(2, 3).shared();
    let error = Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap_err();
    assert_eq!(error.status(), Some(Status::ABI_MISMATCH));
    assert_eq!(
        error.to_string(),
        "connection: the app speaks ABI 1.4, the driver 2.3: build both with the same major version of kp"
    );
    assert_eq!(fake.log(), ["OPEN 2 "]);
}

#[test]
fn a_refusal_says_what_to_do() {
    let text = |error| {
        let fake = Fake::new(Some(two::edu::INTERFACE)).refusing(error).shared();
        Plugin::over(fake, two::edu::INTERFACE, &[]).unwrap_err().to_string()
    };
    assert_eq!(
        text(Error::plugin(7)),
        "connection: the plugin refused with its error 7: see its documentation, and `dmesg`"
    );
    assert_eq!(
        text(Status::POISONED.into()),
        "connection: the plugin has panicked: see `dmesg`, then `kp reload edu`, or `rmmod kp_edu` and `insmod kp-edu.ko`"
    );
    assert_eq!(
        text(Status::TOO_MANY_SESSIONS.into()),
        "connection: the device has as many sessions as it allows: close another one"
    );
    assert_eq!(
        text(TransportStatus::UNKNOWN_REQUEST.status().into()),
        "connection: not a kp device: remove what has taken this path, then `kp load edu`, or `insmod kp-edu.ko`"
    );
    assert_eq!(
        text(Status(4242).into()),
        "connection: OPEN answered Status(0x1092): this build does not know the status; rebuild the app with a newer kp-user"
    );
}

#[test]
fn an_app_without_interface_opens_any_plugin() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    let plugin = OpenOptions::new().data(b"hi").over(fake.clone()).unwrap();
    assert_eq!(fake.log(), ["QUERY 0", "OPEN 0 hi"]);
    assert!(plugin.knows(2) && !plugin.knows(3));

    let raw = OpenOptions::new().over(Fake::new(None).shared()).unwrap();
    assert!(raw.knows(4711), "a plugin without an interface takes any number");
}

#[test]
fn a_device_is_found_by_its_bus_address_whichever_number_it_has() {
    let at = |address| Fake::new(Some(two::edu::INTERFACE)).at(address).shared();
    let fakes = [Fake::new(None).shared(), at("0000:03:00.0"), at("0000:04:00.0")];
    let connections = || fakes.clone().into_iter().map(|fake| fake as Arc<dyn Connection>);
    let options = OpenOptions::new().interface(two::edu::INTERFACE);
    let plugin = options.over_at("04:00.0", connections()).unwrap();
    assert_eq!(plugin.bus_address().unwrap(), Some("0000:04:00.0".parse().unwrap()));
    assert_eq!(
        fakes.each_ref().map(|fake| fake.log().iter().any(|line| line.starts_with("OPEN"))),
        [false, false, true]
    );

    let error = options.over_at("05:00.0", connections()).unwrap_err();
    assert_eq!(error.status(), None);
    assert_eq!(
        error.to_string(),
        "0000:05:00.0: no plugin has a device at this address, but at 0000:03:00.0, 0000:04:00.0: see `lspci -nnk`"
    );
    let error = options.over_at("05:00.0", connections().take(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "0000:05:00.0: no plugin has a device at this address, nor at any other: is the module loaded? `kp load edu`, or `insmod kp-edu.ko`"
    );
    let error = options.over_at("edu.0", connections()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"edu.0\": not a bus address: use one such as `0000:03:00.0`, as `lspci -D` writes it"
    );
}

#[test]
fn calls_carry_what_the_client_says() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    let plugin = Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap();
    assert_eq!(two::edu::Client(&plugin).one(2), Ok(0x0101_0101));
    assert_eq!(two::edu::Client(plugin.nowait()).two(3, b"ab"), Ok(()));
    assert_eq!(fake.log()[1..], ["CALL 1 flags 0 args [2, 0, 0, 0] data []", "CALL 2 flags 1 args [3] data [97, 98]"]);
}

#[test]
fn dropping_sends_close_before_the_handle_goes() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    drop(Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap());
    assert_eq!(fake.log(), ["OPEN 2 ", "CLOSE"]);
    assert!(std::sync::Arc::into_inner(fake).is_some(), "the plugin has let go of the handle");
}

#[test]
fn closing_sends_close_once() {
    let fake = Fake::new(Some(two::edu::INTERFACE)).shared();
    assert_eq!(Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).unwrap().close(), Ok(()));
    assert_eq!(fake.log(), ["OPEN 2 ", "CLOSE"]);
}

#[test]
fn a_refused_open_leaves_nothing_to_close() {
    let fake = Fake::new(Some(edited::edu::INTERFACE)).shared();
    assert!(Plugin::over(fake.clone(), two::edu::INTERFACE, &[]).is_err());
    assert!(!fake.log().contains(&"CLOSE".into()), "{:?}", fake.log());
}

//! The driver{% if ids %} against the model of its card{% endif %}, in the simulator.
#![forbid(unsafe_code)]
{% if ids %}
mod model;
{% endif %}
use {{ crate }}::{Driver, {{ crate }} as messages};
use kp_sim::Sim;
{%- if irq %}
use kp_user::Enable;
{%- endif %}
{%- if ids %}
use model::Model;
{%- endif %}
{%- if irq %}
use std::time::Duration;
{%- endif %}

{% if software -%}
#[test]
fn each_session_has_a_sum_of_its_own() {
    let sim = Sim::<Driver>::new().expect("the plugin loads");
    let [one, other] = [(); 2].map(|()| sim.connect(messages::INTERFACE).expect("an app opens it"));
    assert_eq!(messages::Client(&one).add(2), Ok(2));
    assert_eq!(messages::Client(&one).add(3), Ok(5));
    assert_eq!(messages::Client(&other).add(1), Ok(1));
}

#[test]
fn what_is_said_comes_back() {
    let sim = Sim::<Driver>::new().expect("the plugin loads");
    let plugin = sim.connect(messages::INTERFACE).expect("an app opens it");
    let mut room = [0; 16];
    assert_eq!(messages::Client(&plugin).repeat(b"hello", &mut room), Ok(&b"hello"[..]));
}
{%- else -%}
#[test]
fn {% if test.registers %}registers_are_read_and_written{% else %}the_driver_takes_the_card{% endif %}() {
    let sim = Sim::<Driver>::with(Model::new()).expect("the driver takes the card");
    let plugin = sim.connect(messages::INTERFACE).expect("an app opens it");
    let client = messages::Client(&plugin);
{%- for line in test.registers %}
    {{ line }}
{%- endfor %}
{%- if not test.registers %}
    assert_eq!(client.{{ messages[0].name }}(), Ok({{ test.first }}));
{%- endif %}
}
{%- endif %}
{%- if irq %}

#[test]
fn an_interrupt_is_acknowledged_and_wakes_the_app() {
    for enable in [{% if irq.recipe != "none" %}Enable::line(), {% endif %}Enable::msi()] {
        let sim = Sim::<Driver>::with(Model::new()).expect("the driver takes the card");
        let plugin = sim.connect(messages::INTERFACE).expect("an app opens it");
        let interrupts = plugin.interrupts(enable).expect("the card has this kind");
        for round in 1..=2 {
            sim.device(|card: &mut Model| card.raise({% if irq.status %}{{ test.bits }}{% endif %}));
            assert_eq!(interrupts.wait(Duration::from_secs(1)).expect("it comes").got, 1);
{%- if irq.causes %}
            assert_eq!(messages::Client(&plugin).take_causes(), Ok({{ test.bits }}));
{%- endif %}
{%- if irq.masks %}
            sim.device(Model::served);
            assert_eq!(messages::Client(&plugin).unmask(), Ok(()));
{%- endif %}
            let counters = interrupts.counters().expect("the interrupt is enabled");
            assert_eq!((counters.received, counters.spurious), (round, 0));
        }
    }
}
{%- endif %}

#[test]
fn each_call_of_the_kernel_may_fail() {
    let fails_at = |n| Sim::<Driver>::builder(){% if ids %}.device(Model::new()){% endif %}.fail_nth(n).build();
    let calls = fails_at(0).expect("nothing fails").fallible_calls();
    for n in 1..=calls {
        assert!(fails_at(n).is_err(), "call {n} of {calls}");
    }
}

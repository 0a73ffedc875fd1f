//! What the plugin and its apps say to each other.
//!
//! A message's number is for good once an app uses it. New ones go to the end, with the next number.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::interface! {
    /// {{ title }}.
    pub mod {{ crate }}, version 1 {
{%- for message in messages %}
        /// {{ message.doc }}
        fn {{ message.name }}({{ message.arguments }}){% if message.reply %} -> {{ message.reply }}{% endif %} = {{ loop.index }};
{%- endfor %}
    }
}

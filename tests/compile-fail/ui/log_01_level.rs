//! `log!` is lent nothing: it works at any level.
include!("part/plugin.rs");

pub fn f(cx: &mut Passive) {
    log!(cx, "here");
}

//! A poll lends its level: the one outside is out of reach meanwhile.
use kp_core::*;

fn wait(cx: &mut Passive, flag: &Mutex<bool>) -> Result<()> {
    cx.poll(10, |_| flag.with(cx, |flag, _| *flag))
}

fn main() {}

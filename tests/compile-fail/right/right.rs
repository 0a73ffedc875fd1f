//! What the cases get wrong, done right: this compiles.
include!("../ui/part/plugin.rs");
include!("../ui/part/registers.rs");
include!("../ui/part/interface.rs");

pub fn call(cx: &mut Passive, bar: &Bar<regs::Map>, lock: &Mutex<u32>, inner: &SpinLock<u32, Irql>) -> Result<()> {
    lock.with(cx, |n, cx| {
        cx.sleep_ms(1)?;
        *n += bar.read(regs::ID);
        inner.with(cx, |m, _| *m += 1);
        bar.write(regs::ACK, 1);
        Ok(())
    })
}

impl sums::Handler<Passive> for Plain {
    fn double(&self, cx: &mut Passive, _: &(), n: u32) -> Result<u32> {
        Ok(*KBox::new(cx, 2 * n)?)
    }
    fn clear(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}
impl IntAtIrql for Plain {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::DEFER
    }
}
impl IntAtDpc for Plain {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        count
    }
}

plugin! { Plain { name: "plain", devices: [0x1234:0x11e8], interface: sums, callbacks: [IntAtIrql, IntAtDpc] } }

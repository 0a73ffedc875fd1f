//! A real .sys with a function whose variables take two pages of the stack.
use windows_loader::{Machine, Stopped, build};

#[test]
#[ignore = "needs Debian's compiler for Windows; run by `cargo kp test`"]
fn it_has_its_two_pages_and_its_callers_registers_when_it_runs() {
    let machine = Machine::default();
    // `init` refuses if what it had on the stack, or gave to the function, is not what comes back.
    let driver = machine.start(&build("deep-stack").unwrap()).unwrap();
    assert_eq!(driver.stop(), Ok(Stopped::Gone));
    machine.finish();
}

//! Interrupts: from the device's doorbell to the app that runs, and interrupts that no app sees.
use crate::{
    clock::{self, Sample},
    edu::{Line, Raiser, Registers},
    module::Module,
    vfio,
};
use bench_interface::wake;
use edu_interface::edu;
use kp_abi::request::{self, Request};
use kp_user::{Enable, Interrupts, Plugin};
use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

const TURNS: usize = 1001;

/// All of them.
pub fn run() -> Result<(), String> {
    clock::check()?;
    let pair = clock::pair();
    let registers = Registers::map()?;
    let kinds = [("msi", Enable::msi as fn() -> Enable<'static>), ("line", Enable::line)];
    {
        let _module = Module::load("/kp/kp-edu.ko", "")?;
        for (name, enable) in kinds {
            ours(name, enable, pair, registers)?;
        }
    }
    in_a_call(pair, registers)?;
    in_a_plain_call(pair, registers)?;
    plain(pair, registers)?;
    {
        let _module = Module::load("/kp/plain-irq.ko", "defer=0")?;
        inside("irq-inside-msi-plain", pair, registers);
    }
    uio(pair, registers)
}

/// VFIO's, and ours and plain-irq's by MSI. Its boot has an IOMMU, which changes how interrupts are delivered.
pub fn beside_vfio() -> Result<(), String> {
    clock::check()?;
    let pair = clock::pair();
    let registers = Registers::map()?;
    {
        let _module = Module::load("/kp/kp-edu.ko", "")?;
        ours("msi", Enable::msi, pair, registers)?;
    }
    plain(pair, registers)?;
    let mut device = vfio::Device::open()?;
    let registers = device.registers;
    handled("irq-wake-vfio", pair, registers, || device.wait(), || registers.acknowledge())
}

/// Ours, by one kind of interrupt.
fn ours(name: &str, enable: fn() -> Enable<'static>, pair: u64, registers: Registers) -> Result<(), String> {
    let ours = Ours::enable(1, enable())?;
    woken(&format!("irq-wake-{name}-ours"), pair, registers, || ours.wait())?;
    let mut failed = None;
    woken(&format!("irq-wake-{name}-client"), pair, registers, || {
        failed = ours.interrupts.wait(Duration::MAX).err().or(failed);
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(format!("wait: {error}"));
    }
    drop(ours);
    let ours = Ours::enable(u32::MAX, enable())?;
    inside(&format!("irq-inside-{name}-ours"), pair, registers);
    ours.all_inside()
}

/// A call that waits in the plugin, and is woken by the plugin's own DPC.
fn in_a_call(pair: u64, registers: Registers) -> Result<(), String> {
    let _module = Module::load("/kp/kp-bench-wake.ko", "")?;
    let opened = Plugin::open_interface("bench-wake", wake::INTERFACE, &[]);
    let plugin = opened.map_err(|error| format!("bench-wake: {error}"))?;
    let fd = plugin.as_fd().ok_or("the connection has no descriptor")?.as_raw_fd();
    let interrupts = plugin.interrupts(Enable::msi()).map_err(|error| format!("bench-wake: {error}"))?;
    let number = request::direct_number(1) as libc::Ioctl;
    woken_in_a_call("ours", pair, registers, || {
        let mut buffer = [0_u64; 2];
        // SAFETY: the descriptor is the plugin's, which lives; the buffer has room for an answer and a u64.
        let answer = unsafe { libc::ioctl(fd, number, buffer.as_mut_ptr()) };
        if answer == 0 { Ok(buffer[1]) } else { Err(format!("bench-wake: {answer}, {buffer:?}")) }
    })?;
    drop(interrupts);
    Ok(())
}

/// plain-edu's call that waits.
fn in_a_plain_call(pair: u64, registers: Registers) -> Result<(), String> {
    let _module = Module::load("/kp/plain-edu.ko", "defer=1")?;
    let file = File::open("/dev/plain-edu").map_err(|error| format!("/dev/plain-edu: {error}"))?;
    // `_IOR(PLAIN_TYPE, 16, __u64)`.
    let number = (2 << 30 | 8 << 16 | u64::from(b'p') << 8 | 16) as libc::Ioctl;
    woken_in_a_call("plain", pair, registers, || {
        let mut took = 0_u64;
        // SAFETY: an open file, and a number that lives.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), number, &raw mut took) };
        if answer == 0 { Ok(took) } else { Err(format!("plain-edu: {answer}")) }
    })
}

/// Measures from the doorbell to the return of the call; and what the call says, from the wake-up to where it goes on.
fn woken_in_a_call(
    who: &str,
    pair: u64,
    registers: Registers,
    mut call: impl FnMut() -> Result<u64, String>,
) -> Result<(), String> {
    let mut inside = Vec::with_capacity(TURNS + 16);
    woken(&format!("wait-wake-app-{who}"), pair, registers, || call().map(|took| inside.push(took)))?;
    Sample::new(inside).print(&format!("wait-wake-{who}"));
    Ok(())
}

/// plain-irq's wake-up.
fn plain(pair: u64, registers: Registers) -> Result<(), String> {
    let _module = Module::load("/kp/plain-irq.ko", "defer=1")?;
    let mut file = File::open("/dev/plain-irq").map_err(|error| format!("/dev/plain-irq: {error}"))?;
    woken("irq-wake-msi-plain", pair, registers, || read_count(&mut file))
}

/// Measures from the doorbell to the waiter's return.
fn woken(
    name: &str,
    pair: u64,
    registers: Registers,
    mut wait: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let raiser = Raiser::start(registers);
    let mut costs = Vec::with_capacity(TURNS);
    for turn in 0..TURNS + 16 {
        raiser.arm();
        wait()?;
        let end = clock::now();
        if turn >= 16 {
            costs.push((end - raiser.raised_at()).saturating_sub(pair));
        }
    }
    Sample::new(costs).print(name);
    Ok(())
}

/// Measures from the doorbell to the waiter's return, and to where it has handled the interrupt itself.
fn handled(
    name: &str,
    pair: u64,
    registers: Registers,
    mut wait: impl FnMut() -> Result<(), String>,
    handle: impl Fn(),
) -> Result<(), String> {
    let raiser = Raiser::start(registers);
    let (mut running, mut handled) = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for turn in 0..TURNS + 16 {
        raiser.arm();
        wait()?;
        let runs = clock::now();
        handle();
        let end = clock::now();
        if turn >= 16 {
            running.push((runs - raiser.raised_at()).saturating_sub(pair));
            handled.push((end - raiser.raised_at()).saturating_sub(2 * pair));
        }
    }
    Sample::new(running).print(&format!("{name}-running"));
    Sample::new(handled).print(name);
    Ok(())
}

/// One of the wake-ups, so often, and nothing else: for a profile.
pub fn only(who: &str, count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| format!("{count} is no number"))?;
    let registers = Registers::map()?;
    let often = |mut wait: Box<dyn FnMut() -> Result<(), String>>| {
        let raiser = Raiser::start(registers);
        (0..count).try_for_each(|_| {
            raiser.arm();
            wait()
        })
    };
    match who {
        "ours" => {
            let _module = Module::load("/kp/kp-edu.ko", "")?;
            let ours = Ours::enable(1, Enable::msi())?;
            often(Box::new(move || ours.wait()))
        }
        "plain" => {
            let _module = Module::load("/kp/plain-irq.ko", "defer=1")?;
            let mut file = File::open("/dev/plain-irq").map_err(|error| format!("/dev/plain-irq: {error}"))?;
            often(Box::new(move || read_count(&mut file)))
        }
        _ => Err(format!("{who} is neither ours nor plain")),
    }
}

/// Measures from the doorbell to the instruction behind it: the interrupt comes between.
fn inside(name: &str, pair: u64, registers: Registers) {
    Sample::of(TURNS, pair, || registers.raise()).print(name);
}

fn read_count(file: &mut File) -> Result<(), String> {
    let mut count = [0; 4];
    file.read_exact(&mut count).map_err(|error| format!("no interrupt: {error}"))
}

/// The edu plugin, with its interrupt enabled.
struct Ours {
    interrupts: Interrupts,
    fd: RawFd,
    _plugin: Plugin,
}

impl Ours {
    fn enable(defer_every: u32, enable: Enable<'_>) -> Result<Self, String> {
        let plugin = Plugin::open_interface("edu", edu::INTERFACE, &[]).map_err(|error| format!("edu: {error}"))?;
        let fd = plugin.as_fd().ok_or("the connection has no descriptor")?.as_raw_fd();
        let failed = |error| format!("edu: {error}");
        edu::Client(&plugin).defer_every(defer_every).map_err(failed)?;
        let interrupts = plugin.interrupts(enable).map_err(failed)?;
        Ok(Self { interrupts, fd, _plugin: plugin })
    }

    /// INT_WAIT, as the client library sends it.
    #[inline(always)]
    fn wait(&self) -> Result<(), String> {
        let mut wait =
            request::IntWait { timeout_ns: request::NO_TIMEOUT, vector: request::ANY_VECTOR, max: 1, ..Request::new() };
        let number = request::ioctl_number(request::IntWait::NR) as libc::Ioctl;
        // SAFETY: the descriptor is the plugin's, which lives; the struct is as long as it says.
        let answer = unsafe { libc::ioctl(self.fd, number, &raw mut wait) };
        if answer == 0 && wait.head.status == 0 { Ok(()) } else { Err(format!("wait: {answer}, {:?}", wait.head)) }
    }

    /// Every interrupt ended in the handler, and none was left out.
    fn all_inside(&self) -> Result<(), String> {
        let counters = self.interrupts.counters().map_err(|error| format!("edu: {error}"))?;
        let right = counters.received >= TURNS as u64 && counters.deferred == 0 && counters.dpc_runs == 0;
        if right { Ok(()) } else { Err(format!("interrupts were not handled inside: {counters:?}")) }
    }
}

/// The same through uio_pci_generic: the process acknowledges the device itself, and then enables its line again.
fn uio(pair: u64, registers: Registers) -> Result<(), String> {
    let _uio = Module::load("/kp/uio.ko", "")?;
    let _generic = Module::load("/kp/uio_pci_generic.ko", "")?;
    fs::write("/sys/bus/pci/drivers/uio_pci_generic/new_id", "1234 11e8")
        .map_err(|error| format!("uio_pci_generic does not take edu: {error}"))?;
    let mut device =
        OpenOptions::new().read(true).write(true).open("/dev/uio0").map_err(|error| format!("/dev/uio0: {error}"))?;
    registers.acknowledge();
    let line = Line::enabled()?;
    handled(
        "irq-wake-uio",
        pair,
        registers,
        || read_count(&mut device),
        || {
            registers.acknowledge();
            line.enable();
        },
    )
}

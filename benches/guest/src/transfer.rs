//! Transfers of 2 KiB by edu's engine, into the app's memory: calls that wait for them in the driver, and VFIO, whose app does all itself.
use crate::{
    bystander::Bystander,
    clock,
    edu::{Registers, WHEN_DONE},
    module::Module,
    vfio,
};
use bmd_interface::bmd;
use kp_abi::request::{self, Answer};
use kp_user::{Access, Buffer, Enable, Plugin};
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
};

const TURNS: usize = 201;
const PAGE: usize = 4096;
/// Half a page.
const LEN: usize = 2048;

/// Ours and plain-edu's, without an IOMMU.
pub fn run() -> Result<(), String> {
    clock::check()?;
    let pair = clock::pair();
    let bystander = Bystander::start();
    ours(&bystander, pair)?;
    plain(&bystander, pair)
}

/// The same with an IOMMU, and VFIO's.
pub fn beside_vfio() -> Result<(), String> {
    run()?;
    let pair = clock::pair();
    let bystander = Bystander::start();
    let mut device = vfio::Device::open()?;
    by_vfio(&mut device, &bystander, pair)
}

/// A page of this process, with half of it a pattern that is to go to the card.
struct Page(*mut u8);

impl Page {
    fn new() -> Result<Self, String> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: new memory at an address of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(format!("no page: {}", io::Error::last_os_error()));
        }
        let page = Self(base.cast());
        for at in 0..LEN {
            // SAFETY: inside the page, which stays mapped.
            unsafe { page.0.wrapping_add(at).write_volatile(pattern(at)) };
        }
        Ok(page)
    }

    fn address(&self) -> u64 {
        self.0.expose_provenance() as u64
    }

    /// The card has given back what it was given.
    fn check(&self, who: &str) -> Result<(), String> {
        // SAFETY: inside the page, which stays mapped.
        let came = |at: usize| unsafe { self.0.wrapping_add(LEN + at).read_volatile() };
        arrived(who, came)
    }
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

fn arrived(who: &str, came: impl Fn(usize) -> u8) -> Result<(), String> {
    match (0..LEN).find(|&at| came(at) != pattern(at)) {
        None => Ok(()),
        Some(at) => Err(format!("{who}: byte {at} of a transfer is {:#04x}", came(at))),
    }
}

/// The bmd plugin's, by its direct call; the buffer is registered once.
fn ours(bystander: &Bystander, pair: u64) -> Result<(), String> {
    let _module = Module::load("/kp/kp-bmd.ko", "")?;
    let failed = |error| format!("bmd: {error}");
    let plugin = Plugin::open_interface("bmd", bmd::INTERFACE, &[]).map_err(|error| format!("bmd: {error}"))?;
    let fd = plugin.as_fd().ok_or("the connection has no descriptor")?.as_raw_fd();
    let interrupts = plugin.interrupts(Enable::msi()).map_err(failed)?;
    let buffer = plugin.buffer(PAGE, Access::Write).map_err(failed)?;
    buffer.write(0, &(0..LEN).map(pattern).collect::<Vec<_>>());
    let card = bmd::Client(&plugin);
    card.write(buffer.number(), 0, LEN as u64).map_err(failed)?;
    bystander.measure("dma-2k-ours", TURNS, pair, || read_directly(fd, &buffer))?;
    let mut got = vec![0; LEN];
    buffer.read(LEN, &mut got);
    arrived("bmd", |at| got[at])?;
    let read = |at| card.read(buffer.number(), at, LEN as u64).map(|_| ()).map_err(failed);
    bystander.measure("dma-2k-client", TURNS / 4, pair, || read(LEN as u64))?;
    drop(interrupts);
    Ok(())
}

/// `read` of the second half of the buffer, in the direct form of CALL.
#[inline(always)]
fn read_directly(fd: RawFd, buffer: &Buffer) -> Result<(), String> {
    let mut bytes = [0xff; size_of::<Answer>() + 20];
    bytes[8..12].copy_from_slice(&buffer.number().0.to_le_bytes());
    bytes[12..20].copy_from_slice(&(LEN as u64).to_le_bytes());
    bytes[20..28].copy_from_slice(&(LEN as u64).to_le_bytes());
    let number = u64::from(request::direct_number(2)) as libc::Ioctl;
    // SAFETY: the descriptor is the plugin's, which lives; the buffer is as long as the message needs.
    let answer = unsafe { libc::ioctl(fd, number, bytes.as_mut_ptr()) };
    let right = answer == 0 && bytes[8..16] == (LEN as u64).to_le_bytes();
    if right { Ok(()) } else { Err(format!("bmd's read: {answer}, {:?}", &bytes[..16])) }
}

/// `struct plain_transfer`.
#[repr(C)]
struct PlainTransfer {
    at: u64,
    len: u64,
}

/// `_IOW(PLAIN_TYPE, nr, struct plain_transfer)`.
const fn plain_number(nr: u64) -> u64 {
    1 << 30 | (size_of::<PlainTransfer>() as u64) << 16 | (b'p' as u64) << 8 | nr
}

const PLAIN_REGISTER: u64 = plain_number(17);
const PLAIN_READ: u64 = plain_number(18);
const PLAIN_WRITE: u64 = plain_number(19);
const PLAIN_READ_PINNED: u64 = plain_number(20);

#[inline(always)]
fn plain_ioctl(file: &File, number: u64, at: u64, len: usize, answers: usize) -> Result<(), String> {
    let mut transfer = PlainTransfer { at, len: len as u64 };
    // SAFETY: an open file, and a struct that lives.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), number as libc::Ioctl, &raw mut transfer) };
    if answer as usize == answers {
        Ok(())
    } else {
        Err(format!("plain-edu: {answer}, {}", io::Error::last_os_error()))
    }
}

/// plain-edu's: of a buffer that is registered once, as ours is, by tasklet or by the handler; and of memory that is pinned each time.
fn plain(bystander: &Bystander, pair: u64) -> Result<(), String> {
    for (parameters, name) in [("defer=1", "dma-2k-plain"), ("defer=0", "dma-2k-plain-irq")] {
        let _module = Module::load("/kp/plain-edu.ko", parameters)?;
        let file = File::open("/dev/plain-edu").map_err(|error| format!("/dev/plain-edu: {error}"))?;
        let page = Page::new()?;
        plain_ioctl(&file, PLAIN_REGISTER, page.address(), PAGE, 0)?;
        plain_ioctl(&file, PLAIN_WRITE, 0, LEN, LEN)?;
        bystander.measure(name, TURNS, pair, || plain_ioctl(&file, PLAIN_READ, LEN as u64, LEN, LEN))?;
        page.check(name)?;
        if parameters == "defer=1" {
            let at = page.address() + LEN as u64;
            let pinned = || plain_ioctl(&file, PLAIN_READ_PINNED, at, LEN, LEN);
            bystander.measure("dma-2k-plain-pinned", TURNS / 4, pair, pinned)?;
        }
    }
    Ok(())
}

/// Where the card finds the page, as the app has told VFIO.
const AT: u64 = 0x10_0000;

/// VFIO's: the app programs the engine and waits. With the page mapped for each transfer, and with it mapped once.
fn by_vfio(device: &mut vfio::Device, bystander: &Bystander, pair: u64) -> Result<(), String> {
    let page = Page::new()?;
    let registers = device.registers;
    device.map_memory(page.address(), AT, PAGE as u64)?;
    transfer(device, registers, false)?;
    bystander.measure("dma-2k-vfio", TURNS, pair, || transfer(device, registers, true))?;
    page.check("vfio")?;
    device.unmap_memory(AT, PAGE as u64)?;
    bystander.measure("dma-2k-vfio-mapped-each", TURNS, pair, || {
        device.map_memory(page.address(), AT, PAGE as u64)?;
        transfer(device, registers, true)?;
        device.unmap_memory(AT, PAGE as u64)
    })
}

/// One transfer, of the first half of the page to the card or from there to the second half, and the wait for its interrupt.
#[inline(always)]
fn transfer(device: &mut vfio::Device, registers: Registers, to_memory: bool) -> Result<(), String> {
    if to_memory {
        registers.write_memory(AT + LEN as u64, LEN as u64);
    } else {
        registers.read_memory(AT, LEN as u64);
    }
    device.wait()?;
    registers.acknowledge_bits(WHEN_DONE);
    Ok(())
}

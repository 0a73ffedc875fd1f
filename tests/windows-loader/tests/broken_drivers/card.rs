//! A card, the driver that the bus has shown it to, and what is on the stage of each deed. All of a test is on one thread.
use crate::skeleton::{self, complete, open};
use kp_sim::device::{DeviceModel, Identity, Memory};
use std::{
    cell::{Cell, RefCell},
    ptr,
};
use windows_loader::{
    Buffer, Device, Machine, Options, Stopped,
    nt::{DeviceObject, DriverObject, Irp, Mdl, NtStatus, STATUS_PENDING, STATUS_SUCCESS, UnicodeString, control},
};

pub const PAGE: usize = 4096;
/// Device controls: function 0x800 with METHOD_OUT_DIRECT.
pub const CODE: u32 = 0x22 << 16 | 0x800 << 2 | 2;
/// Where the app's memory begins in its page.
const SKIP: usize = 0xF80;
/// How much it is: it ends in the next page but one.
pub const LEN: usize = 0x80 + PAGE + 0x100;

/// What a device control does.
pub type Deed = fn(&Scene);

thread_local! {
    /// What the next device control does.
    static DEED: Cell<Deed> = const { Cell::new(|_| {}) };
    /// It never completes that.
    pub static KEEPS: Cell<bool> = const { Cell::new(false) };
    /// The bus's device object.
    pub static BUS: Cell<*mut DeviceObject> = const { Cell::new(ptr::null_mut()) };
    /// The card.
    static CARD: RefCell<Option<Device>> = const { RefCell::new(None) };
    /// What that is told to do.
    pub static ORDER: Cell<Option<Transfer>> = const { Cell::new(None) };
    /// What it has read.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A transfer: a bus address, and how many bytes are read, or the byte that is written so often.
#[derive(Clone, Copy)]
pub enum Transfer {
    Reads(u64, usize),
    Writes(u64, usize, u8),
}

/// A card that transfers at once, when somebody looks at it.
struct Card;

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn advance(&mut self, _: u64, ram: &mut dyn Memory) {
        let _ = match ORDER.take() {
            Some(Transfer::Reads(at, len)) => READ.with_borrow_mut(|read| {
                read.resize(len, 0);
                ram.read(at, read)
            }),
            Some(Transfer::Writes(at, len, byte)) => ram.write(at, &vec![byte; len]),
            None => true,
        };
    }
}

/// The card does this now.
fn transfers(order: Transfer) {
    ORDER.set(Some(order));
    CARD.with_borrow(|card| card.as_ref().expect("it is plugged in").raises_its_line());
}

/// What the card reads.
pub fn reads(at: u64, len: usize) -> Vec<u8> {
    transfers(Transfer::Reads(at, len));
    READ.take()
}

/// The card writes this byte so often.
pub fn writes(at: u64, len: usize, byte: u8) {
    transfers(Transfer::Writes(at, len, byte));
}

/// DriverEntry.
pub extern "efiapi" fn entry(driver: *mut DriverObject, _: *const UnicodeString) -> NtStatus {
    // SAFETY: the kernel's driver object, in DriverEntry.
    unsafe { (*(*driver).driver_extension).add_device = (add_device as *const ()).expose_provenance() };
    skeleton::make(driver, on_control)
}

extern "efiapi" fn add_device(_: *mut DriverObject, physical: *mut DeviceObject) -> NtStatus {
    BUS.set(physical);
    STATUS_SUCCESS
}

extern "efiapi" fn on_control(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the driver's request.
    let (mdl, location) = unsafe { ((*irp).mdl_address, &mut *(*irp).current_stack_location) };
    if KEEPS.get() {
        location.control |= control::PENDING_RETURNED;
        return STATUS_PENDING;
    }
    (DEED.get())(&Scene { app: mdl });
    complete(irp, STATUS_SUCCESS)
}

/// What the driver has in its request.
pub struct Scene {
    /// The app's memory.
    pub app: *mut Mdl,
}

/// A machine with a driver and a card, an app's memory, and a request in which the driver does this.
pub struct Stage {
    pub machine: Machine,
    memory: Vec<u8>,
}

impl Stage {
    pub fn new(options: Options) -> Self {
        Self { machine: Machine::new(options), memory: vec![0; 4 * PAGE] }
    }

    /// The app's memory.
    pub fn app(&mut self) -> &mut [u8] {
        let to_page = self.memory.as_ptr().align_offset(PAGE);
        &mut self.memory[to_page + SKIP..][..LEN]
    }

    /// What ends the run.
    pub fn verdict(&mut self, deed: Deed) -> String {
        DEED.set(deed);
        let memory = Buffer::output(self.app());
        skeleton::verdict(&self.machine, || {
            let driver = self.machine.start_broken("planted", entry).expect("it starts");
            let card = self.machine.plug(Card);
            card.add(&driver).expect("it is added");
            CARD.set(Some(card));
            let handle = open(&self.machine);
            assert_eq!(handle.control(CODE, Buffer::default(), memory).status, 0);
            handle.close();
            assert_eq!(driver.stop(), Ok(Stopped::Gone));
            CARD.take().expect("it is plugged in").raises_its_line();
        })
    }
}

/// What ends the run on an ordinary machine.
pub fn verdict(deed: Deed) -> String {
    Stage::new(Options::default()).verdict(deed)
}

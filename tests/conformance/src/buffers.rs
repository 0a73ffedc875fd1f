//! A request with addresses, as the two buffers of a DeviceIoControl: what an app on Windows sends in its place.
//!
//! What an address leads to follows the struct, and the address is 0, if this process has the bytes. Else the address stays, and is
//! the driver's to refuse: on Windows an address that is not 0 is a bad one.
use crate::raw_ioctl::Process;
use kp_abi::{
    limits::MAX_REQUEST,
    request::{
        CTL_DEVICE, Call, Close, Head, IntCount, IntDisable, IntEnable, IntWait, Open, Query, Request, Schema,
        control_code,
    },
};
use std::mem::offset_of;

/// What a process can do with its own memory.
pub trait Memory: Process {
    /// Whether all of these bytes can be read, and written if `write`.
    fn has(&self, address: u64, len: usize, write: bool) -> bool;
}

/// A request ready for DeviceIoControl.
pub struct Buffers {
    /// The control code.
    pub code: u32,
    /// The in-buffer.
    pub input: Vec<u8>,
    /// The out-buffer, with what it has before.
    pub output: Vec<u8>,
    /// Where the struct is.
    address: u64,
    /// Where what the out-buffer has behind its first part goes, and how long that is: the head of a call, and the struct of a SCHEMA.
    reply: Option<(u64, usize)>,
}

/// The control code of any request number; of one that there is not, with METHOD_BUFFERED and all access.
pub fn code(nr: u32) -> u32 {
    control_code(nr).unwrap_or(CTL_DEVICE << 16 | 3 << 14 | (0x800 + nr) << 2)
}

/// Size of a request's struct.
fn first_size(nr: u32) -> usize {
    match nr {
        Query::NR => Query::FIRST_SIZE,
        Open::NR => Open::FIRST_SIZE,
        Call::NR => Call::FIRST_SIZE,
        Close::NR => Close::FIRST_SIZE,
        IntEnable::NR => IntEnable::FIRST_SIZE,
        IntWait::NR => IntWait::FIRST_SIZE,
        IntCount::NR => IntCount::FIRST_SIZE,
        IntDisable::NR => IntDisable::FIRST_SIZE,
        Schema::NR => Schema::FIRST_SIZE,
        _ => size_of::<Head>(),
    }
}

impl Buffers {
    /// The request whose struct is at `address`, which this process can read and write.
    pub fn new(process: &dyn Memory, nr: u32, address: u64) -> Self {
        let bytes = |address: u64, len: usize| {
            let mut bytes = vec![0; len];
            process.read(address, &mut bytes);
            bytes
        };
        let size = u32::from_le_bytes(bytes(address, 4).try_into().expect("four bytes")) as usize;
        // A size that no driver takes is sent with one byte more than the largest one, so that it is seen to be too large.
        let mut input = bytes(address, size.clamp(first_size(nr), MAX_REQUEST + 1));
        let mut buffers = Self { code: code(nr), output: input.clone(), input: Vec::new(), address, reply: None };
        let short = |input: &[u8], at: usize| u32::from_le_bytes(input[at..at + 4].try_into().expect("four bytes"));
        let long = |input: &[u8], at: usize| u64::from_le_bytes(input[at..at + 8].try_into().expect("eight bytes"));
        // Offsets of an address and of its length, in the order in which the bytes follow.
        let parts: &[(usize, usize)] = match nr {
            Call::NR => &[
                (offset_of!(Call, args_addr), offset_of!(Call, args_len)),
                (offset_of!(Call, in_addr), offset_of!(Call, in_len)),
            ],
            Open::NR => &[(offset_of!(Open, data_addr), offset_of!(Open, data_len))],
            IntEnable::NR => &[(offset_of!(IntEnable, data_addr), offset_of!(IntEnable, data_len))],
            _ => &[],
        };
        let mut follows = Vec::new();
        for &(address_at, len_at) in parts {
            let (address, len) = (long(&input, address_at), short(&input, len_at) as usize);
            if len != 0 && !process.has(address, len, false) {
                break;
            }
            if len != 0 {
                input[address_at..address_at + 8].fill(0);
                follows.resize(follows.len().next_multiple_of(8), 0);
                follows.extend(bytes(address, len));
            }
        }
        if nr == Call::NR {
            let at = offset_of!(Call, out_addr);
            let (address, len) = (long(&input, at), short(&input, offset_of!(Call, out_len)) as usize);
            buffers.output.truncate(size_of::<Head>());
            buffers.reply = Some((address, size_of::<Head>()));
            if len != 0 && process.has(address, len, true) {
                input[at..at + 8].fill(0);
                buffers.output.extend(bytes(address, len));
            }
        }
        if nr == Schema::NR {
            let at = offset_of!(Schema, addr);
            let (address, len) = (long(&input, at), short(&input, offset_of!(Schema, len)) as usize);
            if len != 0 && process.has(address, len, true) {
                input[at..at + 8].fill(0);
                buffers.reply = Some((address, buffers.output.len()));
                buffers.output.extend(bytes(address, len));
            }
        }
        input.extend(follows);
        buffers.input = input;
        buffers
    }

    /// Copies the answer, `written` bytes of the out-buffer, to where the process looks for it.
    pub fn deliver(&self, process: &dyn Process, written: usize) {
        let output = &self.output[..written];
        let Some((reply, at)) = self.reply else { return process.write(self.address, output) };
        let (head, rest) = output.split_at(written.min(at));
        process.write(self.address, head);
        if !rest.is_empty() {
            process.write(reply, rest);
        }
    }
}

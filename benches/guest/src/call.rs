//! Calls: one ioctl, there and back.
use crate::{
    clock::{self, Sample},
    module::Module,
    ring::{self, Batches},
};
use bench_interface::bench;
use kp_abi::request::{self, Answer, Request, Segments};
use kp_user::Plugin;
use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, RawFd},
};

/// Requests and replies, in bytes.
const SIZES: [usize; 4] = [0, 64, 1024, 65_536];
/// Bytes of a direct call's answer.
const ANSWER: usize = size_of::<Answer>();

/// The buffer of a direct call with slices and without arguments.
#[repr(C)]
struct Large(Answer, Segments);

/// Above this many bytes plain's length stands in the request.
const LONG: usize = 0x3fff;

/// One ioctl, ready to be sent again and again.
struct Prepared {
    fd: RawFd,
    number: u64,
    argument: *mut c_void,
}

impl Prepared {
    #[inline(always)]
    fn send(&self) -> i32 {
        // SAFETY: whoever made this keeps the file, the request and its buffers alive and unused while it is sent.
        unsafe { libc::ioctl(self.fd, self.number as libc::Ioctl, self.argument) }
    }

    fn measure(&self, name: &str, count: usize, pair: u64) -> Result<(), String> {
        self.sent(name)?;
        Sample::of(count, pair, || {
            self.send();
        })
        .print(name);
        self.sent(name)
    }

    fn sent(&self, name: &str) -> Result<(), String> {
        if self.send() == 0 { Ok(()) } else { Err(format!("{name}: {}", io::Error::last_os_error())) }
    }
}

/// A text to send that is not all one byte.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// Which buffer plain answers from.
#[derive(Clone, Copy)]
enum Plain {
    Same = 0,
    Moved = 1,
}

struct PlainDevice(File);

impl PlainDevice {
    fn open() -> Result<Self, String> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/plain");
        file.map(Self).map_err(|error| format!("/dev/plain: {error}"))
    }

    fn with<R>(&self, which: Plain, size: usize, f: impl FnOnce(&Prepared) -> R) -> R {
        let mut buffer = pattern(size.max(4));
        if size > LONG {
            buffer[..4].copy_from_slice(&(size as u32).to_le_bytes());
        }
        let number = 3 << 30 | (size.min(LONG) as u64) << 16 | u64::from(b'p') << 8 | which as u64;
        let prepared = Prepared { fd: self.0.as_raw_fd(), number, argument: buffer.as_mut_ptr().cast() };
        f(&prepared)
    }
}

/// A session, and a node whose descriptor is known.
pub struct OurDevice {
    /// The session.
    pub plugin: Plugin,
    /// Its descriptor.
    pub fd: RawFd,
}

impl OurDevice {
    fn open() -> Result<Self, String> {
        let plugin =
            Plugin::open_interface("bench", bench::INTERFACE, &[]).map_err(|error| format!("bench: {error}"))?;
        let fd = plugin.as_fd().ok_or("the connection has no descriptor")?.as_raw_fd();
        Ok(Self { plugin, fd })
    }

    /// The message that copies so many bytes, as the client library would send it: in the direct form.
    fn with<R>(&self, size: usize, f: impl FnOnce(&Prepared) -> R) -> Result<R, String> {
        let request = pattern(size);
        if size == 0 || size == 64 {
            let mut buffer = [&[0xff; ANSWER], &request[..]].concat();
            let number = u64::from(request::direct_number(if size == 0 { 1 } else { 2 }));
            let result = f(&Prepared { fd: self.fd, number, argument: buffer.as_mut_ptr().cast() });
            let right = std::hint::black_box(&buffer)[ANSWER..] == request;
            return if right { Ok(result) } else { Err(format!("direct call of {size} bytes: {:?}", &buffer[..8])) };
        }
        let mut reply = vec![0u8; size];
        let address = |bytes: *const u8| bytes.expose_provenance() as u64;
        let segments = Segments {
            in_len: size as u32,
            out_len: size as u32,
            in_addr: address(request.as_ptr()),
            out_addr: address(reply.as_mut_ptr()),
        };
        let mut buffer = Large(Answer::default(), segments);
        let number = u64::from(request::direct_number(3));
        let result = f(&Prepared { fd: self.fd, number, argument: (&raw mut buffer).cast() });
        // The kernel wrote both behind the compiler's back.
        let answer = std::hint::black_box(&buffer).0;
        let right = answer == Answer { status: 0, detail: size as u32 } && std::hint::black_box(&reply) == &request;
        if right { Ok(result) } else { Err(format!("direct call of {size} bytes: {answer:?}")) }
    }

    /// The same as CALL.
    fn with_struct<R>(&self, size: usize, f: impl FnOnce(&Prepared) -> R) -> Result<R, String> {
        let mut request = pattern(size);
        let mut reply = vec![0u8; size];
        let mut call = request::Call::new();
        call.out_addr = reply.as_mut_ptr().expose_provenance() as u64;
        call.out_len = size as u32;
        let bytes = request.as_mut_ptr().expose_provenance() as u64;
        match size {
            0 => call.message = 1,
            64 => (call.message, call.args_addr, call.args_len) = (2, bytes, 64),
            _ => (call.message, call.in_addr, call.in_len) = (3, bytes, size as u32),
        }
        let number = u64::from(request::ioctl_number(request::Call::NR));
        let argument = (&raw mut call).cast();
        let result = f(&Prepared { fd: self.fd, number, argument });
        // The kernel wrote both behind the compiler's back.
        let head = std::hint::black_box(&call).head;
        let right = (head.status, head.detail as usize) == (0, size) && std::hint::black_box(&reply) == &request;
        if right { Ok(result) } else { Err(format!("call of {size} bytes: {head:?}")) }
    }
}

/// How often a size is called.
fn turns(size: usize) -> usize {
    if size > LONG { 201 } else { 2001 }
}

/// All of them.
pub fn run() -> Result<(), String> {
    clock::check()?;
    let pair = clock::pair();
    let _modules = (Module::load("/kp/plain.ko", "")?, Module::load("/kp/kp-bench.ko", "")?);
    let plain = PlainDevice::open()?;
    let ours = OurDevice::open()?;
    Sample::of(2001, pair, || {
        // SAFETY: asks for a number.
        unsafe { libc::syscall(libc::SYS_getppid) };
    })
    .print("getppid");
    for size in SIZES {
        let name = |who| format!("call-{size}-{who}");
        plain.with(Plain::Same, size, |call| call.measure(&name("plain"), turns(size), pair))?;
        plain.with(Plain::Moved, size, |call| call.measure(&name("plain-moved"), turns(size), pair))?;
        ours.with(size, |call| call.measure(&name("ours"), turns(size), pair))??;
        ours.with_struct(size, |call| call.measure(&name("struct"), turns(size), pair))??;
    }
    client(&ours.plugin, pair)?;
    ring::run(&ours, pair)
}

/// The same calls by the client library's typed methods.
fn client(plugin: &Plugin, pair: u64) -> Result<(), String> {
    let client = bench::Client(plugin);
    let failed = |error| format!("client: {error}");
    let words = [7; 8];
    client.null().map_err(failed)?;
    Sample::of(2001, pair, || _ = client.null()).print("call-0-client");
    client.copy64(words).map_err(failed)?;
    Sample::of(2001, pair, || _ = std::hint::black_box(client.copy64(words))).print("call-64-client");
    let (data, mut reply) = (pattern(1024), [0; 1024]);
    client.copy(&data, &mut reply).map_err(failed)?;
    Sample::of(2001, pair, || _ = client.copy(&data, &mut reply)).print("call-1024-client");
    Ok(())
}

/// One of them, so often, and nothing else: for a profile.
pub fn only(who: &str, size: &str, count: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text} is no number"));
    let (size, count) = (number(size)?, number(count)?);
    if who == "ring" {
        let _module = Module::load("/kp/kp-bench.ko", "")?;
        let mut batches = Batches::new(&OurDevice::open()?)?;
        return if (0..count).all(|_| batches.run(ring::BATCH as u32)) {
            Ok(())
        } else {
            Err("a batch went wrong".into())
        };
    }
    let repeat = |call: &Prepared| (0..count).try_for_each(|_| call.sent("call"));
    let _modules = (Module::load("/kp/plain.ko", "")?, Module::load("/kp/kp-bench.ko", "")?);
    match who {
        "ours" => OurDevice::open()?.with(size, repeat)?,
        "struct" => OurDevice::open()?.with_struct(size, repeat)?,
        "plain" => PlainDevice::open()?.with(Plain::Same, size, repeat),
        _ => Err(format!("{who} is not ours, struct, plain or ring")),
    }
}

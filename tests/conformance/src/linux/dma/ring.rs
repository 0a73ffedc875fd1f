//! A ring that is made of a buffer of the app's, on memory of each kind that may be one.
use super::{nothing_is_pinned, start};
use crate::{Unload, linux::unload, registry::guest_test};
use bmd_interface::bmd;
use kp_abi::{
    Status,
    request::{Request, RingSetup},
    ring::{INLINE, Submission, UserPage},
    zerocopy::{FromZeros, IntoBytes},
};
use kp_user::{Access, Buffer, Plugin};
use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap},
};
use std::{
    mem::offset_of,
    ptr::{NonNull, null_mut},
    sync::atomic::Ordering::SeqCst,
};

/// The ring's memory, in bytes: a page of words, one of both queues, one of data.
const LEN: usize = 3 * 4096;
/// bmd's message that reads a word.
const PEEK: u32 = 5;

/// A ring over a buffer, whose words the test writes itself.
struct Ring<'p> {
    plugin: &'p Plugin,
    buffer: Buffer,
    setup: RingSetup,
    tail: u32,
}

impl<'p> Ring<'p> {
    fn over(plugin: &'p Plugin, start: NonNull<u8>) -> Self {
        // SAFETY: mapped until the buffer is gone, or else not used by this process after it was unmapped.
        let buffer = unsafe { plugin.buffer_over(start, LEN, Access::Write) }.unwrap_or_else(|error| panic!("{error}"));
        let mut setup = RingSetup { entries: 4, data_len: 4096, buffer: buffer.number().0, ..Request::new() };
        plugin.connection().ring_setup(&mut setup).unwrap_or_else(|error| panic!("a ring: {error}"));
        assert_eq!((setup.memory_len, setup.page_len), (LEN as u64, 0));
        Self { plugin, buffer, setup, tail: 0 }
    }

    /// Reads a word, by a batch of one: its status, and the word.
    fn peek(&mut self, word: u64) -> (Status, u64) {
        let peek = Submission {
            message: PEEK,
            flags: INLINE,
            args_len: 4,
            out_len: 8,
            inline: [word, 0, 0, 0],
            ..Submission::new_zeroed()
        };
        let slot = (self.tail % self.setup.entries) as usize;
        self.buffer.write(self.setup.sq_at as usize + slot * size_of::<Submission>(), peek.as_bytes());
        self.tail += 1;
        self.buffer.word(offset_of!(UserPage, sq_tail)).store(self.tail, SeqCst);
        self.plugin.connection().ring_enter(1).unwrap_or_else(|error| panic!("a batch: {error}"));
        assert_eq!(self.buffer.word(offset_of!(UserPage, cq_tail)).load(SeqCst), self.tail, "it is answered");
        self.buffer.word(offset_of!(UserPage, cq_head)).store(self.tail, SeqCst);
        let answer = self.buffer.words(self.setup.cq_at as usize + 32 * slot + 8, 1)[0].load(SeqCst);
        (Status(answer as u32), self.buffer.words(self.setup.data_at as usize, 1)[0].load(SeqCst))
    }

    fn works(&mut self, kind: &str) {
        for _ in 0..10 {
            assert_eq!(self.peek(3), (Status::OK, 0x1234), "{kind}");
            assert_eq!(self.peek(512).0, Status::BAD_VALUE, "{kind}");
        }
    }
}

fn map(len: usize) -> NonNull<u8> {
    // SAFETY: a new mapping, wherever there is room.
    let start = unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    NonNull::new(start.expect("it maps").cast()).expect("a mapping is not at 0")
}

/// The driver and the app have the same memory, whatever it is; and once it is unmapped, or its file is cut, the driver goes on in pages that nobody else
/// has.
#[guest_test("dma ring", stage = "dma")]
fn a_ring_is_made_of_an_apps_own_memory() {
    let plugin = start("bmd", bmd::INTERFACE);
    bmd::Client(&plugin).poke(3, 0x1234).expect("there is a word");
    // Number 0 makes no ring.
    let _first = plugin.buffer(4096, Access::Read).expect("memory of its own");
    let mut ring = Ring::over(&plugin, map(LEN));
    ring.works("private");
    plugin.connection().ring_teardown().expect("there is one");
    drop(ring);

    let file = memfd_create("ring", MemfdFlags::CLOEXEC).expect("there is memory");
    ftruncate(&file, LEN as u64).expect("it can be made longer");
    // SAFETY: a new mapping, wherever there is room.
    let shared = unsafe { mmap(null_mut(), LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0) };
    let mut ring = Ring::over(&plugin, NonNull::new(shared.expect("it maps").cast()).expect("not at 0"));
    ring.works("memfd");
    ftruncate(&file, 0).expect("it can be made shorter");
    assert_eq!(plugin.connection().ring_enter(4), Ok(()), "the ring's pages are not the file's any more");
    plugin.connection().ring_teardown().expect("there is one");
    drop(ring);

    let start = map(LEN);
    let mut ring = Ring::over(&plugin, start);
    ring.works("to be unmapped");
    plugin.connection().buffer_release(ring.buffer.number().0).expect("it is registered");
    ring.works("released");
    // SAFETY: nobody in this process uses it from now on.
    unsafe { munmap(start.as_ptr().cast(), LEN) }.expect("it can be unmapped");
    assert_eq!(
        plugin.connection().ring_enter(4),
        Ok(()),
        "the pages are still the ring's, and there is nothing to take"
    );
    drop(ring);
    drop((_first, plugin));
    assert_eq!(unload("bmd"), Unload::Gone);
    nothing_is_pinned();
    println!("rings of private memory, of a memfd, released, unmapped");
}

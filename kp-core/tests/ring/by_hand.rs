//! A ring that is written to by hand.
use super::{
    kernel,
    test_plugin::{TestPlugin, messages},
};
use kp_abi::{
    Error, Status,
    request::{BufferRegister, Request, RingEnter, RingSetup, access},
    ring::{INLINE, KernelPage, Layout, Submission, UserPage},
    zerocopy::IntoBytes,
};
use kp_sim::{App, Sim, edu::Edu};
use kp_user::{Connection, Plugin, SharedMemory};
use std::{
    mem::offset_of,
    sync::{Arc, atomic::Ordering::SeqCst},
};

pub fn sim() -> Sim<TestPlugin> {
    kernel().device(Edu::new()).build().expect("the plugin takes its device")
}

/// A submission without anything.
pub fn submission() -> Submission {
    Submission {
        user_data: 0,
        message: 0,
        flags: 0,
        args_len: 0,
        in_word: 0,
        in_len: 0,
        out_word: 0,
        out_len: 0,
        inline: [0; 4],
    }
}

/// `n!`, inline, with its reply at word `n`.
pub fn factorial(n: u32) -> Submission {
    Submission {
        user_data: n.into(),
        message: 5,
        flags: INLINE,
        args_len: 4,
        out_word: n,
        out_len: 4,
        inline: [n.into(), 0, 0, 0],
        ..submission()
    }
}

/// The number of the buffer that a ring is made of.
pub const BUFFER: u32 = 1;

/// New memory, registered as buffer `number` for writing.
pub fn lend(app: &App<TestPlugin>, number: u32, len: usize) -> SharedMemory {
    let (addr, memory) = app.new_memory(len).unwrap();
    let (buffer, len, access) = (number, len as u64, access::WRITE);
    app.buffer_register(&BufferRegister { addr, len, buffer, access, ..Request::new() }).unwrap();
    memory
}

/// A session of a process of its own, and a ring that is written to by hand.
pub struct Raw {
    pub app: Arc<App<TestPlugin>>,
    pub plugin: Plugin,
    pub setup: RingSetup,
    pub memory: SharedMemory,
    /// None: the memory is a buffer.
    pub page: Option<SharedMemory>,
    pub tail: u32,
}

impl Raw {
    pub fn new(sim: &Sim<TestPlugin>, entries: u32, data_len: u32) -> Self {
        let app = Arc::new(sim.open());
        let plugin = Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
        let mut setup = RingSetup { entries, data_len, ..Request::new() };
        let (memory, page) = if app.can_map() {
            app.ring_setup(&mut setup).unwrap();
            let memory = app.map(setup.memory_offset, setup.memory_len as usize, true).unwrap();
            (memory, Some(app.map(setup.page_offset, setup.page_len as usize, false).unwrap()))
        } else {
            let memory = lend(&app, BUFFER, Layout::new(entries, data_len).unwrap().len);
            setup.buffer = BUFFER;
            app.ring_setup(&mut setup).unwrap();
            (memory, None)
        };
        Self { app, plugin, setup, memory, page, tail: 0 }
    }

    /// A ring of the same kind, once the first one is down. Its memory may be the first one's, as it was left.
    pub fn set_up_again(&mut self) {
        let mut setup = RingSetup { entries: 4, buffer: self.setup.buffer, ..Request::new() };
        self.app.ring_setup(&mut setup).unwrap();
    }

    pub fn set_tail(&self, tail: u32) {
        self.memory.word(offset_of!(UserPage, sq_tail)).store(tail, SeqCst);
    }

    pub fn set_cq_head(&self, head: u32) {
        self.memory.word(offset_of!(UserPage, cq_head)).store(head, SeqCst);
    }

    pub fn cq_tail(&self) -> u32 {
        let word = match &self.page {
            Some(page) => page.word(offset_of!(KernelPage, cq_tail)),
            None => self.memory.word(offset_of!(UserPage, cq_tail)),
        };
        word.load(SeqCst)
    }

    pub fn push(&mut self, submission: &Submission) {
        let at = self.setup.sq_at as usize + (self.tail % self.setup.entries) as usize * size_of::<Submission>();
        self.memory.write(at, submission.as_bytes());
        self.tail = self.tail.wrapping_add(1);
        self.set_tail(self.tail);
    }

    /// The completion with this index: what it belongs to, and the answer.
    pub fn completion(&self, index: u32) -> (u64, Error) {
        let at = self.setup.cq_at as usize + (index % self.setup.entries) as usize * 32;
        let words: Vec<u64> = self.memory.words(at, 4).iter().map(|word| word.load(SeqCst)).collect();
        assert_eq!(words[2..], [0, 0], "reserved");
        (words[0], Error::new(Status(words[1] as u32), (words[1] >> 32) as u32))
    }

    /// RING_ENTER with its struct: how many were taken, and the status.
    pub fn enter(&self, to_submit: u32) -> (u32, Status) {
        let mut enter = RingEnter { to_submit, ..Request::new() };
        let address = self.app.memory().place(&enter);
        self.app.raw(RingEnter::NR, address).unwrap();
        enter = self.app.memory().value(address).unwrap();
        (enter.submitted, Status(enter.head.status))
    }

    /// Pushes one, runs it, and takes its completion.
    pub fn one(&mut self, submission: &Submission) -> Error {
        self.push(submission);
        assert_eq!(self.enter(1), (1, Status::OK));
        let (user_data, answer) = self.completion(self.tail.wrapping_sub(1));
        assert_eq!(user_data, submission.user_data);
        self.set_cq_head(self.tail);
        answer
    }

    pub fn data_words(&self) -> u32 {
        (self.setup.memory_len as u32 - self.setup.data_at) / 8
    }
}

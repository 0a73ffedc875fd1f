//! A connection through which nothing is mapped, as on Windows, so that its rings are made of buffers.
use kp_abi::{Counters, Result, request};
use kp_user::{Connection, IntEnabled, Notification, SharedMemory};
use std::sync::Arc;

/// Another connection, without mappings.
pub struct NoMmap(pub Arc<dyn Connection>);

impl Connection for NoMmap {
    fn query(&self, chain_at: u32) -> Result<request::Query> {
        self.0.query(chain_at)
    }
    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()> {
        self.0.open(open, data)
    }
    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.0.call(message, flags, args, data, reply)
    }
    fn close(&self) -> Result<()> {
        self.0.close()
    }
    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        self.0.int_enable(kinds, min, max, data)
    }
    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        self.0.int_wait(timeout_ns, vector, max)
    }
    fn int_count(&self, vector: u32) -> Result<(u64, Counters)> {
        self.0.int_count(vector)
    }
    fn int_disable(&self) -> Result<(u64, Counters)> {
        self.0.int_disable()
    }
    fn ring_setup(&self, setup: &mut request::RingSetup) -> Result<()> {
        self.0.ring_setup(setup)
    }
    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        self.0.ring_enter(to_submit)
    }
    fn ring_teardown(&self) -> Result<()> {
        self.0.ring_teardown()
    }
    fn can_map(&self) -> bool {
        false
    }
    fn new_memory(&self, len: usize) -> Result<(u64, SharedMemory)> {
        self.0.new_memory(len)
    }
    fn buffer_register(&self, register: &request::BufferRegister) -> Result<()> {
        self.0.buffer_register(register)
    }
    fn buffer_release(&self, buffer: u32) -> Result<()> {
        self.0.buffer_release(buffer)
    }
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.as_fd()
    }
}

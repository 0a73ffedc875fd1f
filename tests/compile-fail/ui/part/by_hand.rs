// A plugin's table written by hand, and a port that serves its direct calls. Included by cases whose point is something else.
use kp_core::{
    host::{DirectDoor, Door, Faulted, Session},
    kp_abi::{Direct, Interface},
};

const fn by_hand(name: &'static str, interface: &'static Interface, chain: &'static [u64]) -> Table<Plain> {
    Table {
        name,
        devices: &[],
        vectors: (1, 1),
        interface: Some(interface),
        chain,
        open: Some(|_, _, _, _| Ok(())),
        close: None,
        call: None,
        int: None,
        event: None,
    }
}

#[derive(Clone, Copy)]
pub struct Sham;

impl Door for Sham {
    fn take(&mut self, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn size(&mut self) -> Result<u32, Faulted> {
        Err(Faulted)
    }
    fn tail(&mut self, _: usize, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn put(&mut self, _: usize, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn answer(&mut self, _: u32, _: u32) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn in_range(&self, _: u64, _: usize) -> bool {
        false
    }
    fn fetch(&mut self, _: u64, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn store(&mut self, _: u64, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn is_read_write(&self) -> bool {
        true
    }
}

impl DirectDoor for Sham {
    fn begin<'b>(&mut self, _: &'b mut [core::mem::MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        Err(Faulted)
    }
    fn end(&mut self, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
}

/// As a port does.
pub fn serve(cx: &mut kp_core::Passive, session: &Session<Plain>) {
    let _ = session.direct(cx, 1, Sham);
}

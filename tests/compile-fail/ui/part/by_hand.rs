// A plugin's table written by hand, and a port that serves its direct calls. Included by cases whose point is something else.
use kp_core::{
    host::{DirectUserRequest, UserRequest, Faulted, Session},
    kp_abi::{Direct, Interface},
};

const fn by_hand(name: &'static str, interface: &'static Interface, chain: &'static [u64]) -> Table<Plain> {
    Table {
        name,
        devices: &[],
        vectors: (1, 1),
        own_interrupt: false,
        interface: Some(interface),
        chain,
        schema: &[],
        schema_names: &[],
        open: Some(|_, _, _, _| Ok(())),
        close: None,
        call: None,
        int: None,
        event: None,
        timer_at_dpc: None,
        work: None,
    }
}

#[derive(Clone, Copy)]
pub struct Sham;

impl UserRequest for Sham {
    fn read_header(&mut self, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn read_size(&mut self) -> Result<u32, Faulted> {
        Err(Faulted)
    }
    fn read_tail(&mut self, _: usize, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn write(&mut self, _: usize, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn answer(&mut self, _: u32, _: u32) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn access_ok(&self, _: u64, _: usize) -> bool {
        false
    }
    fn copy_from_user(&mut self, _: u64, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn copy_to_user(&mut self, _: u64, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn is_read_write(&self) -> bool {
        true
    }
}

impl DirectUserRequest for Sham {
    fn copy_in<'b>(&mut self, _: &'b mut [core::mem::MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        Err(Faulted)
    }
    fn copy_out(&mut self, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
}

/// As a port does.
pub fn serve(cx: &mut kp_core::Passive, session: &Session<Plain>) {
    let _ = session.direct(cx, 1, Sham);
}

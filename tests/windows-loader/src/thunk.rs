//! What the driver's imports point to: a few bytes of machine code for each kernel function, which lead through one check of the IRQL
//! and of planned failures to the function itself. The function finds registers and stack as the driver has left them.
use crate::{
    cpu,
    exports::{self, Export},
    rule::Rule,
    space::{Protection, Space},
};
use std::{collections::HashMap, ptr};

/// Bytes of one piece of code.
const LEN: usize = 32;

/// The pieces for all of the kernel's functions.
pub(crate) struct Thunks {
    at: usize,
    by_name: HashMap<&'static str, usize>,
}

impl Thunks {
    pub(crate) fn new(space: &Space) -> Self {
        let all = exports::all();
        let len = all.len() * LEN;
        let at = space.take(len, Protection::ReadWrite);
        let common = (windows_loader_thunk as *const ()).expose_provenance();
        for index in 0..all.len() {
            let mut code = [0xCC; LEN];
            code[..2].copy_from_slice(&[0x41, 0xBA]); // mov r10d, index
            code[2..6].copy_from_slice(&(index as u32).to_le_bytes());
            code[6..8].copy_from_slice(&[0x49, 0xBB]); // mov r11, common
            code[8..16].copy_from_slice(&common.to_le_bytes());
            code[16..19].copy_from_slice(&[0x41, 0xFF, 0xE3]); // jmp r11
            // SAFETY: inside the pages taken above.
            unsafe { ptr::with_exposed_provenance_mut::<[u8; LEN]>(at + index * LEN).write(code) };
        }
        space.protect(at, len, Protection::ReadExecute);
        let by_name = all.iter().enumerate().map(|(index, export)| (export.name, index)).collect();
        Self { at, by_name }
    }

    /// Where a driver calls this function, if the kernel has it.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|index| self.at + index * LEN)
    }
}

std::arch::global_asm!(
    r#"
    .text
    .globl windows_loader_thunk
windows_loader_thunk:                        # r10: which function; all else as the driver called it
    push rcx
    push rdx
    push r8
    push r9
    sub rsp, 40
    mov ecx, r10d
    lea rdx, [rsp + 72]
    mov r8, rbp
    call {before}
    add rsp, 40
    pop r9
    pop r8
    pop rdx
    pop rcx
    jmp rax
"#,
    before = sym before,
);

unsafe extern "C" {
    fn windows_loader_thunk();
}

/// Looks at a call before it is made; the answer is the function to go to. `rsp` is where the return address lies.
extern "efiapi" fn before(index: u32, rsp: usize, rbp: usize) -> usize {
    let export: &Export = exports::all()[index as usize];
    let kernel = cpu::kernel();
    if kernel.is_stopped() {
        drop(kernel);
        cpu::abandon();
    }
    if let Some(wrong) = kernel.transfers.take_wrong() {
        drop(kernel);
        cpu::fail(wrong);
    }
    let irql = cpu::irql();
    if !export.irql.contains(&irql) {
        drop(kernel);
        let (least, most) = (export.irql.start(), export.irql.end());
        let what = format!("{} was called at IRQL {irql}; it may be called from {least} to {most}", export.name);
        cpu::fail(Rule::Irql.broken(what));
    }
    let failing = export.failure.and_then(|failure| {
        // SAFETY: the driver's return address, pushed by its call.
        let return_address = unsafe { ptr::with_exposed_provenance::<usize>(rsp).read() };
        kernel.faults.call(&kernel, export.name, return_address, rsp + 8, rbp).then(|| failure.function())
    });
    failing.unwrap_or(export.target)
}

//! Copies that may fail. A bad address in user memory raises an exception in the kernel; the two functions here catch it and
//! answer its code. Each is in a section of its own, as the compiler's functions are.
use crate::nt::{NtStatus, ProbeForRead};
use core::ffi::c_void;
use kp_core::host::Faulted;

#[cfg(all(windows, target_arch = "x86_64"))]
core::arch::global_asm!(
    r#"
    .section .text$kp_seh_copy, "xr"
    .globl kp_seh_copy
    .def kp_seh_copy; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc kp_seh_copy
kp_seh_copy:                                  # (to, from, len): 0, or the exception's code
    push rdi
    .seh_pushreg rdi
    push rsi
    .seh_pushreg rsi
    .seh_endprologue
1:
    mov rdi, rcx
    mov rsi, rdx
    mov rcx, r8
    rep movsb
    nop
2:
    xor eax, eax
3:
    pop rsi
    pop rdi
    ret
4:                                            # eax has the code; under Wine 0
    test eax, eax
    jnz 3b
    mov eax, 0xc0000005
    jmp 3b
    .seh_handler __C_specific_handler, @except
    .seh_handlerdata
    .long 1
    .long 1b@IMGREL, 2b@IMGREL, 1, 4b@IMGREL
    .section .text$kp_seh_copy, "xr"
    .seh_endproc

    .section .text$kp_seh_call, "xr"
    .globl kp_seh_call
    .def kp_seh_call; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc kp_seh_call
kp_seh_call:                                  # (f, a, b, c): f(a, b, c), then 0, or the exception's code
    sub rsp, 40
    .seh_stackalloc 40
    .seh_endprologue
1:
    mov rax, rcx
    mov rcx, rdx
    mov rdx, r8
    mov r8, r9
    call rax
    nop
2:
    xor eax, eax
3:
    add rsp, 40
    ret
4:
    test eax, eax
    jnz 3b
    mov eax, 0xc0000005
    jmp 3b
    .seh_handler __C_specific_handler, @except
    .seh_handlerdata
    .long 1
    .long 1b@IMGREL, 2b@IMGREL, 1, 4b@IMGREL
    .section .text$kp_seh_call, "xr"
    .seh_endproc
"#
);

#[cfg(all(windows, target_arch = "aarch64"))]
core::arch::global_asm!(
    r#"
    .section .text$kp_seh_copy, "xr"
    .globl kp_seh_copy
    .def kp_seh_copy; .scl 2; .type 32; .endef
    .p2align 2
    .seh_proc kp_seh_copy
    .seh_handler __C_specific_handler, @except
kp_seh_copy:                                  // (to, from, len): 0, or the exception's code
    stp x29, x30, [sp, #-16]!
    .seh_save_fplr_x 16
    mov x29, sp
    .seh_set_fp
    .seh_endprologue
1:
    cmp x2, #16
    b.lo 6f
5:
    ldp x3, x4, [x1], #16
    stp x3, x4, [x0], #16
    sub x2, x2, #16
    cmp x2, #16
    b.hs 5b
6:
    cbz x2, 8f
7:
    ldrb w3, [x1], #1
    strb w3, [x0], #1
    subs x2, x2, #1
    b.ne 7b
8:
    nop
2:
    mov w0, wzr
3:
    .seh_startepilogue
    ldp x29, x30, [sp], #16
    .seh_save_fplr_x 16
    .seh_endepilogue
    ret
4:                                            // w0 has the code
    b 3b
    .seh_handlerdata
    .long 1
    .long 1b@IMGREL, 2b@IMGREL, 1, 4b@IMGREL
    .section .text$kp_seh_copy, "xr"
    .seh_endproc

    .section .text$kp_seh_call, "xr"
    .globl kp_seh_call
    .def kp_seh_call; .scl 2; .type 32; .endef
    .p2align 2
    .seh_proc kp_seh_call
    .seh_handler __C_specific_handler, @except
kp_seh_call:                                  // (f, a, b, c): f(a, b, c), then 0, or the exception's code
    stp x29, x30, [sp, #-16]!
    .seh_save_fplr_x 16
    mov x29, sp
    .seh_set_fp
    .seh_endprologue
1:
    mov x9, x0
    mov x0, x1
    mov x1, x2
    mov x2, x3
    blr x9
    nop
2:
    mov w0, wzr
3:
    .seh_startepilogue
    ldp x29, x30, [sp], #16
    .seh_save_fplr_x 16
    .seh_endepilogue
    ret
4:
    b 3b
    .seh_handlerdata
    .long 1
    .long 1b@IMGREL, 2b@IMGREL, 1, 4b@IMGREL
    .section .text$kp_seh_call, "xr"
    .seh_endproc
"#
);

#[cfg(all(windows, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("the guarded copy is written for x86_64 and aarch64 only");

#[cfg(windows)]
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn __C_specific_handler();
}
/// Only assembly names the handler: this keeps its import.
#[cfg(windows)]
#[used]
static HANDLER: unsafe extern "system" fn() = __C_specific_handler;

unsafe extern "efiapi" {
    fn kp_seh_copy(to: *mut c_void, from: *const c_void, len: usize) -> NtStatus;
    fn kp_seh_call(f: *const c_void, a: usize, b: usize, c: usize) -> NtStatus;
}

/// Copies `len` bytes; one of the sides may be a bad address of user memory.
///
/// # Safety
/// The other side is the kernel's, valid for `len` bytes; the user's side lies in a range that was [probed](probe).
#[inline]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Faulted> {
    // SAFETY: the kernel's side is valid; an access that fails in user memory is caught.
    match unsafe { kp_seh_copy(to.cast(), from.cast(), len) } {
        0 => Ok(()),
        _ => Err(Faulted),
    }
}

/// Is this range user memory, mapped or not? Touches nothing.
#[inline]
pub(crate) fn probe(address: *const u8, len: usize) -> Result<(), Faulted> {
    // SAFETY: ProbeForRead compares addresses; the exception that it raises is caught.
    match unsafe { kp_seh_call(ProbeForRead as *const c_void, address.expose_provenance(), len, 1) } {
        0 => Ok(()),
        _ => Err(Faulted),
    }
}

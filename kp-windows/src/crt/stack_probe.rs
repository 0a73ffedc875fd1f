//! What compilers call before a function takes a page of the stack or more, as Microsoft's C library has it otherwise: it touches
//! each page in its order, so that a stack that is used up ends at the page behind it that is not there, and nowhere else.
//!
//! It takes nothing itself: the caller does that, when it has returned.

// rax: how many bytes. Every register stays as it is.
#[cfg(all(windows, target_arch = "x86_64"))]
core::arch::global_asm!(
    r#"
    .section .text$kp_stack_probe, "xr"
    .globl __chkstk
    .def __chkstk; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc __chkstk
__chkstk:
    push rcx
    .seh_pushreg rcx
    push rax
    .seh_pushreg rax
    .seh_endprologue
    lea rcx, [rsp + 24]                       # the caller's stack pointer
1:
    cmp rax, 0x1000
    jb 2f
    sub rcx, 0x1000
    test [rcx], rcx
    sub rax, 0x1000
    jmp 1b
2:
    sub rcx, rax
    test [rcx], rcx
    pop rax
    pop rcx
    ret
    .seh_endproc
"#
);

// x15: how many times sixteen bytes. x16, x17 and the flags may change, and nothing else.
#[cfg(all(windows, target_arch = "aarch64"))]
core::arch::global_asm!(
    r#"
    .section .text$kp_stack_probe, "xr"
    .globl __chkstk
    .def __chkstk; .scl 2; .type 32; .endef
    .p2align 2
__chkstk:
    lsl x16, x15, #4
    mov x17, sp
1:
    cmp x16, #1, lsl #12
    b.lo 2f
    sub x17, x17, #1, lsl #12
    ldr xzr, [x17]
    sub x16, x16, #1, lsl #12
    b 1b
2:
    sub x17, x17, x16
    ldr xzr, [x17]
    ret
"#
);

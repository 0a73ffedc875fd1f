//! Control Flow Guard: the load configuration, in which the kernel finds the functions that may be called through a pointer, and
//! the places of its own checks, which it fills in if it has them switched on. Microsoft's C library has it otherwise.
//!
//! It is `IMAGE_LOAD_CONFIG_DIRECTORY64` up to `GuardMemcpyFunctionPointer`, 0x140 bytes. In assembly, because `__guard_flags` is a
//! number that the linker knows, not an address. No security cookie: no code here uses one.

/// All of it but the checks that stand in for the kernel's, which are each architecture's own. A symbol that is 0 is absent.
#[cfg(windows)]
macro_rules! load_config {
    ($($checks:literal)*) => {
        core::arch::global_asm!(
            $($checks,)*
            r#"
    .section .00cfg, "dr"
    .p2align 3
    .globl __guard_check_icall_fptr
__guard_check_icall_fptr:
    .quad kp_guard_check
    .globl __guard_dispatch_icall_fptr
__guard_dispatch_icall_fptr:
    .quad kp_guard_dispatch

    .section .rdata, "dr"
    .p2align 3
    .globl _load_config_used
_load_config_used:
    .long 0x140
    .zero 108                           /* to GuardCFCheckFunctionPointer, at 112 */
    .quad __guard_check_icall_fptr
    .quad __guard_dispatch_icall_fptr
    .quad __guard_fids_table
    .quad __guard_fids_count
    .long __guard_flags
    .zero 12                            /* CodeIntegrity */
    .quad __guard_iat_table
    .quad __guard_iat_count
    .quad __guard_longjmp_table
    .quad __guard_longjmp_count
    .zero 128                           /* from DynamicValueRelocTable on */
"#
        );
    };
}

// Called with the target in rcx to check it, and in rax to call it.
#[cfg(all(windows, target_arch = "x86_64"))]
load_config! {
    r#"
    .section .text$kp_guard, "xr"
    .p2align 4
kp_guard_check:
    ret
    .p2align 4
kp_guard_dispatch:
    jmp rax
"#
}

// Called with the target in x15 to check it. Compilers never ask for a call through the second one; it goes where x9 says.
#[cfg(all(windows, target_arch = "aarch64"))]
load_config! {
    r#"
    .section .text$kp_guard, "xr"
    .p2align 2
kp_guard_check:
    ret
kp_guard_dispatch:
    br x9
"#
}

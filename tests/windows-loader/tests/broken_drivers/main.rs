//! What a driver does wrong is found and named: a broken driver, which is no .sys, breaks one rule in each test.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a driver's requests and devices are one promise of the kernel's"
)]
mod card;
mod dma;
mod skeleton;
mod transfers;

use skeleton::{complete, open, utf16};
use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
};
use windows_loader::{
    Buffer, Done, Handle, Machine, Mode, Options, Rule, Stopped, Token, Verdict, access, kernel_call,
    nt::{
        DeviceObject, DriverObject, Header, Irp, Kdpc, NtStatus, STATUS_PENDING, STATUS_SUCCESS, UnicodeString, control,
    },
};

/// What a request of the broken driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Deed {
    Nothing = 0x800,
    CompletesTwice,
    DoesNotComplete,
    PendsUnmarked,
    MarksAndSucceeds,
    AnswersOtherwise,
    CompletesWithCancelRoutine,
    CompletesAsPending,
    Leaks,
    WaitsTooHigh,
    AllocatesTooHigh,
    TakesTwice,
    ReleasesWrongly,
    KeepsLock,
    KeepsLevel,
    LowersUnderLock,
    KeepsRegion,
    FreesTwice,
    FreesWithOtherTag,
    WritesBehind,
    StopsTheMachine,
    LeavesRemoveLock,
    Returns100Bytes,
    AsksTheRegistryUnchecked,
    AsksTheRegistryFromItsStack,
    QueuesItself,
    Pends,
}

const ALL: &[Deed] = &[
    Deed::Nothing,
    Deed::CompletesTwice,
    Deed::DoesNotComplete,
    Deed::PendsUnmarked,
    Deed::MarksAndSucceeds,
    Deed::AnswersOtherwise,
    Deed::CompletesWithCancelRoutine,
    Deed::CompletesAsPending,
    Deed::Leaks,
    Deed::WaitsTooHigh,
    Deed::AllocatesTooHigh,
    Deed::TakesTwice,
    Deed::ReleasesWrongly,
    Deed::KeepsLock,
    Deed::KeepsLevel,
    Deed::LowersUnderLock,
    Deed::KeepsRegion,
    Deed::FreesTwice,
    Deed::FreesWithOtherTag,
    Deed::WritesBehind,
    Deed::StopsTheMachine,
    Deed::LeavesRemoveLock,
    Deed::Returns100Bytes,
    Deed::AsksTheRegistryUnchecked,
    Deed::AsksTheRegistryFromItsStack,
    Deed::QueuesItself,
    Deed::Pends,
];

const TAG: u32 = u32::from_le_bytes(*b"Plnt");

extern "efiapi" fn entry(driver: *mut DriverObject, _: *const UnicodeString) -> NtStatus {
    skeleton::make(driver, on_control)
}

/// A driver whose unload forgets its device.
extern "efiapi" fn forgetful(driver: *mut DriverObject, registry: *const UnicodeString) -> NtStatus {
    extern "efiapi" fn nothing(_: *mut DriverObject) {}
    let status = entry(driver, registry);
    // SAFETY: the kernel's driver object, in DriverEntry.
    unsafe { (*driver).driver_unload = (nothing as *const ()).expose_provenance() };
    status
}

extern "efiapi" fn on_control(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the driver's request.
    let location = unsafe { &mut *(*irp).current_stack_location };
    let function = location.parameters[2] as u32 >> 2 & 0xFFF;
    let deed = ALL.iter().copied().find(|deed| *deed as u32 == function).expect("a deed of the list");
    let allocate = || kernel_call!("ExAllocatePoolWithTag"(512 => i32, 40 => usize, TAG => u32) -> *mut u8);
    let mut lock = 0usize;
    let lock: *mut usize = &mut lock;
    let mut event = [0u64; 3];
    let event: *mut Header = event.as_mut_ptr().cast();
    match deed {
        Deed::Nothing => {}
        Deed::CompletesTwice => {
            complete(irp, STATUS_SUCCESS);
        }
        Deed::DoesNotComplete => return STATUS_SUCCESS,
        Deed::PendsUnmarked => {
            complete(irp, STATUS_SUCCESS);
            return STATUS_PENDING;
        }
        Deed::MarksAndSucceeds => location.control |= control::PENDING_RETURNED,
        Deed::AnswersOtherwise => {
            complete(irp, STATUS_SUCCESS);
            return -1;
        }
        // SAFETY: the driver's request.
        Deed::CompletesWithCancelRoutine => unsafe {
            (*irp).cancel_routine = (on_cancel as *const ()).expose_provenance()
        },
        Deed::CompletesAsPending => return complete(irp, STATUS_PENDING),
        Deed::Leaks => {
            allocate();
        }
        Deed::WaitsTooHigh => {
            kernel_call!("KeInitializeEvent"(event => *mut Header, 0 => i32, 0 => u8));
            kernel_call!("KfRaiseIrql"(2 => u8) -> u8);
            kernel_call!("KeWaitForSingleObject"(event => *mut Header, 0 => i32, 0 => i8, 0 => u8, ptr::null() => *const i64) -> NtStatus);
        }
        Deed::AllocatesTooHigh => {
            kernel_call!("KfRaiseIrql"(8 => u8) -> u8);
            allocate();
        }
        Deed::TakesTwice => {
            kernel_call!("KeAcquireSpinLockRaiseToDpc"(lock => *mut usize) -> u8);
            kernel_call!("KeAcquireSpinLockAtDpcLevel"(lock => *mut usize));
        }
        Deed::ReleasesWrongly => {
            kernel_call!("KeAcquireSpinLockRaiseToDpc"(lock => *mut usize) -> u8);
            kernel_call!("KeReleaseSpinLock"(lock => *mut usize, 1 => u8));
        }
        Deed::KeepsLock => {
            kernel_call!("KeAcquireSpinLockRaiseToDpc"(lock => *mut usize) -> u8);
            let status = complete(irp, STATUS_SUCCESS);
            // Levels are lowered behind the kernel's back: not what is tested here.
            return status;
        }
        Deed::KeepsLevel => {
            kernel_call!("KfRaiseIrql"(1 => u8) -> u8);
        }
        Deed::LowersUnderLock => {
            kernel_call!("KeAcquireSpinLockRaiseToDpc"(lock => *mut usize) -> u8);
            kernel_call!("KeLowerIrql"(0 => u8));
        }
        Deed::KeepsRegion => kernel_call!("KeEnterCriticalRegion"()),
        Deed::FreesTwice => {
            let block = allocate();
            kernel_call!("ExFreePoolWithTag"(block => *mut u8, TAG => u32));
            kernel_call!("ExFreePoolWithTag"(block => *mut u8, TAG => u32));
        }
        Deed::FreesWithOtherTag => {
            let block = allocate();
            kernel_call!("ExFreePoolWithTag"(block => *mut u8, 1 => u32));
        }
        Deed::WritesBehind => {
            let block = allocate();
            // SAFETY: it is not: the byte behind the block is the pool's own guard, which is mapped.
            unsafe { block.add(40).write(0) };
            kernel_call!("ExFreePoolWithTag"(block => *mut u8, TAG => u32));
        }
        Deed::StopsTheMachine => {
            kernel_call!("KeBugCheckEx"(0xDEAD => u32, 1 => usize, 2 => usize, 3 => usize, 4 => usize))
        }
        Deed::LeavesRemoveLock => {
            // SAFETY: the device's own extension.
            let lock = unsafe { (*device).device_extension };
            kernel_call!("IoInitializeRemoveLockEx"(lock => *mut c_void, TAG => u32, 0 => u32, 0 => u32, 32 => u32));
            kernel_call!("IoAcquireRemoveLockEx"(lock => *mut c_void, 1 => usize, ptr::null() => *const u8, 1 => u32, 32 => u32) -> NtStatus);
            kernel_call!("IoReleaseRemoveLockEx"(lock => *mut c_void, 2 => usize, 32 => u32));
        }
        // SAFETY: the driver's request.
        Deed::Returns100Bytes => unsafe { (*irp).io_status.information = 100 },
        Deed::AsksTheRegistryUnchecked => {
            let table: *mut [u64; 16] =
                kernel_call!("ExAllocatePoolWithTag"(512 => i32, 128 => usize, TAG => u32) -> *mut [u64; 16]);
            // SAFETY: fresh memory of this size.
            unsafe { table.write(registry_table(0x20 | 0x10)) };
            ask_the_registry(table.cast_const());
        }
        Deed::AsksTheRegistryFromItsStack => ask_the_registry(&registry_table(0x20 | 0x10 | 0x100)),
        Deed::QueuesItself => queue_itself(),
        Deed::Pends => {
            location.control |= control::PENDING_RETURNED;
            // SAFETY: the driver's request; nobody cancels it before this function returns.
            unsafe { (*irp).cancel_routine = (on_cancel as *const ()).expose_provenance() };
            return STATUS_PENDING;
        }
    }
    complete(irp, STATUS_SUCCESS)
}

/// A table of one number that is asked for, with these flags, and of the entry that ends it.
fn registry_table(flags: u64) -> [u64; 16] {
    let mut table = [0; 16];
    let place: &mut u64 = Box::leak(Box::new(0));
    table[1] = flags;
    table[2] = utf16("Number\0").as_ptr().expose_provenance() as u64;
    table[3] = ptr::from_mut(place).expose_provenance() as u64;
    table[4] = 4 << 24;
    table
}

fn ask_the_registry(table: *const [u64; 16]) {
    let path = utf16("\\Registry\\Machine\\System\\CurrentControlSet\\Services\\planted\\Parameters\0").as_ptr();
    kernel_call!("RtlQueryRegistryValues"(0 => u32, path => *const u16, table => *const [u64; 16], 0 => usize, 0 => usize) -> NtStatus);
}

extern "efiapi" fn on_cancel(_: *mut DeviceObject, irp: *mut Irp) {
    // SAFETY: the request that is cancelled.
    let irql = unsafe { (*irp).cancel_irql };
    kernel_call!("IoReleaseCancelSpinLock"(irql => u8));
    complete(irp, 0xC000_0120_u32 as i32);
}

/// DPCs that run now, the most that ran at once, and runs.
static NOW: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU32 = AtomicU32::new(0);
static QUEUED: AtomicUsize = AtomicUsize::new(0);

/// A DPC that queues itself while it runs, and waits until it has seen itself start on the other processor.
fn queue_itself() {
    extern "efiapi" fn run(dpc: *mut Kdpc, _: usize, _: usize, _: usize) {
        let now = NOW.fetch_add(1, SeqCst) + 1;
        MOST.fetch_max(now, SeqCst);
        if RUNS.fetch_add(1, SeqCst) == 0 {
            let queued = kernel_call!("KeInsertQueueDpc"(dpc => *mut Kdpc, 0 => usize, 0 => usize) -> u8);
            QUEUED.store(queued.into(), SeqCst);
            while RUNS.load(SeqCst) < 2 {
                std::hint::spin_loop();
            }
        }
        NOW.fetch_sub(1, SeqCst);
    }
    let dpc: *mut Kdpc = kernel_call!("ExAllocatePoolWithTag"(512 => i32, 64 => usize, TAG => u32) -> *mut Kdpc);
    kernel_call!("KeInitializeDpc"(dpc => *mut Kdpc, (run as *const ()).expose_provenance() => usize, 0 => usize));
    assert_eq!(kernel_call!("KeInsertQueueDpc"(dpc => *mut Kdpc, 0 => usize, 0 => usize) -> u8), 1);
    // Only then: what is queued during a flush may come after it, and the first run waits for the second.
    while RUNS.load(SeqCst) < 2 {
        std::thread::yield_now();
    }
    kernel_call!("KeFlushQueuedDpcs"());
    assert_eq!(NOW.load(SeqCst), 0, "a flush returns when what was queued has run");
    kernel_call!("ExFreePoolWithTag"(dpc => *mut Kdpc, TAG => u32));
}

fn code(deed: Deed) -> u32 {
    0x22 << 16 | (deed as u32) << 2
}

fn request(handle: &Handle, deed: Deed) -> Done {
    let mut buffer = [0; 16];
    handle.control(code(deed), Buffer::input(&buffer.clone()), Buffer::output(&mut buffer))
}

/// What ends a run in which the driver does this once, or is found when the machine is looked at in the end.
fn verdict(deed: Deed) -> String {
    let mut options = Options::default();
    options.parameters = vec![("Number".to_owned(), 1)];
    let machine = Machine::new(options);
    skeleton::verdict(&machine, || {
        let driver = machine.start_broken("planted", entry).expect("it starts");
        let handle = open(&machine);
        request(&handle, deed);
        handle.close();
        assert_eq!(driver.stop(), Ok(Stopped::Gone));
    })
}

#[test]
fn a_driver_that_breaks_no_rule_is_left_alone() {
    assert_eq!(verdict(Deed::Nothing), "");
}

#[test]
fn each_broken_rule_is_named() {
    for (deed, rule, want) in [
        (Deed::CompletesTwice, Some(Rule::CompletedOnce), "completed twice"),
        (Deed::DoesNotComplete, Some(Rule::StatusReturned), "which is not completed"),
        (Deed::PendsUnmarked, Some(Rule::PendingReturned), "which is not marked pending"),
        (Deed::MarksAndSucceeds, Some(Rule::PendingReturned), "which is marked pending"),
        (Deed::AnswersOtherwise, Some(Rule::StatusReturned), "which was completed with 0x0"),
        (Deed::CompletesWithCancelRoutine, Some(Rule::CancelRoutineCleared), "with its cancel routine set"),
        (Deed::CompletesAsPending, Some(Rule::CompletedForGood), "completed with STATUS_PENDING"),
        (Deed::Leaks, None, "40 bytes of pool"),
        (Deed::WaitsTooHigh, Some(Rule::WaitLevel), "KeWaitForSingleObject: a wait at DISPATCH_LEVEL"),
        (
            Deed::AllocatesTooHigh,
            Some(Rule::Irql),
            "ExAllocatePoolWithTag was called at IRQL 8; it may be called from 0 to 2",
        ),
        (Deed::TakesTwice, Some(Rule::SpinLockOnce), "is taken by the thread that has it"),
        (
            Deed::ReleasesWrongly,
            Some(Rule::SpinLockLevel),
            "was taken with the level raised from 0, and is released with from 1",
        ),
        (Deed::KeepsLock, Some(Rule::IrqlKept), "was called at IRQL 0 and returned at 2"),
        (Deed::KeepsLevel, Some(Rule::IrqlKept), "was called at IRQL 0 and returned at 1"),
        (Deed::LowersUnderLock, Some(Rule::IrqlLowered), "to 0 with a spin lock held"),
        (Deed::KeepsRegion, Some(Rule::RegionKept), "returned in a critical region"),
        (Deed::FreesTwice, Some(Rule::PoolBlock), "freed twice"),
        (Deed::FreesWithOtherTag, Some(Rule::PoolTag), "has the tag Plnt"),
        (Deed::WritesBehind, Some(Rule::PoolBounds), "bytes behind the block"),
        (Deed::StopsTheMachine, None, "bug check 0xdead"),
        (Deed::LeavesRemoveLock, Some(Rule::RemoveLockTag), "with which nobody has taken it"),
        (Deed::AsksTheRegistryUnchecked, Some(Rule::RegistryQuery), "the type must be checked"),
        (Deed::AsksTheRegistryFromItsStack, Some(Rule::RegistryTable), "the table is on a stack"),
        (Deed::Returns100Bytes, Some(Rule::OutputFits), "100 bytes were returned in a buffer of 16"),
    ] {
        skeleton::says(&verdict(deed), rule, want, &format!("{deed:?}"));
    }
}

#[test]
fn a_bug_checks_parameters_are_kept() {
    let machine = Machine::default();
    machine.start_broken("planted", entry).expect("it starts");
    let stopped = catch_unwind(AssertUnwindSafe(|| request(&open(&machine), Deed::StopsTheMachine)));
    assert!(stopped.is_err());
    assert_eq!(machine.verdict(), Some(Verdict::BugCheck { code: 0xDEAD, parameters: [1, 2, 3, 4] }));
}

#[test]
fn a_device_that_unload_forgets_is_found() {
    let machine = Machine::default();
    let driver = machine.start_broken("forgetful", forgetful).expect("it starts");
    assert!(catch_unwind(AssertUnwindSafe(|| driver.stop())).is_err());
    let Some(Verdict::Broken(broken)) = machine.verdict() else { panic!("a broken rule") };
    assert_eq!((broken.rule, broken.what.as_str()), (Rule::Unloaded, "DriverUnload left 1 device objects"));
}

#[test]
fn a_dpc_that_runs_is_queued_again_and_starts_on_the_other_processor() {
    assert_eq!(verdict(Deed::QueuesItself), "");
    assert_eq!((QUEUED.load(SeqCst), MOST.load(SeqCst)), (1, 2), "queued while it ran; twice at once");
}

#[test]
fn a_pended_request_is_cancelled_by_its_app_and_by_the_end_of_its_process() {
    let machine = Machine::default();
    let driver = machine.start_broken("planted", entry).expect("it starts");
    let process = machine.process(Token::User);
    let handle = process.open(r"\\.\planted", access::READ, Mode::Overlapped).expect("it opens");
    let mut buffer = [0; 16];
    let mut start =
        || handle.start(code(Deed::Pends), Buffer::default(), Buffer::output(&mut buffer)).expect("it is sent");
    let (first, second) = (start(), start());
    assert!(!first.is_over());
    first.cancel();
    assert_eq!(first.wait(), Done { status: 0xC000_0120_u32 as i32, information: 0 });
    assert!(!second.is_over(), "the other one goes on");
    assert_eq!(driver.stop(), Ok(Stopped::Pending));
    process.exit();
    assert_eq!(second.wait().status, 0xC000_0120_u32 as i32);
    driver.wait_until_unloaded();
    drop((first, second, handle, process));
    machine.finish();
}

#[test]
fn an_access_that_the_handle_has_not_got_is_refused_by_the_kernel() {
    let machine = Machine::default();
    machine.start_broken("planted", entry).expect("it starts");
    let handle = open(&machine);
    let write = code(Deed::Nothing) | access::WRITE << 14;
    let done = handle.control(write, Buffer::default(), Buffer::default());
    assert_eq!(done.status, 0xC000_0022_u32 as i32);
}

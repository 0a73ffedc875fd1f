//! A device's interrupt: what START has assigned is connected, each vector with a DPC of its own.
use crate::{
    device::{
        command::{Command, InterruptNeeds},
        msix_table::MsixTable,
        resources::InterruptResources,
        stack_device::StackDevice,
    },
    kernel::{
        dpc::Dpc,
        irql, memory,
        optional::{CONNECT_INTERRUPT, DISCONNECT_INTERRUPT},
        parameters, processors,
    },
    nt::{self, *},
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::*},
};
use kp_core::{
    Error, IrqKind, Result, Status,
    host::{IrqEntry, IrqRequest, PreparedVectors},
};

/// What kp-core's interrupt functions work on. All but the handlers run on one thread at a time.
pub(crate) struct Interrupt {
    pdo: StackDevice,
    pub(crate) command: Command,
    assigned: InterruptResources,
    /// None: it has none, or the bus gives no interface for it.
    table: Option<MsixTable>,
    /// Nothing is assigned if the count is 0.
    kind: IrqKind,
    /// INVARIANT: `count` of them from `prepare` to `release`, which nothing moves.
    vectors: AtomicPtr<Vector>,
    count: AtomicU32,
    /// What kp-core wants called. Written before connecting.
    entry: UnsafeCell<Option<IrqEntry>>,
    /// What IoConnectInterruptEx has given: an interrupt object, or a table of messages.
    connection: UnsafeCell<*mut c_void>,
    /// The kernel holds it while a handler runs, of whichever vector.
    lock: UnsafeCell<SpinLock>,
    /// ISRs may run.
    connected: AtomicBool,
    /// The device has interrupted without end: it is or will be stopped.
    masked: AtomicBool,
    /// It is not stopped yet: what comes is its own still.
    stopping: AtomicBool,
    mask: Dpc,
}

/// Returns when no DPC is left: those that were queued before the first flush have run after it, and what they have queued
/// meanwhile after the second. A flush promises no more than what was queued before it. Passive.
fn flush_dpcs() {
    KeFlushQueuedDpcs();
    KeFlushQueuedDpcs();
}

/// One vector's DPC.
struct Vector {
    dpc: Dpc,
    interrupt: *const Interrupt,
    index: u32,
}

impl Interrupt {
    /// Of what was assigned. Windows uses MSI-X rather than MSI where a device has both.
    pub(crate) fn new(
        pdo: StackDevice,
        assigned: InterruptResources,
        has_msix: bool,
        table: Option<MsixTable>,
        command: Command,
    ) -> Self {
        let kind = match (assigned.are_messages, has_msix) {
            (false, _) => IrqKind::Line,
            (true, false) => IrqKind::Msi,
            (true, true) => IrqKind::MsiX,
        };
        Self {
            pdo,
            command,
            assigned,
            table,
            kind,
            vectors: AtomicPtr::new(ptr::null_mut()),
            count: AtomicU32::new(0),
            entry: UnsafeCell::new(None),
            connection: UnsafeCell::new(ptr::null_mut()),
            lock: UnsafeCell::new(0),
            connected: AtomicBool::new(false),
            masked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            mask: Dpc::unused(),
        }
    }

    /// Sets the command register as everything asks for. Up to DISPATCH_LEVEL.
    #[inline(never)]
    pub(crate) fn apply(&self) {
        self.command.apply(&InterruptNeeds {
            has_line: self.assigned.count != 0 && self.kind == IrqKind::Line,
            line: self.connected.load(Relaxed),
            messages: self.kind != IrqKind::Line && self.count.load(Relaxed) != 0,
            masked: self.masked.load(Relaxed),
        });
    }

    /// Vectors of the kind that was assigned, if it is one of these. NoInterrupt, NoMemory. Passive.
    pub(crate) fn prepare(&self, wanted: IrqRequest) -> Result<PreparedVectors> {
        let assigned = self.assigned.count;
        if assigned == 0 || !wanted.kinds.contains(self.kind) || assigned < wanted.min {
            return Err(Status::NO_INTERRUPT.into());
        }
        let count = assigned.min(wanted.max);
        let vectors = memory::alloc(size_of::<Vector>() * count as usize, align_of::<Vector>()).cast::<Vector>();
        if vectors.is_null() {
            return Err(Status::NO_MEMORY.into());
        }
        for index in 0..count {
            let vector = vectors.wrapping_add(index as usize);
            // SAFETY: fresh memory for `count` of them.
            unsafe { vector.write(Vector { dpc: Dpc::unused(), interrupt: self, index }) };
            // SAFETY: written above.
            let dpc = unsafe { &(*vector).dpc };
            // SAFETY: new, and where it stays; `disconnect` flushes it before the vectors go.
            unsafe { dpc.init(on_dpc, vector.cast()) };
        }
        let context = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: not queued: nothing is connected. It stays with this record, and is flushed by `disconnect`.
        unsafe { self.mask.init(on_mask, context) };
        self.vectors.store(vectors, Relaxed);
        self.count.store(count, Relaxed);
        self.apply();
        Ok(PreparedVectors { kind: self.kind, count })
    }

    /// Connects what was prepared. ConnectFailed, detail = the kernel's code. Passive.
    ///
    /// # Safety
    /// Prepared, not connected; what the entry needs is there until [`disconnect`](Self::disconnect) has returned.
    pub(crate) unsafe fn connect(&self, entry: IrqEntry) -> Result<()> {
        let refused = |status: NtStatus| Error::new(Status::CONNECT_FAILED, status as u32);
        let can_disconnect = DISCONNECT_INTERRUPT.get().is_some();
        let Some(function) = CONNECT_INTERRUPT.get().filter(|_| can_disconnect && irql::is_known()) else {
            return Err(refused(STATUS_PROCEDURE_NOT_FOUND));
        };
        // SAFETY: nothing is connected: no handler reads it.
        unsafe { *self.entry.get() = Some(entry) };
        let (version, routine) = match self.kind {
            IrqKind::Line => (connect::LINE_BASED, on_line as Service as *const c_void),
            _ => (connect::MESSAGE_BASED, on_message as MessageService as *const c_void),
        };
        let mut parameters = ConnectInterrupt {
            version,
            _pad0: 0,
            physical_device_object: self.pdo.as_raw(),
            connection: self.connection.get(),
            service_routine: routine,
            service_context: ptr::from_ref(self).cast_mut().cast(),
            spin_lock: self.lock.get(),
            // One level for all vectors: none interrupts another one's handler.
            synchronize_irql: self.assigned.irql,
            floating_save: 0,
            _pad1: [0; 6],
            fallback_service_routine: ptr::null(),
            _pad2: [0; 2],
        };
        self.connected.store(true, Release);
        // SAFETY: complete parameters of this version; the record outlives the connection.
        let status = unsafe { function(&mut parameters) };
        if status < 0 {
            self.connected.store(false, Release);
            return Err(refused(status));
        }
        if version == connect::MESSAGE_BASED {
            // SAFETY: what the kernel has just written: its table of messages.
            let table = unsafe { (*self.connection.get()).cast::<MessageInfo>() };
            // SAFETY: the kernel's table, which stays until the disconnecting.
            irql::allow_for(unsafe { (*table).unified_irql }); // the highest of the messages', which START need not have said
        }
        self.apply();
        Ok(())
    }

    /// Disconnects, if it is connected: the last ISR and the last DPC have returned then. Passive.
    pub(crate) fn disconnect(&self) {
        if !self.connected.swap(false, AcqRel) {
            return;
        }
        self.apply(); // the line is off
        let version = if self.kind == IrqKind::Line { connect::LINE_BASED } else { connect::MESSAGE_BASED };
        // SAFETY: written by the connecting, which has returned.
        let connection = unsafe { *self.connection.get() };
        let mut parameters = DisconnectInterrupt { version, _pad: 0, connection };
        if let Some(disconnect) = DISCONNECT_INTERRUPT.get() {
            // SAFETY: what the connecting has given, used once.
            unsafe { disconnect(&mut parameters) };
        }
        flush_dpcs();
        self.masked.store(false, Relaxed);
        self.stopping.store(false, Relaxed);
        self.apply();
    }

    /// Returns when no handler runs that has begun before, and no DPC is left. Passive.
    pub(crate) fn finish_handlers(&self) {
        // Whatever `connected` says: who disconnects just now may wait for a handler still.
        if let Some(before) = irql::raise() {
            // SAFETY: the record's own lock, which the kernel holds while a handler runs; at the handlers' level or above.
            unsafe { KeAcquireSpinLockAtDpcLevel(self.lock.get()) };
            // SAFETY: taken above.
            unsafe { KeReleaseSpinLockFromDpcLevel(self.lock.get()) };
            irql::lower(before);
        }
        flush_dpcs();
    }

    /// Gives the vectors back, if there are any. Passive.
    pub(crate) fn release(&self) {
        let vectors = self.vectors.swap(ptr::null_mut(), Relaxed);
        if vectors.is_null() {
            return;
        }
        self.count.store(0, Relaxed);
        // SAFETY: from `alloc`; nothing is connected, so no call is queued.
        unsafe { memory::free(vectors.cast(), align_of::<Vector>()) };
        self.apply();
    }

    /// Has a vector's DPC run. Irql and Dispatch, while connected.
    #[inline]
    pub(crate) fn queue(&self, vector: u32) {
        if vector >= self.count.load(Relaxed) {
            return;
        }
        let vector = self.vectors.load(Relaxed).wrapping_add(vector as usize);
        // SAFETY: by the invariant it is there.
        unsafe { &(*vector).dpc }.queue();
    }

    /// Stops the device as soon as that can be done: the bus is not to be used here. False: that was asked for before, or an administrator has
    /// forbidden it. Irql, while connected.
    pub(crate) fn mask(&self) -> bool {
        if parameters::leave_command() || self.masked.swap(true, Relaxed) {
            return false;
        }
        self.stopping.store(true, Relaxed);
        // SAFETY: initialised by `prepare`, and not queued.
        unsafe { processors::aim_elsewhere(&self.mask) };
        self.mask.queue();
        true
    }

    /// Masks a message of MSI-X, or unmasks it; the device keeps what it would send meanwhile. False: the bus has no means for it. Up to
    /// DISPATCH_LEVEL, while connected.
    pub(crate) fn mask_message(&self, message: u32, mask: bool) -> bool {
        self.table.as_ref().is_some_and(|table| table.mask(message, mask))
    }

    /// Are the messages in a table, which the bus driver has written at START?
    fn is_in_table(&self) -> bool {
        self.kind == IrqKind::MsiX && self.assigned.count != 0
    }

    /// The device is about to forget its table. False: nobody could write it again. Passive.
    pub(crate) fn reset_begins(&self) -> bool {
        !self.is_in_table() || self.table.as_ref().is_some_and(MsixTable::can_write)
    }

    /// It has forgotten it, and its BARs are there again: the table gets what START has given it, each entry the message of its number, those behind
    /// them message 0. None is masked, as nothing is connected. Passive.
    pub(crate) fn reset_ended(&self) {
        let Some(table) = self.table.as_ref().filter(|_| self.is_in_table()) else { return };
        let messages = self.assigned.count;
        let lost = (0..messages).filter(|&message| !table.write(message, message)).count();
        if lost != 0 {
            kp_core::log!("the device was reset, and {} of its messages could not be written again", lost);
        }
        for entry in messages..self.command.bus.msix_entries() {
            let _ = table.write(entry, 0); // the bus may have no entry for what it has assigned nothing
        }
    }

    /// While connected, and until the DPCs are flushed.
    #[inline]
    fn entry(&self) -> Option<&IrqEntry> {
        // SAFETY: written before connecting, and not while a handler or a DPC may run.
        unsafe { (*self.entry.get()).as_ref() }
    }

    /// Runs kp-core's handler of one vector.
    ///
    /// # Safety
    /// At the device's level, while connected.
    #[inline]
    unsafe fn isr(&self, vector: u32) -> bool {
        if self.stopping.load(Relaxed) {
            return true;
        }
        match self.entry() {
            // SAFETY: at the device's level, while connected; the kernel holds a lock of the vector's at least, so it does not run twice at once.
            Some(entry) => unsafe { (entry.isr)(entry.cookie, vector) },
            None => false,
        }
    }
}

/// # Safety
/// The context of a handler, or of the DPC that stops the device: what `connect` and `prepare` give.
#[inline]
unsafe fn interrupt_of<'a>(context: *mut c_void) -> &'a Interrupt {
    // SAFETY: the interrupt's own address. It outlives the connection and, by `disconnect`'s flush, the DPC.
    unsafe { &*context.cast::<Interrupt>() }
}

/// The handler of a line, which other devices may share.
unsafe extern "efiapi" fn on_line(_: *mut c_void, context: *mut c_void) -> u8 {
    // SAFETY: the kernel calls it with what `connect` gave.
    let interrupt = unsafe { interrupt_of(context) };
    // SAFETY: the kernel calls it at the device's level, while connected.
    unsafe { interrupt.isr(0) }.into()
}

/// The handler of messages.
unsafe extern "efiapi" fn on_message(_: *mut c_void, context: *mut c_void, message: u32) -> u8 {
    // SAFETY: the kernel calls it with what `connect` gave.
    let interrupt = unsafe { interrupt_of(context) };
    if message < interrupt.count.load(Relaxed) {
        // SAFETY: the kernel calls it at the device's level, while connected.
        unsafe { interrupt.isr(message) };
    }
    1 // nobody else can have sent it
}

/// The DPC of a vector.
unsafe extern "efiapi" fn on_dpc(_: *mut nt::Dpc, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: `prepare` gave it, and it is there until `disconnect` has flushed the queue.
    let vector = unsafe { &*context.cast::<Vector>() };
    // SAFETY: the vectors' own interrupt, which has them.
    let interrupt = unsafe { &*vector.interrupt };
    if let Some(entry) = interrupt.entry() {
        // SAFETY: at DISPATCH_LEVEL; kp-core queues it once at a time.
        unsafe { (entry.dpc)(entry.cookie, vector.index) };
    }
}

/// Stops a device that has interrupted without end.
unsafe extern "efiapi" fn on_mask(_: *mut nt::Dpc, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: `prepare` gave it.
    let interrupt = unsafe { interrupt_of(context) };
    interrupt.apply();
    interrupt.stopping.store(false, Relaxed);
}

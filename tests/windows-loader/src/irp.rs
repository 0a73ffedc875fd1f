//! I/O request packets: made, sent to a device, completed exactly once, cancelled, and poisoned when they are over.
use crate::{
    cpu::{self, level},
    file::File,
    kernel::{Kernel, lock},
    nt::{
        DeviceObject, DriverObject, Header, IoStackLocation, IoStatusBlock, Irp, NtStatus,
        STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, control, major,
    },
    process::Process,
    rule::{Broken, Rule},
    spin,
};
use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

/// All requests that are not over.
#[derive(Default)]
pub(crate) struct Irps {
    live: Mutex<BTreeMap<usize, Arc<Request>>>,
    /// The cancel spin lock.
    pub(crate) cancel_lock: AtomicUsize,
}

/// What the I/O manager knows of a request. It outlives the packet.
pub(crate) struct Request {
    address: usize,
    /// Locations in the packet's stack.
    stack: u8,
    /// The file that it was made for.
    file: Option<Arc<File>>,
    then: Mutex<Option<Then>>,
    /// Its process ends, and has asked for its end too.
    is_ending: AtomicBool,
    is_cancelled: AtomicBool,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    over: Option<Over>,
    /// Who looks into the packet now, beside its driver.
    pins: u32,
    is_freed: bool,
}

/// How a request ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Over {
    pub(crate) status: NtStatus,
    pub(crate) information: usize,
    /// The topmost driver had marked it pending.
    was_marked: bool,
    /// The first bytes of the system buffer.
    pub(crate) output: Vec<u8>,
}

fn location(irp: usize, index: u8) -> *mut IoStackLocation {
    ptr::with_exposed_provenance_mut(irp + size_of::<Irp>() + size_of::<IoStackLocation>() * usize::from(index))
}

impl Irps {
    pub(crate) fn changed(&self) {
        for request in lock(&self.live).values() {
            drop(lock(&request.state));
            request.news.notify_all();
        }
    }

    pub(crate) fn left(&self) -> Vec<String> {
        lock(&self.live).keys().map(|irp| format!("a request at {irp:#x} that was never completed")).collect()
    }

    /// The process that a request comes from.
    pub(crate) fn process(&self, irp: usize) -> Option<Arc<Process>> {
        self.find(irp)?.file.as_ref().map(|file| file.process().clone())
    }

    fn find(&self, irp: usize) -> Option<Arc<Request>> {
        lock(&self.live).get(&irp).cloned()
    }
}

/// A packet with `stack` locations, all clear; `fill` fills in the packet and the location of the first driver.
pub(crate) fn make(
    kernel: &Kernel,
    stack: u8,
    file: Option<&Arc<File>>,
    fill: impl FnOnce(&mut Irp, &mut IoStackLocation),
) -> Arc<Request> {
    make_then(kernel, stack, file, None, fill)
}

/// What is done when a request is over, by whoever completes it.
pub(crate) type Then = Box<dyn FnOnce(&Over) + Send>;

/// As [`make`], with something to do at the end.
pub(crate) fn make_then(
    kernel: &Kernel,
    stack: u8,
    file: Option<&Arc<File>>,
    then: Option<Then>,
    fill: impl FnOnce(&mut Irp, &mut IoStackLocation),
) -> Arc<Request> {
    let size = size_of::<Irp>() + size_of::<IoStackLocation>() * usize::from(stack);
    let address = kernel.allocate(size, b"Irp ", true);
    let irp = ptr::with_exposed_provenance_mut::<Irp>(address);
    // SAFETY: fresh memory of this size, zeroed, which is a valid packet.
    let packet = unsafe { &mut *irp };
    (packet.kind, packet.size) = (6, size as u16);
    packet.stack_count = stack as i8;
    packet.current_location = stack as i8 + 1;
    packet.current_stack_location = location(address, stack);
    // SAFETY: the last location, inside the allocation, beside the packet.
    fill(packet, unsafe { &mut *location(address, stack - 1) });
    let request = Arc::new(Request {
        address,
        stack,
        file: file.cloned(),
        then: Mutex::new(then),
        is_ending: AtomicBool::new(false),
        is_cancelled: AtomicBool::new(false),
        state: Mutex::default(),
        news: Condvar::new(),
    });
    lock(&kernel.irps.live).insert(address, request.clone());
    request
}

/// IofCallDriver: the next location's driver gets the packet, at the current level.
pub(crate) fn call_driver(
    kernel: &Kernel,
    device: *mut DeviceObject,
    irp: *mut Irp,
) -> Result<Option<NtStatus>, Broken> {
    let address = irp.expose_provenance();
    if kernel.irps.find(address).is_none() {
        return Err(Rule::RequestLive.broken(format!("{address:#x} is sent to a driver, but is no request")));
    }
    // SAFETY: a live packet, in the hands of who calls this.
    let packet = unsafe { &mut *irp };
    packet.current_location -= 1;
    if packet.current_location < 1 {
        return Err(
            Rule::RequestStack.broken(format!("the request {address:#x} is sent further than its stack reaches"))
        );
    }
    packet.current_stack_location = packet.current_stack_location.wrapping_sub(1);
    // SAFETY: inside the packet, as just checked.
    let location = unsafe { &mut *packet.current_stack_location };
    location.device_object = device;
    let major = location.major_function;
    // SAFETY: a live device's driver.
    let driver = unsafe { (*device).driver_object };
    // SAFETY: as above.
    let driver: &DriverObject = unsafe { &*driver };
    let function = driver.major_function[usize::from(major)];
    let what = format!("the dispatch function of major function {major}");
    let arguments = [device.expose_provenance(), address];
    let call = || cpu::call(&what, function, cpu::irql(), &arguments);
    let answer = cpu::dispatching(major == major::POWER, call);
    Ok(answer.map(|answer| answer as NtStatus))
}

/// Sends a packet to the top of a device's stack, as the I/O manager does. None: the run has ended.
pub(crate) fn send(kernel: &Kernel, device: *mut DeviceObject, request: &Request) -> Option<()> {
    let irp = ptr::with_exposed_provenance_mut::<Irp>(request.address);
    let status = cpu::checked(call_driver(kernel, device, irp))?;
    let checked = request.check_return(status);
    cpu::checked(checked);
    Some(())
}

impl Request {
    /// What a dispatch function returned must fit what it did.
    fn check_return(&self, status: NtStatus) -> Result<(), Broken> {
        let state = lock(&self.state);
        let marked = match &state.over {
            Some(over) => over.was_marked,
            // SAFETY: not over, so the packet is alive, and stays so under the lock.
            None => unsafe { (*location(self.address, self.stack - 1)).control & control::PENDING_RETURNED != 0 },
        };
        let irp = self.address;
        match (status, &state.over) {
            (STATUS_PENDING, _) if marked => Ok(()),
            (STATUS_PENDING, _) => Err(Rule::PendingReturned
                .broken(format!("STATUS_PENDING was returned for the request {irp:#x}, which is not marked pending"))),
            (_, _) if marked => Err(Rule::PendingReturned
                .broken(format!("{status:#x} was returned for the request {irp:#x}, which is marked pending"))),
            (_, None) => Err(Rule::StatusReturned
                .broken(format!("{status:#x} was returned for the request {irp:#x}, which is not completed"))),
            (_, Some(over)) if over.status != status => Err(Rule::StatusReturned.broken(format!(
                "{status:#x} was returned for the request {irp:#x}, which was completed with {:#x}",
                over.status
            ))),
            _ => Ok(()),
        }
    }

    /// Where its packet is, or was.
    pub(crate) fn address(&self) -> usize {
        self.address
    }

    /// True once: for the end of its process.
    pub(crate) fn first_end(&self) -> bool {
        !self.is_ending.swap(true, AcqRel)
    }

    /// Its status, if it is over.
    pub(crate) fn over(&self) -> Option<NtStatus> {
        lock(&self.state).over.as_ref().map(|over| over.status)
    }

    /// Is it over?
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).over.is_some()
    }

    /// Waits for its end; None: the run has ended. A request that should end soon and does not is a broken rule: with `soon`, and once it
    /// is cancelled.
    pub(crate) fn wait(&self, kernel: &Kernel, soon: bool) -> Option<Over> {
        let mut since = soon.then(Instant::now);
        let mut state = lock(&self.state);
        loop {
            if let Some(over) = &state.over {
                return Some(over.clone());
            }
            if kernel.is_stopped() {
                return None;
            }
            if since.is_none() && self.is_cancelled.load(Acquire) {
                since = Some(Instant::now());
            }
            if since.is_some_and(|since| since.elapsed() > kernel.patience()) {
                drop(state);
                let (rule, what) = match soon {
                    true => (Rule::CompletedSoon, "is not completed"),
                    false => (Rule::Cancelled, "is cancelled, and not completed"),
                };
                kernel.stop(rule.broken(format!("the request {:#x} {what}", self.address)).into());
                return None;
            }
            let tick = Duration::from_millis(500);
            state = self.news.wait_timeout(state, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// IoCancelIrp. None: the run has ended.
    pub(crate) fn cancel(&self, kernel: &Kernel) -> Option<()> {
        {
            let mut state = lock(&self.state);
            if state.over.is_some() {
                return Some(());
            }
            state.pins += 1;
        }
        self.is_cancelled.store(true, Release);
        let irp = ptr::with_exposed_provenance_mut::<Irp>(self.address);
        let before = cpu::set_irql(level::DISPATCH);
        let cancel_lock = (&raw const kernel.irps.cancel_lock).expose_provenance();
        spin::acquire(kernel, cancel_lock, Some(before))?;
        // SAFETY: pinned, so alive.
        unsafe { ptr::addr_of_mut!((*irp).cancel).write_volatile(1) };
        // SAFETY: as above; everybody exchanges it atomically.
        let routine = unsafe { AtomicUsize::from_ptr(&raw mut (*irp).cancel_routine) }.swap(0, AcqRel);
        if routine == 0 {
            cpu::checked(spin::release(cancel_lock, Some(before)));
        } else {
            // SAFETY: as above; the cancel routine releases the lock with this level.
            unsafe { (*irp).cancel_irql = before };
            // SAFETY: as above.
            let device = unsafe { (*(*irp).current_stack_location).device_object };
            let arguments = [device.expose_provenance(), self.address];
            cpu::call_releasing("a cancel routine", routine, (level::DISPATCH, before), 1, &arguments)?;
        }
        cpu::set_irql(before);
        let mut state = lock(&self.state);
        state.pins -= 1;
        let freed = self.free_if_over(kernel, &mut state);
        drop(state);
        cpu::checked(freed);
        Some(())
    }

    /// Gives the packet's memory back once nobody looks at it.
    fn free_if_over(&self, kernel: &Kernel, state: &mut State) -> Result<(), Broken> {
        if state.over.is_some() && state.pins == 0 && !state.is_freed {
            state.is_freed = true;
            return kernel.pool.free(self.address, None);
        }
        Ok(())
    }
}

/// IofCompleteRequest: the request is over, unless a driver above takes it back. Ok(false): one did.
pub(crate) fn complete(kernel: &Kernel, irp: *mut Irp) -> Result<bool, Broken> {
    let address = irp.expose_provenance();
    let Some(request) = kernel.irps.find(address) else {
        return Err(Rule::CompletedOnce.broken(format!("the request {address:#x} is completed twice, or is none")));
    };
    // SAFETY: live, and in the hands of who completes it.
    let packet = unsafe { &mut *irp };
    if packet.cancel_routine != 0 {
        return Err(Rule::CancelRoutineCleared
            .broken(format!("the request {address:#x} is completed with its cancel routine set")));
    }
    if packet.io_status.status == STATUS_PENDING {
        return Err(Rule::CompletedForGood.broken(format!("the request {address:#x} is completed with STATUS_PENDING")));
    }
    if packet.current_location > packet.stack_count {
        return Err(Rule::CompletedOnce.broken(format!("the request {address:#x} is completed twice")));
    }
    // Up the stack: each location has what the driver above it wants to know.
    while packet.current_location <= packet.stack_count {
        // SAFETY: inside the packet.
        let mut location = unsafe { ptr::read(packet.current_stack_location) };
        packet.pending_returned = location.control & control::PENDING_RETURNED;
        packet.current_location += 1;
        packet.current_stack_location = packet.current_stack_location.wrapping_add(1);
        let above = packet.current_location <= packet.stack_count;
        // SAFETY: inside the packet if there is a location above.
        let device = if above { unsafe { (*packet.current_stack_location).device_object } } else { ptr::null_mut() };
        let wanted = match packet.io_status.status {
            _ if packet.cancel != 0 && location.control & control::INVOKE_ON_CANCEL != 0 => true,
            status if status >= 0 => location.control & control::INVOKE_ON_SUCCESS != 0,
            _ => location.control & control::INVOKE_ON_ERROR != 0,
        };
        let routine = std::mem::take(&mut location.completion_routine);
        if wanted && routine != 0 {
            let arguments = [device.expose_provenance(), address, location.context];
            let answer = cpu::call("a completion routine", routine, cpu::irql(), &arguments);
            match answer {
                None => return Ok(false),
                Some(answer) if answer as NtStatus == STATUS_MORE_PROCESSING_REQUIRED => return Ok(false),
                Some(_) => {}
            }
        } else if packet.pending_returned != 0 && above {
            // SAFETY: inside the packet, as there is a location above.
            unsafe { (*packet.current_stack_location).control |= control::PENDING_RETURNED };
        }
    }
    finish(kernel, &request, packet)
}

/// The I/O manager's own part of the end.
fn finish(kernel: &Kernel, request: &Request, packet: &mut Irp) -> Result<bool, Broken> {
    let IoStatusBlock { status, information } = packet.io_status;
    let output = match packet.system_buffer.is_null() || packet.flags & BUFFERED_OUTPUT == 0 {
        true => Vec::new(),
        false => {
            // SAFETY: the buffer is the I/O manager's own, of `overlay[0]` bytes.
            let buffer = unsafe { std::slice::from_raw_parts(packet.system_buffer.cast::<u8>(), packet.overlay[0]) };
            if information > packet.overlay[0] {
                let what = format!("{information} bytes were returned in a buffer of {}", packet.overlay[0]);
                return Err(Rule::OutputFits.broken(what));
            }
            buffer[..information].to_vec()
        }
    };
    if !packet.system_buffer.is_null() {
        kernel.pool.free(packet.system_buffer.expose_provenance(), Some(SYSTEM_BUFFER))?;
    }
    if !packet.mdl_address.is_null() {
        kernel.page_lists.unlock(kernel, packet.mdl_address.expose_provenance())?;
    }
    let block = ptr::with_exposed_provenance_mut::<IoStatusBlock>(packet.user_iosb);
    if !block.is_null() {
        // SAFETY: whoever made the request has it there until the request is over.
        unsafe { *block = packet.io_status };
    }
    if packet.user_event != 0 {
        kernel.dispatcher.set(ptr::with_exposed_provenance_mut::<Header>(packet.user_event), 1);
    }
    let over = Over { status, information, was_marked: packet.pending_returned != 0, output };
    lock(&kernel.irps.live).remove(&request.address);
    let then = lock(&request.then).take();
    let for_then = over.clone();
    let mut state = lock(&request.state);
    state.over = Some(over);
    request.free_if_over(kernel, &mut state)?;
    drop(state);
    request.news.notify_all();
    if let Some(then) = then {
        then(&for_then);
    }
    if let Some(file) = &request.file {
        file.ended(request.address);
    }
    Ok(true)
}

/// Flag of a packet whose system buffer is copied to the app: IRP_INPUT_OPERATION.
pub(crate) const BUFFERED_OUTPUT: u32 = 0x40;
/// Tag of system buffers.
pub(crate) const SYSTEM_BUFFER: u32 = u32::from_le_bytes(*b"IoSB");

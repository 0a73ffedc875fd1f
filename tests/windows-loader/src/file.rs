//! Open files: CreateFile, DeviceIoControl, CancelIoEx, CloseHandle, as the I/O manager serves them.
use crate::{
    buffers::{Buffer, Buffers},
    cpu,
    irp::{self, Over, Request},
    kernel::{Kernel, lock},
    nt::{
        DeviceObject, FileObject, IoStackLocation, Irp, NtStatus, STATUS_ACCESS_DENIED, STATUS_ACCESS_VIOLATION,
        STATUS_INVALID_HANDLE, STATUS_SUCCESS, file_flags, major, method,
    },
    process::{Mode, Process},
    security::{self, Token, access},
    service::Service,
    trap,
};
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// An open file, with the handle to it.
pub(crate) struct File {
    pub(crate) kernel: Arc<Kernel>,
    process: Arc<Process>,
    service: Arc<Service>,
    device: usize,
    /// Address of the FILE_OBJECT.
    object: usize,
    access: u32,
    mode: Mode,
    /// Held while a request of a synchronous file is under way.
    serial: Mutex<()>,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<(usize, Arc<Request>)>,
    /// Requests that are being made.
    starting: u32,
    has_closed_handle: bool,
    /// CLEANUP has been answered.
    is_clean: bool,
    is_closing: bool,
    is_closed: bool,
}

/// Processor modes, as a request's requestor has them.
pub(crate) const KERNEL_MODE: i8 = 0;
pub(crate) const USER_MODE: i8 = 1;

/// A handle. Dropping it closes it, as CloseHandle does.
pub struct Handle {
    pub(crate) file: Arc<File>,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its status.
    pub status: NtStatus,
    /// Bytes in the output buffer.
    pub information: usize,
}

/// A request under way.
pub struct Pending {
    file: Arc<File>,
    request: Arc<Request>,
    /// Where the system buffer's bytes go.
    output: Option<Buffer>,
}

impl File {
    /// CREATE. On a thread of the process.
    pub(crate) fn open(
        process: &Arc<Process>,
        impersonated: Option<Token>,
        path: &str,
        access: u32,
        mode: Mode,
    ) -> Result<Arc<Self>, NtStatus> {
        let token = impersonated.unwrap_or(process.token);
        let kernel = process.kernel.clone();
        let (device, rest, service) = {
            let objects = lock(&kernel.objects);
            let (address, rest) = objects.resolve(path)?;
            let device = &objects.devices[&address];
            let service = device.service.upgrade().ok_or(crate::nt::STATUS_NO_SUCH_DEVICE)?;
            if service.is_stopping() {
                return Err(crate::nt::STATUS_NO_SUCH_DEVICE);
            }
            // Without FILE_DEVICE_SECURE_OPEN a path behind the name is the driver's own affair. "The FILE_DEVICE_SECURE_OPEN characteristic is
            // checked at the top of the stack" ("Controlling Device Namespace Access").
            let is_checked = rest.is_empty() || top_characteristics(address) & SECURE_OPEN != 0;
            if is_checked && !security::allows(device.dacl.as_ref(), token, access) {
                return Err(STATUS_ACCESS_DENIED);
            }
            (address, rest, service)
        };
        let slot = lock(&kernel.slots).get(&device).cloned();
        if slot.is_some_and(|slot| slot.is_starting()) {
            return Err(crate::nt::STATUS_NO_SUCH_DEVICE);
        }
        if device_flags(device) & crate::nt::device_flags::INITIALIZING != 0 {
            return Err(crate::nt::STATUS_NO_SUCH_DEVICE);
        }
        let object = kernel.allocate(size_of::<FileObject>(), b"File", true);
        let name: Vec<u16> = rest.encode_utf16().collect();
        let name_at = if name.is_empty() { 0 } else { kernel.allocate(2 * name.len(), b"IoNm", true) };
        let file = ptr::with_exposed_provenance_mut::<FileObject>(object);
        // SAFETY: fresh memory of this size, zeroed, which is a valid file object.
        let fields = unsafe { &mut *file };
        (fields.kind, fields.size) = (5, size_of::<FileObject>() as i16);
        fields.device_object = ptr::with_exposed_provenance_mut(device);
        fields.read_access = u8::from(access & access::READ != 0);
        fields.write_access = u8::from(access & access::WRITE != 0);
        fields.flags = if mode == Mode::Synchronous { file_flags::SYNCHRONOUS_IO } else { 0 };
        if name_at != 0 {
            let place = ptr::with_exposed_provenance_mut::<u16>(name_at);
            // SAFETY: fresh memory for as many units.
            unsafe { ptr::copy_nonoverlapping(name.as_ptr(), place, name.len()) };
            fields.file_name.buffer = place;
            fields.file_name.length = 2 * name.len() as u16;
            fields.file_name.maximum_length = fields.file_name.length;
        }
        let file = Arc::new(Self {
            kernel,
            process: process.clone(),
            service,
            device,
            object,
            access,
            mode,
            serial: Mutex::default(),
            state: Mutex::default(),
            news: Condvar::new(),
        });
        {
            let mut objects = lock(&file.kernel.objects);
            let record = objects.devices.get_mut(&device).ok_or(crate::nt::STATUS_NO_SUCH_DEVICE)?;
            record.files.retain(|file| file.strong_count() > 0);
            record.files.push(Arc::downgrade(&file));
        }
        // ACCESS_STATE, with the two tokens, and IO_SECURITY_CONTEXT, which leads to it.
        let mut granted = [0; 20];
        (granted[4], granted[6]) = (impersonated.map_or(0, Token::address), process.token.address());
        let context = [0, (&raw const granted).expose_provenance(), access as usize];
        let answer = file.send(major::CREATE, |_, location| {
            location.parameters[0] = (&raw const context).expose_provenance();
            location.parameters[1] = 1 << 24;
        });
        match answer.status {
            STATUS_SUCCESS => Ok(file),
            status => {
                file.free();
                Err(status)
            }
        }
    }

    /// Sends a packet of the I/O manager's own, and waits for its end.
    fn send(self: &Arc<Self>, major: u8, fill: impl FnOnce(&mut Irp, &mut IoStackLocation)) -> Over {
        let request = self.make(major, fill);
        match irp::send(&self.kernel, self.device_object(), &request) {
            Some(()) => request.wait(&self.kernel, true).unwrap_or_else(|| cpu::abandon()),
            None => cpu::abandon(),
        }
    }

    fn make(self: &Arc<Self>, major: u8, fill: impl FnOnce(&mut Irp, &mut IoStackLocation)) -> Arc<Request> {
        // SAFETY: the device is there as long as the file.
        let stack = unsafe { (*self.device_object()).stack_size } as u8;
        irp::make(&self.kernel, stack, Some(self), |irp, location| {
            irp.requestor_mode = USER_MODE;
            irp.thread = cpu::thread_id();
            irp.original_file_object = ptr::with_exposed_provenance_mut(self.object);
            location.major_function = major;
            location.file_object = irp.original_file_object;
            fill(irp, location);
        })
    }

    /// Where requests go: the top of the device's stack.
    fn device_object(&self) -> *mut DeviceObject {
        crate::pdo::top(ptr::with_exposed_provenance_mut(self.device))
    }

    /// The file object.
    pub(crate) fn object(&self) -> *mut FileObject {
        ptr::with_exposed_provenance_mut(self.object)
    }

    /// The process that opened it.
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Is the handle open?
    pub(crate) fn has_handle(&self) -> bool {
        !lock(&self.state).has_closed_handle
    }

    /// A request of it is over.
    pub(crate) fn ended(self: &Arc<Self>, irp: usize) {
        let mut state = lock(&self.state);
        state.requests.retain(|(address, _)| *address != irp);
        let close = self.may_close(&mut state);
        drop(state);
        self.news.notify_all();
        if close {
            // This may be at DISPATCH_LEVEL; CLOSE is sent at Passive.
            let file = self.clone();
            self.kernel.works.later(move || file.send_close());
        }
    }

    /// Is it time for CLOSE? True once.
    fn may_close(&self, state: &mut State) -> bool {
        let close = state.is_clean && !state.is_closing && state.starting == 0 && state.requests.is_empty();
        state.is_closing |= close;
        close
    }

    fn send_close(self: &Arc<Self>) {
        self.send(major::CLOSE, |_, _| {});
        self.free();
        lock(&self.state).is_closed = true;
        self.news.notify_all();
        if let Some(device) = lock(&self.kernel.objects).devices.get_mut(&self.device) {
            device.files.retain(|file| !ptr::eq(file.as_ptr(), Arc::as_ptr(self)));
        }
        self.service.file_closed(&self.kernel);
    }

    /// The file object's memory goes back.
    fn free(&self) {
        let file = ptr::with_exposed_provenance::<FileObject>(self.object);
        // SAFETY: made by `open`, and not freed yet.
        let name = unsafe { (*file).file_name.buffer };
        if !name.is_null() {
            cpu::checked(self.kernel.pool.free(name.expose_provenance(), None));
        }
        cpu::checked(self.kernel.pool.free(self.object, None));
    }

    /// The handle is closed: CLEANUP now, CLOSE when no request is under way any more. Only the first call does something.
    pub(crate) fn close(self: &Arc<Self>) {
        if std::mem::replace(&mut lock(&self.state).has_closed_handle, true) || self.kernel.is_stopped() {
            return;
        }
        let close = || {
            self.send(major::CLEANUP, |_, _| {});
            let mut state = lock(&self.state);
            state.is_clean = true;
            // CLEANUP's own packet is over, but this thread may be quicker than the one that has ended it.
            let close = self.may_close(&mut state);
            drop(state);
            if close {
                self.send_close();
            }
        };
        cpu::attached(&self.kernel, Some(&self.process), close);
    }

    fn wait_until(&self, done: impl Fn(&State) -> bool) {
        let mut state = lock(&self.state);
        while !done(&state) && !self.kernel.is_stopped() {
            let waited = self.news.wait_timeout(state, std::time::Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        if self.kernel.is_stopped() {
            cpu::attached(&self.kernel, None, || cpu::abandon());
        }
    }

    pub(crate) fn wait_until_closed(&self) {
        self.wait_until(|state| state.is_closed);
    }

    /// CancelIoEx of all its requests. How many there were.
    pub(crate) fn cancel_all(&self) -> usize {
        let requests: Vec<Arc<Request>> =
            lock(&self.state).requests.iter().map(|(_, request)| request.clone()).collect();
        for request in &requests {
            if request.cancel(&self.kernel).is_none() {
                cpu::abandon();
            }
        }
        requests.len()
    }

    /// Its process ends: cancels each of its requests, once. Are there none any more?
    pub(crate) fn end_requests(&self) -> bool {
        let (requests, is_idle) = {
            let state = lock(&self.state);
            let new = state.requests.iter().filter(|(_, request)| request.first_end());
            let requests: Vec<Arc<Request>> = new.map(|(_, request)| request.clone()).collect();
            (requests, state.requests.is_empty() && state.starting == 0)
        };
        for request in requests {
            if request.cancel(&self.kernel).is_none() {
                cpu::abandon();
            }
        }
        is_idle
    }

    /// DEVICE_CONTROL. `mode`: the requestor's. On a thread of the process, unless a driver above passes it on elsewhere.
    pub(crate) fn control(
        self: &Arc<Self>,
        mode: i8,
        code: u32,
        input: Buffer,
        output: Buffer,
    ) -> Result<Pending, NtStatus> {
        {
            let mut state = lock(&self.state);
            if state.has_closed_handle || self.process.is_dying() {
                return Err(STATUS_INVALID_HANDLE);
            }
            state.starting += 1;
        }
        let started = self.start(mode, code, input, output);
        let mut state = lock(&self.state);
        state.starting -= 1;
        let close = self.may_close(&mut state);
        drop(state);
        self.news.notify_all();
        if close {
            self.send_close();
        }
        started
    }

    fn start(self: &Arc<Self>, mode: i8, code: u32, input: Buffer, output: Buffer) -> Result<Pending, NtStatus> {
        let wanted = code >> 14 & 3;
        if self.access & wanted != wanted {
            return Err(STATUS_ACCESS_DENIED);
        }
        let buffers = Buffers::capture(&self.kernel, code, input, output)?;
        let kept = (code & 3 == method::BUFFERED).then_some(output);
        let request = self.make(major::DEVICE_CONTROL, |irp, location| {
            location.parameters = [output.len as usize, input.len as usize, code as usize, 0];
            irp.requestor_mode = mode;
            irp.user_buffer = ptr::with_exposed_provenance_mut::<c_void>(output.address);
            buffers.put(irp, location, input);
        });
        lock(&self.state).requests.push((request.address(), request.clone()));
        if irp::send(&self.kernel, self.device_object(), &request).is_none() {
            cpu::abandon();
        }
        Ok(Pending { file: self.clone(), request, output: kept })
    }
}

fn device_flags(device: usize) -> u32 {
    // SAFETY: a device object of the object manager's.
    unsafe { (*ptr::with_exposed_provenance::<DeviceObject>(device)).flags }
}

fn top_characteristics(device: usize) -> u32 {
    // SAFETY: the top device object of a stack of the object manager's.
    unsafe { (*crate::pdo::top(ptr::with_exposed_provenance_mut(device))).characteristics }
}

/// FILE_DEVICE_SECURE_OPEN.
const SECURE_OPEN: u32 = 0x100;

impl Handle {
    /// DeviceIoControl: makes a request and waits for its end.
    ///
    /// # Panics
    /// If the run ends.
    pub fn control(&self, code: u32, input: Buffer, output: Buffer) -> Done {
        let _serial = self.serial();
        match self.start_unserialised(code, input, output) {
            Ok(pending) => pending.wait(),
            Err(status) => Done { status, information: 0 },
        }
    }

    /// DeviceIoControl with an OVERLAPPED: makes a request, and does not wait for it.
    ///
    /// # Errors
    /// What the I/O manager refuses before the driver sees it.
    ///
    /// # Panics
    /// If the run ends, or the file was not opened for it.
    pub fn start(&self, code: u32, input: Buffer, output: Buffer) -> Result<Pending, NtStatus> {
        assert_eq!(self.file.mode, Mode::Overlapped, "requests of a synchronous file end before the next one starts");
        self.start_unserialised(code, input, output)
    }

    fn start_unserialised(&self, code: u32, input: Buffer, output: Buffer) -> Result<Pending, NtStatus> {
        let file = &self.file;
        cpu::attached(&file.kernel, Some(&file.process), || file.control(USER_MODE, code, input, output))
    }

    fn serial(&self) -> Option<MutexGuard<'_, ()>> {
        (self.file.mode == Mode::Synchronous).then(|| lock(&self.file.serial))
    }

    /// CancelIoEx: asks for the end of all requests of this file.
    ///
    /// # Panics
    /// If the run ends.
    pub fn cancel(&self) {
        cpu::attached(&self.file.kernel, Some(&self.file.process), || {
            self.file.cancel_all();
        });
    }

    /// CloseHandle by a thread, while requests of others may be under way: the driver is told, and CLOSE comes after the last of them.
    ///
    /// # Panics
    /// If the run ends.
    pub fn close_under_way(&self) {
        self.file.close();
    }

    /// CloseHandle, and waits until the driver has answered CLOSE.
    ///
    /// # Panics
    /// If the run ends.
    pub fn close(self) {
        self.file.close();
        self.file.wait_until_closed();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.file.close();
        }
    }
}

impl Pending {
    /// Waits for the request's end.
    ///
    /// # Panics
    /// If the run ends.
    pub fn wait(&self) -> Done {
        let kernel = &self.file.kernel;
        let Some(over) = self.request.wait(kernel, false) else { cpu::attached(kernel, None, || cpu::abandon()) };
        let Over { status, information, .. } = over;
        let is_error = status as u32 >> 30 == 3;
        if let Some(output) = self.output
            && !is_error
        {
            let from = over.output.as_ptr().expose_provenance();
            if !trap::copy(output.address, from, over.output.len().min(output.len as usize)) {
                return Done { status: STATUS_ACCESS_VIOLATION, information: 0 };
            }
        }
        Done { status, information }
    }

    /// Its status, if it is over.
    pub(crate) fn over(&self) -> Option<NtStatus> {
        self.request.over()
    }

    /// Is it over?
    pub fn is_over(&self) -> bool {
        self.request.is_over()
    }

    /// CancelIoEx: asks for its end.
    ///
    /// # Panics
    /// If the run ends.
    pub fn cancel(&self) {
        let kernel = &self.file.kernel;
        let cancel = || self.request.cancel(kernel).unwrap_or_else(|| cpu::abandon());
        cpu::attached(kernel, Some(&self.file.process), cancel);
    }
}

//! VFIO as a process uses it: a device handed over by `vfio-pci`, behind an IOMMU, with its MSI as an eventfd.
//!
//! Numbers and layouts are those of Linux's `include/uapi/linux/vfio.h`.
use crate::{
    edu::{self, Registers},
    module::Module,
};
use std::{
    ffi::{CString, c_void},
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// The kernel's modules, in the order in which they are loaded. Newer series have `vfio_virqfd` in `vfio-pci-core`.
const MODULES: [&str; 6] = ["vfio", "vfio_virqfd", "irqbypass", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"];

/// `_IO(VFIO_TYPE, VFIO_BASE + nr)`.
const fn number(nr: u64) -> u64 {
    (b';' as u64) << 8 | (100 + nr)
}

const GET_API_VERSION: u64 = number(0);
const CHECK_EXTENSION: u64 = number(1);
const SET_IOMMU: u64 = number(2);
const GROUP_GET_STATUS: u64 = number(3);
const GROUP_SET_CONTAINER: u64 = number(4);
const GROUP_GET_DEVICE_FD: u64 = number(6);
const DEVICE_GET_REGION_INFO: u64 = number(8);
const DEVICE_SET_IRQS: u64 = number(10);
const MAP_DMA: u64 = number(13);
const UNMAP_DMA: u64 = number(14);

const API_VERSION: i32 = 0;
const TYPE1V2_IOMMU: usize = 3;
const GROUP_VIABLE: u32 = 1 << 0;
const REGION_MMAP: u32 = 1 << 2;
const IRQ_DATA_EVENTFD: u32 = 1 << 2;
const IRQ_ACTION_TRIGGER: u32 = 1 << 5;
const DMA_MAP_READ: u32 = 1 << 0;
const DMA_MAP_WRITE: u32 = 1 << 1;
const PCI_BAR0: u32 = 0;
const PCI_CONFIG: u32 = 7;
const PCI_MSI: u32 = 1;

/// The command register in the configuration space, and its bit that lets the device write to memory, as an MSI does.
const COMMAND: u64 = 4;
const BUS_MASTER: u16 = 1 << 2;

/// `struct vfio_group_status`.
#[repr(C)]
#[derive(Default)]
struct GroupStatus {
    argsz: u32,
    flags: u32,
}

/// `struct vfio_region_info`.
#[repr(C)]
#[derive(Default)]
struct RegionInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
}

/// `struct vfio_irq_set` with one eventfd as its data.
#[repr(C)]
struct IrqSet {
    argsz: u32,
    flags: u32,
    index: u32,
    start: u32,
    count: u32,
    eventfd: RawFd,
}

/// `struct vfio_iommu_type1_dma_map`.
#[repr(C)]
struct DmaMap {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    iova: u64,
    size: u64,
}

/// `struct vfio_iommu_type1_dma_unmap`.
#[repr(C)]
struct DmaUnmap {
    argsz: u32,
    flags: u32,
    iova: u64,
    size: u64,
}

const _: () = assert!(size_of::<DmaMap>() == 32 && size_of::<DmaUnmap>() == 24);
const _: () = assert!(size_of::<GroupStatus>() == 8 && size_of::<RegionInfo>() == 32 && size_of::<IrqSet>() == 24);

/// The edu device, opened through VFIO, with its MSI enabled.
pub struct Device {
    /// Its BAR 0, mapped through VFIO.
    pub registers: Registers,
    event: File,
    _device: File,
    // The device is the process's as long as both are open.
    _group: File,
    container: File,
}

impl Device {
    /// Loads the modules, for good, takes the device from whatever driver has it, and opens it.
    pub fn open() -> Result<Self, String> {
        for name in MODULES {
            let path = format!("/kp/{name}.ko");
            if name != "vfio_virqfd" || Path::new(&path).exists() {
                // The mapping of the registers is for good, so the device stays opened, and the modules in use.
                std::mem::forget(Module::load(&path, "")?);
            }
        }
        let folder = edu::folder()?;
        hand_over(&folder)?;

        let container = open("/dev/vfio/vfio")?;
        let version = ioctl(&container, GET_API_VERSION, std::ptr::null_mut(), "VFIO's version")?;
        if version != API_VERSION {
            return Err(format!("VFIO has version {version}"));
        }
        let iommu = std::ptr::without_provenance_mut(TYPE1V2_IOMMU);
        if ioctl(&container, CHECK_EXTENSION, iommu, "the kind of IOMMU")? == 0 {
            return Err("VFIO has no type 1 IOMMU".into());
        }
        let group =
            fs::read_link(folder.join("iommu_group")).map_err(|error| format!("edu is in no group: {error}"))?;
        let group = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let group = open(&format!("/dev/vfio/{group}"))?;
        let mut status = GroupStatus { argsz: size_of::<GroupStatus>() as u32, ..GroupStatus::default() };
        ioctl(&group, GROUP_GET_STATUS, (&raw mut status).cast(), "the group's state")?;
        if status.flags & GROUP_VIABLE == 0 {
            return Err("other devices of edu's group have drivers".into());
        }
        let mut fd = container.as_raw_fd();
        ioctl(&group, GROUP_SET_CONTAINER, (&raw mut fd).cast(), "the group's container")?;
        ioctl(&container, SET_IOMMU, iommu, "the IOMMU")?;
        let address = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let address = CString::new(address).map_err(|_| "an address with a zero")?;
        let fd = ioctl(&group, GROUP_GET_DEVICE_FD, address.as_ptr().cast_mut().cast(), "the device")?;
        // SAFETY: a new descriptor, which nobody else has.
        let device = unsafe { File::from_raw_fd(fd) };

        let config = region(&device, PCI_CONFIG)?.offset + COMMAND;
        let mut command = [0; 2];
        let failed = |error| format!("edu's configuration space: {error}");
        device.read_exact_at(&mut command, config).map_err(failed)?;
        let command = u16::from_le_bytes(command) | BUS_MASTER;
        device.write_all_at(&command.to_le_bytes(), config).map_err(failed)?;

        let bar = region(&device, PCI_BAR0)?;
        if bar.flags & REGION_MMAP == 0 {
            return Err("VFIO does not let BAR 0 be mapped".into());
        }
        let registers = Registers::in_file(&device, bar.offset).map_err(|error| format!("BAR 0: {error}"))?;
        let event = enable_msi(&device)?;
        Ok(Self { registers, event, _device: device, _group: group, container })
    }

    /// Shows memory of this process, whole pages, to the device at address `at`.
    #[inline(always)]
    pub fn map_memory(&self, memory: u64, at: u64, len: u64) -> Result<(), String> {
        let mut map = DmaMap {
            argsz: size_of::<DmaMap>() as u32,
            flags: DMA_MAP_READ | DMA_MAP_WRITE,
            vaddr: memory,
            iova: at,
            size: len,
        };
        ioctl(&self.container, MAP_DMA, (&raw mut map).cast(), "a mapping").map(|_| ())
    }

    /// Takes it back.
    #[inline(always)]
    pub fn unmap_memory(&self, at: u64, len: u64) -> Result<(), String> {
        let mut unmap = DmaUnmap { argsz: size_of::<DmaUnmap>() as u32, flags: 0, iova: at, size: len };
        ioctl(&self.container, UNMAP_DMA, (&raw mut unmap).cast(), "the end of a mapping")?;
        if unmap.size == len { Ok(()) } else { Err(format!("VFIO has taken back {} bytes", unmap.size)) }
    }

    /// Blocks until an interrupt has come since the last time.
    #[inline(always)]
    pub fn wait(&mut self) -> Result<(), String> {
        io::Read::read_exact(&mut self.event, &mut [0; 8]).map_err(|error| format!("no interrupt: {error}"))
    }
}

/// Gives a PCI device to vfio-pci, and only this one of its kind.
fn hand_over(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("vfio-pci does not take {}: {error}", folder.display());
    let address = folder.file_name().unwrap_or_default().as_encoded_bytes();
    if folder.join("driver").exists() {
        fs::write(folder.join("driver/unbind"), address).map_err(failed)?;
    }
    fs::write(folder.join("driver_override"), "vfio-pci").map_err(failed)?;
    fs::write("/sys/bus/pci/drivers_probe", address).map_err(failed)
}

fn open(path: &str) -> Result<File, String> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| format!("{path}: {error}"))
}

fn region(device: &File, index: u32) -> Result<RegionInfo, String> {
    let mut info = RegionInfo { argsz: size_of::<RegionInfo>() as u32, index, ..RegionInfo::default() };
    ioctl(device, DEVICE_GET_REGION_INFO, (&raw mut info).cast(), "a region")?;
    Ok(info)
}

/// Has the device's only MSI count an eventfd up.
fn enable_msi(device: &File) -> Result<File, String> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(format!("no eventfd: {}", io::Error::last_os_error()));
    }
    // SAFETY: a new descriptor, which nobody else has.
    let event = unsafe { File::from_raw_fd(fd) };
    let mut set = IrqSet {
        argsz: size_of::<IrqSet>() as u32,
        flags: IRQ_DATA_EVENTFD | IRQ_ACTION_TRIGGER,
        index: PCI_MSI,
        start: 0,
        count: 1,
        eventfd: fd,
    };
    ioctl(device, DEVICE_SET_IRQS, (&raw mut set).cast(), "the MSI")?;
    Ok(event)
}

/// The argument is what `number` wants: a value, or the address of a struct as long as its `argsz` says.
fn ioctl(file: &File, number: u64, argument: *mut c_void, what: &str) -> Result<i32, String> {
    // SAFETY: an open file; the callers pass arguments as above, which live.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), number as libc::Ioctl, argument) };
    if answer < 0 { Err(format!("VFIO refuses {what}: {}", io::Error::last_os_error())) } else { Ok(answer) }
}

//! What this machine does with a device's transfers, as its kernel says.
use kp_user::Buffer;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

/// Was the kernel told this?
pub fn was_told(argument: &str) -> bool {
    let line = fs::read_to_string("/proc/cmdline").expect("the command line can be read");
    line.split_whitespace().any(|one| one == argument)
}

/// Is there an IOMMU?
pub fn has_iommu() -> bool {
    fs::read_dir("/sys/class/iommu").is_ok_and(|mut entries| entries.next().is_some())
}

/// The highest address that a page of this buffer has in the machine.
pub fn highest(buffer: &Buffer) -> u64 {
    let map = File::open("/proc/self/pagemap").expect("a process can read where its pages are");
    let first = buffer.word(0).as_ptr().addr() as u64 / 4096;
    let address = |page: u64| {
        let mut entry = [0; 8];
        map.read_exact_at(&mut entry, (first + page) * 8).expect("an entry for each page");
        // Bits 0 to 54: which page of the machine's memory, told to root alone.
        (u64::from_ne_bytes(entry) & ((1 << 55) - 1)) * 4096
    };
    let highest = (0..buffer.len() as u64 / 4096).map(address).max();
    highest.filter(|address| *address != 0).expect("root is told where pages are")
}

/// A line of the file that counts the kernel's events.
pub fn vmstat(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/vmstat").expect("events are counted");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{name} is not counted"))
}

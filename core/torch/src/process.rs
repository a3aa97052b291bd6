//! Memory of the process, as the kernel counts it.

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Resident at most, since the start or [`reset_peak`].
    pub resident_peak: u64,
}

/// Memory of the process now; zeros where the kernel does not tell.
pub fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&status)
}

/// Starts the peak of [`memory`] anew; false where the kernel does not allow it.
pub fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Gives freed memory back to the system, so that [`memory`] counts what is in use.
pub fn trim() {
    // SAFETY: takes a number; glibc only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Ends the process at once: nothing is run on the way out, neither destructors of libtorch and of plugins,
/// which may still be at work on other threads, nor those of this program.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: takes a number and does not come back.
    unsafe { libc::_exit(code.into()) }
}

fn parse(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    Memory { resident: field("VmRSS:").unwrap_or(0), resident_peak: field("VmHWM:").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_text() {
        let text = "Name:\tzoo\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(text), Memory { resident: 1 << 20, resident_peak: 2 << 20 });
        assert_eq!(parse(""), Memory::default());
    }

    #[test]
    fn counts_a_large_block() {
        reset_peak();
        let before = memory();
        let block = std::hint::black_box(vec![1u8; std::hint::black_box(64 << 20)]);
        let with = memory();
        assert!(with.resident >= before.resident + (60 << 20), "{before:?} {with:?} {}", block.len());
        assert!(with.resident_peak >= with.resident - (1 << 20));
    }
}

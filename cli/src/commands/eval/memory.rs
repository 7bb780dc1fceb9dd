//! Measures the peak memory of this process.

/// The peak resident memory in bytes, if the system reports it.
pub(super) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_at_least_what_is_held() {
        let held = vec![1u8; 64 << 20];
        assert!(super::peak().unwrap() >= held.iter().map(|&byte| u64::from(byte)).sum());
    }
}

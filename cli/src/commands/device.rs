//! Devices, as named on the command line.

use aent::tensor::{Device, Host};

/// `cpu`, `cuda` or `cuda:N`, as requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("expected `cpu`, `cuda` or `cuda:N`, found `{text}`");
        match text {
            "cpu" => Ok(Wanted::Cpu),
            "cuda" => Ok(Wanted::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Wanted::Cuda).ok_or_else(refuse),
        }
    }
}

/// The device, if this machine has it.
pub(crate) fn find(wanted: Wanted, host: &dyn Host) -> Result<Device, String> {
    let Wanted::Cuda(index) = wanted else { return Ok(Device::Cpu) };
    let refuse = |reason: String| format!("`cuda:{index}` cannot be used: {reason}");
    let count = host.cuda_devices().map_err(|error| refuse(error.to_string()))?;
    if index >= count {
        return Err(refuse(format!("this machine has {count} GPUs, counted from 0")));
    }
    Ok(Device::Cuda(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_torch_names_them() {
        assert_eq!("cpu".parse(), Ok(Wanted::Cpu));
        assert_eq!("cuda".parse(), Ok(Wanted::Cuda(0)));
        assert_eq!("cuda:1".parse(), Ok(Wanted::Cuda(1)));
        assert!("cuda:x".parse::<Wanted>().is_err());
        assert!("tpu".parse::<Wanted>().is_err());
    }
}

//! CUDA is there after `load_cuda`, and not before on a machine without a driver; alone, since loading is for good.

#![expect(clippy::unwrap_used, reason = "what is unwrapped here is under test")]

use std::fs;
use std::path::Path;

use aent::host::{Libtorch, load_cuda};
use aent::kernels::fallback_reason;
use aent::tensor::Device;

fn is_mapped() -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().contains("/libtorch_cuda.so")
}

#[test]
fn the_cuda_library_is_loaded_when_asked_for() {
    let folder = fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .find_map(|line| {
            line.find('/').map(|at| &line[at..]).filter(|path| path.ends_with("/libtorch_cpu.so"))
        })
        .map(|path| Path::new(path).parent().unwrap().to_owned())
        .expect("this test links libtorch");
    let has_driver = Path::new("/dev/nvidiactl").exists() || Path::new("/dev/nvidia0").exists();
    let is_installed = folder.join("libtorch_cuda.so").exists();
    if !has_driver && !Path::new("/dev/dxg").exists() && !Path::new("/proc/driver/nvidia").exists() {
        assert!(!is_mapped(), "nobody asked for CUDA and no driver is here");
    }
    assert_eq!(load_cuda().unwrap(), is_installed);
    assert_eq!(is_mapped(), is_installed);
    assert_eq!(load_cuda().unwrap(), is_installed, "asking again changes nothing");
    assert_eq!(fallback_reason(&Libtorch, Device::Cpu), None);
    if !tch::Cuda::is_available() {
        let reason = fallback_reason(&Libtorch, Device::Cuda(0)).expect("there is no such device");
        assert!(reason.contains("driver"), "{reason}");
    }
}

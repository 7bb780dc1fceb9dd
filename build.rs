//! Hands libtorch's folder to this package's own tests and programs and to every crate that depends on it.

fn main() {
    let libtorch = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("`torch-sys` names libtorch's folder");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}");
    println!("cargo::metadata=LIBTORCH_LIB={libtorch}");
    println!("cargo::rerun-if-changed=build.rs");
}

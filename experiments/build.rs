//! Lets this package's programs find libtorch at run time.

fn main() {
    let libtorch =
        std::env::var("DEP_AENT_LIBTORCH_LIB").expect("the library `aent` names libtorch's folder");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}");
    println!("cargo::rerun-if-changed=build.rs");
}

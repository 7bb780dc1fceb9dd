//! For the host `tch`: compiles its autograd node, and hands libtorch's folder to this package's own tests and programs and to
//! every crate that depends on it. Without that host there is nothing to do.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "tch")]
    libtorch::build();
}

#[cfg(feature = "tch")]
mod libtorch {
    use std::path::{Path, PathBuf};

    pub(super) fn build() {
        let libtorch = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("`torch-sys` names libtorch's folder");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}");
        println!("cargo::metadata=LIBTORCH_LIB={libtorch}");
        offer_to_cargo(Path::new(&libtorch));
        compile(Path::new(&libtorch));
    }

    /// Makes `cargo run` and `cargo test` find libtorch in every crate that depends on this one.
    ///
    /// A doc test and a program of another package never see the rpath above. Cargo puts those link folders on the
    /// library path of what it starts that lie inside the build folder, and a link to libtorch's folder does.
    fn offer_to_cargo(libtorch: &Path) {
        let link = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names the output folder"))
            .join("libtorch");
        let _ = std::fs::remove_file(&link);
        #[cfg(unix)]
        std::os::unix::fs::symlink(libtorch, &link).expect("the build folder is writable");
        println!("cargo::rustc-link-search=native={}", link.display());
    }

    /// What libtorch must be asked in C++.
    const SOURCES: [&str; 2] = ["src/host/autograd_node.cpp", "src/host/torch_state.cpp"];

    fn compile(libtorch: &Path) {
        let headers = libtorch.parent().expect("libtorch's libraries are in its `lib`").join("include");
        let mut node = cc::Build::new();
        node.cpp(true).std("c++17").files(SOURCES);
        node.define("_GLIBCXX_USE_CXX11_ABI", "1");
        for folder in [headers.join("torch/csrc/api/include"), headers] {
            // As system headers, whose warnings are not ours.
            node.flag("-isystem").flag(folder);
        }
        node.compile("aent_autograd_node");
        for source in SOURCES {
            println!("cargo::rerun-if-changed={source}");
        }
    }
}

//! Compiling ends, with a program or with diagnostics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(failure) = aent::compile(text) {
        assert!(failure.diagnostics.has_errors(), "{failure}");
    }
});

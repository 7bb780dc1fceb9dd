//! Compiles every sort of kernel for every generation of devices, on a machine without any of them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::PASS;
use crate::host::Libtorch;
use crate::kernels::cuda::compile;
use crate::kernels::cuda::source::{Kernel, Source};
use crate::passes::{Pass, Plan};
use crate::rows::TokenSet;
use crate::tensor::DType;

const TARGETS: [&str; 3] = ["sm_80", "sm_90", "sm_100"];

/// Plans with each set, kind, comparison and number of passes.
fn family() -> Vec<(DType, Plan)> {
    let plan = |passes: &[&Pass], second| Plan {
        passes: passes.iter().copied().cloned().collect(),
        statistics: Vec::new(),
        second,
        vocabulary: 151_936,
        references: passes.iter().filter_map(|pass| pass.compares).max().map_or(0, |last| last + 1),
        lists: Vec::new(),
    };
    let of = |set| Pass { set: Some(set), ..PASS };
    let top_k = of(TokenSet::TopK(100_000));
    let warm = Pass { temperature: 0.7, ..PASS };
    let compared = Pass { compares: Some(0), beta: Some(0.5), ..PASS };
    vec![
        (DType::BF16, plan(&[&PASS], false)),
        (DType::BF16, plan(&[&warm], true)),
        (DType::BF16, plan(&[&top_k], false)),
        (DType::F16, plan(&[&top_k], false)),
        (DType::F32, plan(&[&top_k], false)),
        (DType::F64, plan(&[&top_k], false)),
        (DType::BF16, plan(&[&of(TokenSet::TopP(0.9))], false)),
        (DType::BF16, plan(&[&of(TokenSet::MinP(0.1))], false)),
        (DType::BF16, plan(&[&compared], false)),
        (DType::BF16, plan(&[&Pass { divided: true, ..PASS }], false)),
        (DType::F32, plan(&[&Pass { divided: true, ..of(TokenSet::TopP(0.9)) }, &compared], true)),
        (DType::F32, plan(&[&compared, &top_k], true)),
        (DType::BF16, plan(&[&compared, &Pass { compares: Some(1), ..warm.clone() }], false)),
        (DType::BF16, Plan { lists: vec![20], ..plan(&[&PASS], false) }),
        (DType::F32, Plan { lists: vec![1024, 64], ..plan(&[&warm, &compared], false) }),
    ]
}

#[test]
fn every_sort_of_kernel_compiles_for_every_generation() {
    if !has_cuda() {
        return;
    }
    assert_eq!(
        compile::missing(&Libtorch),
        None,
        "this libtorch has CUDA, so its compiler should be near it"
    );
    let sources: Vec<Source> = family()
        .iter()
        .flat_map(|(dtype, plan)| {
            [Kernel::Read, Kernel::Gradient].map(|kernel| Source::new(kernel, plan, *dtype))
        })
        .collect();
    let jobs: Vec<(&Source, &str)> =
        sources.iter().flat_map(|source| TARGETS.map(|target| (source, target))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((source, target)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (image, log) = compile::compile(&Libtorch, &source.text(), target).unwrap();
                    assert!(image.starts_with(b"\x7fELF"), "{source:?} for {target} is no module");
                    let most = 65_536 / (source.threads * source.blocks());
                    let found = registers(&log).unwrap_or_else(|| panic!("no registers in the log:\n{log}"));
                    assert!(
                        found <= most,
                        "{source:?} for {target} takes {found} registers of {most}:\n{log}"
                    );
                    // Two blocks keep everything in registers, lean kernels and searches what they use often; f64 and
                    // comparisons need more than there are.
                    let most = if source.blocks() > 1 && !source.searches() {
                        0
                    } else if source.is_lean() {
                        64
                    } else {
                        1024
                    };
                    let spilled = spilled(&log);
                    assert!(spilled <= most, "{source:?} for {target} spills {spilled} bytes:\n{log}");
                }
            });
        }
    });
}

#[test]
fn a_newer_device_gets_a_text_that_its_driver_compiles() {
    if !has_cuda() {
        return;
    }
    let (dtype, plan) = &family()[0];
    let (text, _) =
        compile::compile(&Libtorch, &Source::new(Kernel::Gradient, plan, *dtype).text(), "compute_90")
            .unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(".target sm_90") && text.contains(".entry aent_gradient") && text.ends_with('\0'));
}

#[test]
fn what_does_not_compile_is_explained() {
    if !has_cuda() {
        return;
    }
    assert_eq!(compile::missing(&Libtorch), None);
    let error = compile::compile(&Libtorch, "__global__ void kernel() { nonsense }", "sm_90").unwrap_err();
    assert!(error.to_string().contains("identifier \"nonsense\" is undefined"), "{error}");
}

/// Whether the linked libtorch supports CUDA.
fn has_cuda() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let torch = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let torch = torch.into_iter().find(|path| path.ends_with("libtorch_cpu.so"));
    torch.is_some_and(|path| path.with_file_name("libtorch_cuda.so").exists())
}

/// The most registers that a thread takes.
fn registers(log: &str) -> Option<u32> {
    let lines = log.lines().filter_map(|line| line.split_once(" registers"));
    lines.filter_map(|(before, _)| before.rsplit(' ').next()?.parse().ok()).max()
}

/// The most bytes that a function spills for lack of registers.
fn spilled(log: &str) -> u64 {
    let lines = log.lines().filter_map(|line| line.split_once(" bytes spill stores"));
    lines.filter_map(|(before, _)| before.rsplit(' ').next()?.parse().ok()).max().unwrap_or(0)
}

//! Every diagnostic id with its explanation.

/// A diagnostic id and what there is to say about it.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The id in kebab case.
    pub id: &'static str,
    /// Whether it is a lint, which a file can silence.
    pub is_lint: bool,
    /// What it means, why it is so and what to do, in Markdown.
    pub explanation: &'static str,
}

/// The code of that id.
pub fn find(id: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.id == id)
}

/// All ids, sorted.
pub const CODES: &[Code] = &[
    Code { id: "entropy-sign", is_lint: true, explanation: "" },
    Code { id: "gradient-misses-policy", is_lint: true, explanation: "" },
    Code { id: "reduced-scalar", is_lint: true, explanation: "" },
    Code { id: "sum-grows-with-batch", is_lint: true, explanation: "" },
    Code { id: "target-out-of-reach", is_lint: true, explanation: "" },
    Code { id: "undetached-weight", is_lint: true, explanation: "" },
    Code { id: "unit-mismatch", is_lint: true, explanation: "" },
    Code { id: "unused-controller", is_lint: true, explanation: "" },
    Code { id: "unused-fn", is_lint: true, explanation: "" },
    Code { id: "unused-input", is_lint: true, explanation: "" },
    Code { id: "unused-let", is_lint: true, explanation: "" },
    Code { id: "unused-param", is_lint: true, explanation: "" },
];

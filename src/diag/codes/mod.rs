//! Every diagnostic id with its explanation, one Markdown file each.

/// A diagnostic id with its explanation.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The id in kebab case.
    pub id: &'static str,
    /// Whether it is a lint, which a file can silence.
    pub is_lint: bool,
    /// The meaning, the reason and the remedy, in Markdown. The first code block is a file that gives this diagnostic
    /// and no other, the second one the corrected file.
    pub explanation: &'static str,
}

impl Code {
    /// A file that gives this diagnostic and no other; `None` if that takes more than one small file.
    pub fn example(&self) -> Option<&'static str> {
        self.blocks().next()
    }

    /// The corrected file.
    pub fn remedy(&self) -> Option<&'static str> {
        self.blocks().nth(1)
    }

    fn blocks(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.explanation.split("```aent\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0))
    }
}

/// The code with that id.
pub fn find(id: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.id == id)
}

/// All ids, sorted.
pub const CODES: &[Code] = &[
    Code {
        id: "addend-without-gradient",
        is_lint: true,
        explanation: include_str!("addend-without-gradient.md"),
    },
    Code { id: "ambiguous-name", is_lint: false, explanation: include_str!("ambiguous-name.md") },
    Code { id: "argument-needs-name", is_lint: false, explanation: include_str!("argument-needs-name.md") },
    Code {
        id: "argument-not-constant",
        is_lint: false,
        explanation: include_str!("argument-not-constant.md"),
    },
    Code { id: "argument-type", is_lint: false, explanation: include_str!("argument-type.md") },
    Code { id: "argument-unit", is_lint: false, explanation: include_str!("argument-unit.md") },
    Code { id: "argument-value", is_lint: false, explanation: include_str!("argument-value.md") },
    Code { id: "chained-comparison", is_lint: false, explanation: include_str!("chained-comparison.md") },
    Code { id: "clamped-constant", is_lint: true, explanation: include_str!("clamped-constant.md") },
    Code { id: "constant-comparison", is_lint: true, explanation: include_str!("constant-comparison.md") },
    Code {
        id: "controller-in-expression",
        is_lint: false,
        explanation: include_str!("controller-in-expression.md"),
    },
    Code { id: "division-by-zero", is_lint: false, explanation: include_str!("division-by-zero.md") },
    Code { id: "duplicate-argument", is_lint: false, explanation: include_str!("duplicate-argument.md") },
    Code { id: "duplicate-loss", is_lint: false, explanation: include_str!("duplicate-loss.md") },
    Code { id: "duplicate-name", is_lint: false, explanation: include_str!("duplicate-name.md") },
    Code { id: "empty-range", is_lint: false, explanation: include_str!("empty-range.md") },
    Code { id: "entropy-sign", is_lint: true, explanation: include_str!("entropy-sign.md") },
    Code { id: "expression-too-large", is_lint: false, explanation: include_str!("expression-too-large.md") },
    Code { id: "file-too-large", is_lint: false, explanation: include_str!("file-too-large.md") },
    Code {
        id: "gradient-misses-policy",
        is_lint: true,
        explanation: include_str!("gradient-misses-policy.md"),
    },
    Code { id: "ignored-setting", is_lint: true, explanation: include_str!("ignored-setting.md") },
    Code { id: "import-cycle", is_lint: false, explanation: include_str!("import-cycle.md") },
    Code {
        id: "import-outside-project",
        is_lint: false,
        explanation: include_str!("import-outside-project.md"),
    },
    Code { id: "invalid-name", is_lint: false, explanation: include_str!("invalid-name.md") },
    Code { id: "invalid-number", is_lint: false, explanation: include_str!("invalid-number.md") },
    Code { id: "invalid-string", is_lint: false, explanation: include_str!("invalid-string.md") },
    Code { id: "invalid-temperature", is_lint: false, explanation: include_str!("invalid-temperature.md") },
    Code { id: "kind-mismatch", is_lint: false, explanation: include_str!("kind-mismatch.md") },
    Code { id: "loss-sign", is_lint: true, explanation: include_str!("loss-sign.md") },
    Code { id: "missing-argument", is_lint: false, explanation: include_str!("missing-argument.md") },
    Code { id: "missing-expression", is_lint: false, explanation: include_str!("missing-expression.md") },
    Code { id: "missing-loss", is_lint: false, explanation: include_str!("missing-loss.md") },
    Code { id: "needs-whole-step", is_lint: false, explanation: include_str!("needs-whole-step.md") },
    Code { id: "nesting-too-deep", is_lint: false, explanation: include_str!("nesting-too-deep.md") },
    Code { id: "no-gradient", is_lint: false, explanation: include_str!("no-gradient.md") },
    Code { id: "not-a-controller", is_lint: false, explanation: include_str!("not-a-controller.md") },
    Code { id: "not-a-function", is_lint: false, explanation: include_str!("not-a-function.md") },
    Code { id: "not-a-value", is_lint: false, explanation: include_str!("not-a-value.md") },
    Code { id: "not-utf8", is_lint: false, explanation: include_str!("not-utf8.md") },
    Code { id: "outside-domain", is_lint: false, explanation: include_str!("outside-domain.md") },
    Code { id: "param-out-of-range", is_lint: false, explanation: include_str!("param-out-of-range.md") },
    Code {
        id: "positional-after-named",
        is_lint: false,
        explanation: include_str!("positional-after-named.md"),
    },
    Code { id: "positional-tensor", is_lint: true, explanation: include_str!("positional-tensor.md") },
    Code { id: "positive-feedback", is_lint: true, explanation: include_str!("positive-feedback.md") },
    Code { id: "program-too-large", is_lint: false, explanation: include_str!("program-too-large.md") },
    Code { id: "recursive-fn", is_lint: false, explanation: include_str!("recursive-fn.md") },
    Code { id: "reduced-scalar", is_lint: true, explanation: include_str!("reduced-scalar.md") },
    Code { id: "reserved-word", is_lint: false, explanation: include_str!("reserved-word.md") },
    Code { id: "shape-mismatch", is_lint: false, explanation: include_str!("shape-mismatch.md") },
    Code { id: "sum-grows-with-batch", is_lint: true, explanation: include_str!("sum-grows-with-batch.md") },
    Code { id: "syntax-error", is_lint: false, explanation: include_str!("syntax-error.md") },
    Code { id: "target-out-of-reach", is_lint: true, explanation: include_str!("target-out-of-reach.md") },
    Code { id: "too-many-arguments", is_lint: false, explanation: include_str!("too-many-arguments.md") },
    Code { id: "too-many-errors", is_lint: false, explanation: include_str!("too-many-errors.md") },
    Code { id: "unclosed-paren", is_lint: false, explanation: include_str!("unclosed-paren.md") },
    Code { id: "undetached-weight", is_lint: true, explanation: include_str!("undetached-weight.md") },
    Code { id: "unexpected-character", is_lint: false, explanation: include_str!("unexpected-character.md") },
    Code { id: "unexpected-range", is_lint: false, explanation: include_str!("unexpected-range.md") },
    Code { id: "unit-mismatch", is_lint: true, explanation: include_str!("unit-mismatch.md") },
    Code { id: "unknown-argument", is_lint: false, explanation: include_str!("unknown-argument.md") },
    Code { id: "unknown-directive", is_lint: true, explanation: include_str!("unknown-directive.md") },
    Code { id: "unknown-edition", is_lint: false, explanation: include_str!("unknown-edition.md") },
    Code { id: "unknown-extra", is_lint: false, explanation: include_str!("unknown-extra.md") },
    Code { id: "unknown-import", is_lint: false, explanation: include_str!("unknown-import.md") },
    Code { id: "unknown-name", is_lint: false, explanation: include_str!("unknown-name.md") },
    Code { id: "unknown-operator", is_lint: false, explanation: include_str!("unknown-operator.md") },
    Code { id: "unknown-param", is_lint: false, explanation: include_str!("unknown-param.md") },
    Code { id: "unknown-setting", is_lint: false, explanation: include_str!("unknown-setting.md") },
    Code { id: "unknown-statement", is_lint: false, explanation: include_str!("unknown-statement.md") },
    Code { id: "unmatched-paren", is_lint: false, explanation: include_str!("unmatched-paren.md") },
    Code { id: "unreadable-file", is_lint: false, explanation: include_str!("unreadable-file.md") },
    Code { id: "unterminated-string", is_lint: false, explanation: include_str!("unterminated-string.md") },
    Code { id: "unused-controller", is_lint: true, explanation: include_str!("unused-controller.md") },
    Code { id: "unused-fn", is_lint: true, explanation: include_str!("unused-fn.md") },
    Code { id: "unused-import", is_lint: true, explanation: include_str!("unused-import.md") },
    Code { id: "unused-input", is_lint: true, explanation: include_str!("unused-input.md") },
    Code { id: "unused-let", is_lint: true, explanation: include_str!("unused-let.md") },
    Code { id: "unused-param", is_lint: true, explanation: include_str!("unused-param.md") },
    Code {
        id: "used-before-definition",
        is_lint: false,
        explanation: include_str!("used-before-definition.md"),
    },
    Code { id: "zero-divisor", is_lint: true, explanation: include_str!("zero-divisor.md") },
];

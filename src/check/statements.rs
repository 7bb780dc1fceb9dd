//! Checks statements in the order of the text, with imported files in place of their imports.

use super::given::field_to_give;
use super::scope::{BROKEN, Binding, Function, Meaning};
use super::{Checker, Outcome, Value};
use crate::diag::Diagnostic;
use crate::fields;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Expr, Name, Statement, StatementKind};
use crate::types::{Kind, Shape};
use std::collections::HashSet;

impl<'a> Checker<'a> {
    /// Checks all statements, the root file first.
    pub(super) fn run(&mut self) {
        let root = SourceId(0);
        self.editions();
        let mut order = Vec::new();
        self.order(root, &mut HashSet::new(), &mut order);
        // Check constants first: the temperature is part of every row statistic, even those above its `set`.
        for &(source, statement) in &order {
            self.constant_statement(source, statement);
            if let StatementKind::Import { alias: Some(alias), .. } = &statement.kind {
                self.import_statement(statement.span, alias);
            }
        }
        self.unknown_overrides();
        for &(source, statement) in &order {
            if source == root
                && let StatementKind::Set { name, value } = &statement.kind
            {
                self.setting(name, value);
            }
        }
        self.ignored_settings();
        for &(_, statement) in &order {
            if let Some((name, _)) = defined_name(statement) {
                self.scope.expect(name);
            }
        }
        self.poison_broken();
        for &(source, statement) in &order {
            self.statement(source, statement);
            if self.builder.nodes.len() > super::MAX_NODES {
                let limit = super::MAX_NODES;
                self.report(Diagnostic::error(
                    "program-too-large",
                    statement.span,
                    format!("expected a program of at most {limit} values"),
                ));
                return;
            }
        }
        self.settle_temperature();
        if self.losses.is_empty() {
            let end = self.bundle.sources.get(root).text().trim_end().len();
            let diagnostic = Diagnostic::error(
                "missing-loss",
                Span::new(root, end, end),
                "expected a `loss`, found none",
            )
            .help(
                "write `loss = ...`; a file that only others import is checked with the file that imports it",
            );
            // A file that could not be read, or whose `loss` could not be parsed, has worse problems.
            let broken = &self.bundle.file(root).broken;
            let unread = self.bundle.file(root).statements.is_empty() && !self.bundle.diagnostics.is_empty();
            if !unread
                && broken.iter().all(|broken| matches!(broken.keyword, Some(keyword) if keyword != "loss"))
            {
                self.report(diagnostic);
            }
        }
    }

    /// The statements of a file, with those of its imports in place of each import, each file once.
    fn order(
        &self,
        source: SourceId,
        seen: &mut HashSet<SourceId>,
        order: &mut Vec<(SourceId, &'a Statement)>,
    ) {
        if !seen.insert(source) {
            return;
        }
        for statement in &self.bundle.file(source).statements {
            if let StatementKind::Import { .. } = statement.kind
                && let Some(&target) = self.bundle.imports.get(&statement.span)
            {
                self.order(target, seen, order);
            }
            order.push((source, statement));
        }
    }

    /// Marks the names of statements with syntax errors, so that their uses are not reported.
    fn poison_broken(&mut self) {
        for file in &self.bundle.files {
            for name in file.broken.iter().filter_map(|broken| broken.name.as_ref()) {
                self.poison(name, BROKEN);
            }
        }
    }

    /// Marks a name whose uses are not reported.
    fn poison(&mut self, name: &'a Name, keyword: &'static str) {
        let (meaning, span, files) = (Meaning::Poisoned, name.span, vec![name.span.source]);
        if self.scope.clash(&name.node, name.span.source).is_none() {
            self.scope.insert(&name.node, Binding { meaning, keyword, span, files, used: true });
        }
    }

    fn constant_statement(&mut self, source: SourceId, statement: &'a Statement) {
        if let StatementKind::Param { name, value, range } = &statement.kind {
            self.param(source, statement.span, name, value, range.as_ref());
        }
    }

    /// The edition of each file, on its first line.
    fn editions(&mut self) {
        for file in &self.bundle.files {
            for (index, statement) in file.statements.iter().enumerate() {
                let StatementKind::Edition { number } = &statement.kind else { continue };
                if index > 0 {
                    let message = "expected `edition` as the first statement of its file";
                    self.report(
                        Diagnostic::error("unknown-edition", statement.span, message).help("move it up"),
                    );
                } else if number.node.text != "1" {
                    let message = format!("expected `edition 1`, found `edition {}`", number.node.text);
                    self.report(
                        Diagnostic::error("unknown-edition", number.span, message)
                            .help("this release knows edition 1; a newer one may know more"),
                    );
                }
            }
        }
    }

    fn statement(&mut self, source: SourceId, statement: &'a Statement) {
        let root = source == SourceId(0);
        match &statement.kind {
            StatementKind::Input { name, ty, gradient } => self.input(name, *ty, *gradient),
            StatementKind::Fn { name, params, block, body } => {
                let steps = block.as_ref().map_or(&[][..], |block| &block.steps);
                let names = params.iter().map(|of| &of.name).chain(steps.iter().map(|of| &of.name));
                let names: Vec<&Name> = names.collect();
                for (index, name) in names.iter().enumerate() {
                    if let Some(first) = names[..index].iter().find(|of| of.node == name.node) {
                        let diagnostic = duplicate(name, first.span);
                        self.report(diagnostic);
                    }
                }
                let index = self.scope.functions.len();
                self.scope.functions.push(Function { name: &name.node, params, steps, body });
                self.define(name, "fn", Meaning::Function(index));
            }
            StatementKind::Let { name, value } => {
                let meaning = match self.valued(value) {
                    Ok(valued) => {
                        if let (true, Some(field)) = (root, field_to_give(&name.node)) {
                            self.give_field(field, name, valued, value.span);
                            return;
                        }
                        if let Value::Node(id) = valued.value {
                            self.lets.push((self.scope.public(name), id));
                        }
                        Meaning::Value(valued)
                    }
                    Err(_) if root && field_to_give(&name.node).is_some() => {
                        self.poison(name, "let");
                        return;
                    }
                    Err(_) => Meaning::Poisoned,
                };
                self.define(name, "let", meaning);
            }
            StatementKind::Controller { name, call, span } => {
                let meaning = match self.controller(name, call, *span) {
                    Ok(id) => Meaning::Value(Value::Node(id).into()),
                    Err(_) => Meaning::Poisoned,
                };
                self.define(name, "controller", meaning);
            }
            StatementKind::Loss { name, value } if root => {
                self.loss_statement(statement.span, name.as_ref(), value);
            }
            StatementKind::Assert { condition, message } if root => self.assertion(condition, message),
            StatementKind::Metric { name, value } if root => self.metric(name, value),
            // Constants are checked already; what an imported file computes for itself is not used.
            StatementKind::Edition { .. }
            | StatementKind::Param { .. }
            | StatementKind::Assert { .. }
            | StatementKind::Set { .. }
            | StatementKind::Import { .. }
            | StatementKind::Loss { .. }
            | StatementKind::Metric { .. } => {}
        }
    }

    fn metric(&mut self, name: &'a Name, value: &'a Expr) {
        if let Some((_, _, first)) = self.metrics.iter().find(|(of, ..)| *of == name.node) {
            let diagnostic = duplicate(name, *first);
            self.report(diagnostic);
            return;
        }
        if let Ok(id) = self.scalar(value, "a metric") {
            self.learn_node(name.span, id);
            self.metrics.push((name.node.clone(), id, name.span));
        }
    }

    /// Checks an expression that must be a real scalar; `what` names its purpose in messages.
    pub(super) fn scalar(&mut self, value: &'a Expr, what: &str) -> Outcome<crate::program::NodeId> {
        let id = self.real(value)?;
        let ty = self.builder.node(id).ty;
        if ty.shape == Shape::Scalar {
            return Ok(id);
        }
        let reduction = if ty.shape == Shape::Token { "token_mean" } else { "batch_mean" };
        Err(self.report(
            Diagnostic::error(
                "shape-mismatch",
                value.span,
                format!("expected a `scalar` for {what}, found `{ty}`"),
            )
            .help(format!("reduce it first, as in `{reduction}(...)`")),
        ))
    }

    pub(super) fn define(&mut self, name: &'a Name, keyword: &'static str, meaning: Meaning) {
        self.scope.arrived(name);
        if let Meaning::Value(valued) = &meaning {
            self.learn(name.span, valued);
        }
        // A statement with a syntax error has been reported already.
        let defined = self.scope.clash(&name.node, name.span.source).filter(|first| first.keyword != BROKEN);
        if let Some(first) = defined {
            let diagnostic = duplicate(name, first.span);
            self.report(diagnostic);
            return;
        }
        if keyword != "input" && fields::find(&name.node).is_some() {
            self.report(
                Diagnostic::error("duplicate-name", name.span, format!("`{}` is a batch field", name.node))
                    .help("nothing shadows anything: take another name"),
            );
            return;
        }
        if keyword == "fn" {
            if super::functions::is_builtin(&name.node) {
                let message = format!("`{}` is a function of the language", name.node);
                self.report(
                    Diagnostic::error("duplicate-name", name.span, message).help("take another name"),
                );
                return;
            }
            if let crate::plugin::Lookup::Found(entry) = crate::plugin::registry().find(&name.node) {
                let (kind, owner) = (entry.kind(), entry.declaration().owner);
                let message = format!("`{}` is a {kind} of `{owner}`", name.node);
                self.report(
                    Diagnostic::error("duplicate-name", name.span, message).help("take another name"),
                );
                return;
            }
        }
        let (span, files) = (name.span, vec![name.span.source]);
        self.scope.insert(&name.node, Binding { meaning, keyword, span, files, used: false });
    }

    /// Warns of unused names in the root file.
    pub(super) fn warn_of_unused(&mut self) {
        // After errors, some uses may have been missed.
        if self.diagnostics.has_errors() || self.bundle.diagnostics.has_errors() {
            return;
        }
        let unused: Vec<_> = self
            .scope
            .iter()
            .filter(|(name, binding)| {
                !binding.used && binding.span.source == SourceId(0) && !name.starts_with('_')
            })
            .map(|(name, binding)| (name.to_owned(), binding.keyword, binding.span))
            .collect();
        for (name, keyword, span) in unused {
            let (id, help) = match keyword {
                "let" if name == "temperature" => {
                    ("unused-let", "the temperature is set with `set temperature = ...`")
                }
                "param" if name == "temperature" => {
                    ("unused-param", "the temperature is set with `set temperature = temperature`")
                }
                "let" => ("unused-let", "report it as a `metric`, use it, or remove it"),
                "import" => ("unused-import", "use a name of it, or remove it"),
                "controller" => ("unused-controller", "multiply a term of the loss by it, or remove it"),
                "param" => ("unused-param", "use it or remove it"),
                "input" => ("unused-input", "a batch has to bring it though nothing reads it: remove it"),
                _ => ("unused-fn", "call it or remove it"),
            };
            self.warn(
                Diagnostic::warning(id, span, format!("nothing reads the {keyword} `{name}`")).help(help),
            );
        }
    }
}

pub(super) fn defined_name(statement: &Statement) -> Option<(&Name, &'static str)> {
    match &statement.kind {
        StatementKind::Input { name, .. } => Some((name, "input")),
        StatementKind::Fn { name, .. } => Some((name, "fn")),
        StatementKind::Let { name, .. } => Some((name, "let")),
        StatementKind::Controller { name, .. } => Some((name, "controller")),
        _ => None,
    }
}

pub(super) fn duplicate(name: &Name, first: Span) -> Diagnostic {
    Diagnostic::error("duplicate-name", name.span, format!("`{}` is defined twice", name.node))
        .label(first, "the first definition is here")
        .help("nothing shadows anything: take another name")
}

pub(super) fn empty_range(span: Span, lo: f64, hi: f64) -> Diagnostic {
    Diagnostic::error("empty-range", span, format!("expected a range from low to high, found {lo} .. {hi}"))
        .help(format!("write `{hi} .. {lo}`"))
}

/// `a number`, `a truth value` or `an int`.
pub(super) fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Real => "a number",
        Kind::Bool => "a truth value",
        Kind::Int => "an int",
    }
}

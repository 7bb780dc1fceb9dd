//! Names of files that are imported under a name: `kl.k2(x)`, `kl.cap`.

use super::scope::Meaning;
use super::{Checker, Outcome, Reported, Valued};
use crate::diag::Diagnostic;
use crate::near::nearest;
use crate::plugin::quoted;
use crate::span::{SourceId, Span};
use crate::syntax::ast::{Expr, ExprKind, Name};

impl<'a> Checker<'a> {
    /// The name of an import.
    pub(super) fn import_statement(&mut self, import: Span, alias: &'a Name) {
        if let Some(&target) = self.bundle.imports.get(&import) {
            self.define(alias, "import", Meaning::Import(target));
        }
    }

    /// The function `member` of the file that is imported as `import`.
    pub(super) fn imported_function(&mut self, callee: &Name, import: &str, member: &str) -> Outcome<usize> {
        let Some(file) = self.import(import, callee.span.source) else {
            let message = format!("there is no import `{import}`");
            return Err(self.report(
                Diagnostic::error("unknown-name", callee.span, message)
                    .help(format!("write `import \"...\" as {import}` above")),
            ));
        };
        match self.scope.find(member, file).map(|binding| {
            binding.used = true;
            binding.meaning.clone()
        }) {
            Some(Meaning::Function(index)) => Ok(index),
            Some(Meaning::Poisoned) => Err(Reported),
            Some(_) => Err(self.report(
                Diagnostic::error(
                    "not-a-function",
                    callee.span,
                    format!("`{}` is a value, not a function", callee.node),
                )
                .help("leave the parentheses out"),
            )),
            None => Err(self.unknown_member(file, member, callee.span)),
        }
    }

    /// The value of `import.member`; `None` if what stands before the dot is no import.
    pub(super) fn imported_value(
        &mut self,
        base: &Expr,
        member: &Name,
        span: Span,
    ) -> Option<Outcome<Valued>> {
        let ExprKind::Name(import) = &base.kind else { return None };
        if self.frames.last().is_some_and(|frame| frame.locals.contains_key(import.as_str())) {
            return None;
        }
        let file = self.import(import, base.span.source)?;
        let found = self.scope.find(&member.node, file).map(|binding| {
            binding.used = true;
            binding.meaning.clone()
        });
        Some(match found {
            Some(Meaning::Value(valued)) => Ok(valued),
            Some(Meaning::Poisoned) => Err(Reported),
            Some(_) => Err(self.report(
                Diagnostic::error(
                    "not-a-value",
                    span,
                    format!("`{import}.{}` is a function, not a value", member.node),
                )
                .help(format!("call it: `{import}.{}(...)`", member.node)),
            )),
            None => Err(self.unknown_member(file, &member.node, member.span)),
        })
    }

    /// The file that is imported under a name.
    fn import(&mut self, name: &str, file: SourceId) -> Option<SourceId> {
        let binding = self.scope.find(name, file)?;
        let Meaning::Import(target) = binding.meaning else { return None };
        binding.used = true;
        Some(target)
    }

    fn unknown_member(&mut self, file: SourceId, member: &str, span: Span) -> Reported {
        let owner = self.bundle.sources.get(file).name();
        let known: Vec<&str> = self.scope.visible_names(file).collect();
        let diagnostic = Diagnostic::error("unknown-name", span, format!("`{owner}` defines no `{member}`"));
        let diagnostic = match nearest(member, known.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => diagnostic,
            None => diagnostic.help(format!("it defines {}", quoted(&known))),
        };
        self.report(diagnostic)
    }
}

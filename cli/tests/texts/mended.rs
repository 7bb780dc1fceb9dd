//! What has to hold of fixes, which an editor applies without asking.

use super::judge::{found, hold};
use aent::diag::{Diagnostic, Diagnostics, Fix};
use aent::span::{SourceId, Span};
use aent::syntax::{Token, parse, tokens};

/// After a fix, a text that parsed parses, and what the fix was proposed for is not found at its place any more. In a text with
/// syntax errors the next one may come to light, so there a fix brings no token that the language does not know, and takes away
/// those that it replaces. Returns how many fixes there are.
pub(crate) fn judge(text: &str, parses: bool, before: &Diagnostics) -> Result<u32, String> {
    let mut fixes = 0;
    for item in before {
        let Some(fix) = &item.fix else { continue };
        let mended = applied(text, fix);
        let said = || format!("{}: {}\nis mended by {fix:?} to\n{mended}\n", item.id, item.message);
        let wrong = parse(SourceId(0), &mended).1;
        hold!(!parses || !wrong.has_errors(), "{}where {wrong:?}", said());
        let replaced =
            unknown(text).into_iter().filter(|of| fix.span.start <= of.start && of.end <= fix.span.end);
        let left = unknown(text).len() - replaced.count();
        hold!(unknown(&mended).len() <= left, "{}with another unknown token", said());
        let (after, ..) = found(&mended);
        let again = after.iter().find(|of| is_same(item, fix, of));
        hold!(again.is_none(), "{}which still has it", said());
        fixes += 1;
    }
    Ok(fixes)
}

fn applied(text: &str, fix: &Fix) -> String {
    format!("{}{}{}", &text[..fix.span.start as usize], fix.replacement, &text[fix.span.end as usize..])
}

fn unknown(text: &str) -> Vec<Span> {
    let unknown = tokens(SourceId(0), text).into_iter().filter(|token| token.node == Token::Unknown);
    unknown.map(|token| token.span).collect()
}

/// Whether another finding says the same at the place to which the fix has moved it.
fn is_same(item: &Diagnostic, fix: &Fix, other: &Diagnostic) -> bool {
    let moved = if item.span.start >= fix.span.end && fix.span.start != item.span.start {
        i64::from(item.span.start) + fix.replacement.len() as i64 - i64::from(fix.span.end - fix.span.start)
    } else {
        i64::from(item.span.start)
    };
    other.id == item.id && other.message == item.message && i64::from(other.span.start) == moved
}

//! Inlay hints: the type and unit of a `let`, and the defaults that a call takes.

use super::describe;
use super::signature::{Slot, slots};
use crate::names::{Kind, Role};
use crate::project::Project;
use crate::view::{ROOT, View};
use aent::span::Span;
use lsp_types::{InlayHint, InlayHintKind, Label, Range, Tooltip, Uri};

/// How many defaults a call shows; all are in the tooltip.
const SHOWN: usize = 3;

/// The hints in a range.
pub(crate) fn hints(project: &mut Project, uri: &Uri, range: Range) -> Vec<InlayHint> {
    let view = project.view(uri);
    let within = view.span(range);
    let mut out = Vec::new();
    for (index, statement) in view.statements().iter().enumerate() {
        let span = statement.span();
        if span.end < within.start || span.start > within.end {
            continue;
        }
        for (at, word) in statement.words.iter().enumerate() {
            match word.role {
                Role::Definition(Kind::Let | Kind::Step | Kind::Extra) => {
                    out.extend(of_value(&view, word.span));
                }
                Role::Callee | Role::CalledMember(_) | Role::Controller => {
                    out.extend(of_call(&view, index, at));
                }
                _ => {}
            }
        }
    }
    out
}

/// `: token, entropy` behind a name.
fn of_value(view: &View, place: Span) -> Option<InlayHint> {
    let known = describe::short(view.fact(place)?);
    Some(InlayHint {
        position: view.range(place).end,
        label: Label::String(format!(": {known}")),
        kind: Some(InlayHintKind::Type),
        text_edits: None,
        tooltip: Some(Tooltip::String(describe::fact(view.fact(place)?))),
        padding_left: None,
        padding_right: None,
        data: None,
    })
}

/// `, high = 0.2` before the parenthesis that closes a call.
fn of_call(view: &View, statement: usize, callee: usize) -> Option<InlayHint> {
    let of = &view.statements()[statement];
    let call = of.call_of(callee)?;
    let close = call.close?;
    let symbol = view.scope.symbol(&view.analysis.bundle, ROOT, statement, callee)?;
    let slots = slots(view, &symbol);
    let nameless = call.arguments.iter().filter(|(_, name)| name.is_none()).count();
    let positional =
        slots.iter().filter(|slot| slot.positional).take(nameless).map(|slot| slot.name.as_str());
    let named = call.arguments.iter().filter_map(|(_, name)| Some(view.part(of.words[(*name)?].span)));
    let given: Vec<&str> = positional.chain(named).collect();
    let taken = slots.iter().filter(|slot| !given.contains(&slot.name.as_str()));
    let taken: Vec<&Slot> = taken.filter(|slot| slot.default.is_some()).collect();
    let all = taken.iter().map(|slot| slot.label.as_str()).collect::<Vec<_>>().join(", ");
    // That an input is the batch field of its name goes without saying.
    let taken: Vec<&str> = taken
        .iter()
        .filter(|slot| slot.default.as_ref() != Some(&slot.name))
        .map(|slot| slot.label.as_str())
        .collect();
    if taken.is_empty() {
        return None;
    }
    // Behind a comma at the end of the arguments, or behind `(`, there is one less to show.
    let before = view.text()[..close.start as usize].trim_end();
    let comma = if before.ends_with([',', '(']) { "" } else { ", " };
    let more = if taken.len() > SHOWN { ", …" } else { "" };
    let shown = taken.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    Some(InlayHint {
        position: view.range(Span { end: close.start, ..close }).start,
        label: Label::String(format!("{comma}{shown}{more}")),
        kind: Some(InlayHintKind::Parameter),
        text_edits: None,
        tooltip: Some(Tooltip::String(all)),
        padding_left: None,
        padding_right: None,
        data: None,
    })
}

//! Code lenses over the losses: what a step reads, how often, and its memory; and the whole of `aent explain` as a command.

use crate::project::Project;
use lsp_types::{CodeLens, Command, Uri};
use serde_json::{Value, json};

/// The command that gives the text of `aent explain` for a file.
pub(crate) const COMMAND: &str = "aent.explain";

/// The lens of a file, if it checks: over its first loss.
pub(crate) fn lenses(project: &mut Project, uri: &Uri) -> Vec<CodeLens> {
    let view = project.view(uri);
    let Some(program) = &view.analysis.program else { return Vec::new() };
    let Some(loss) = view.statements().iter().find(|of| of.keyword == "loss") else { return Vec::new() };
    let summary = aent_show::one_line(program, project.settings.size.into());
    let range = view.range(aent::span::Span { end: loss.span().start + 4, ..loss.span() });
    let command = Command {
        title: summary,
        tooltip: None,
        command: COMMAND.to_owned(),
        arguments: Some(vec![json!(uri)]),
    };
    vec![CodeLens { range, command: Some(command), data: None }]
}

/// What `aent explain` says of a file, as Markdown, or why it says nothing.
pub(crate) fn explain(project: &mut Project, arguments: &[Value]) -> Result<Value, String> {
    let uri = arguments.first().and_then(|of| serde_json::from_value::<Uri>(of.clone()).ok());
    let view = project.view(&uri.ok_or("expected the URI of a file")?);
    let program = view.analysis.program.as_ref().ok_or("the file has errors: `aent check` shows them")?;
    Ok(json!(aent_show::explain(program, project.settings.size.into())))
}

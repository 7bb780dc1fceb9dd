//! `aent explain`: shows what a file compiles to and costs, or what a diagnostic means.

mod pages;

use super::input;
use crate::arguments::{Explain, Format};
use crate::{Outcome, Status, stream};
use aent::diag::codes;
use aent::near::nearest;
use aent_show::{Size, explain, explain_json};
use std::path::Path;

/// Explains every diagnostic, one diagnostic, or a file.
pub(crate) fn run(arguments: &Explain) -> Outcome {
    let Some(target) = arguments.target.as_deref() else {
        stream::print(&pages::all())?;
        return Ok(Status::Done);
    };
    if let Some(code) = codes::find(target) {
        stream::print(&pages::page(code))?;
        return Ok(Status::Done);
    }
    if looks_like_an_id(target) {
        if aent_show::term(target).is_ok() {
            return Err(format!("`{target}` is no diagnostic: `aent terms {target}` describes it"));
        }
        let ids = codes::CODES.iter().map(|code| code.id);
        let hint = nearest(target, ids).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("there is neither a diagnostic nor a file `{target}`{hint}"));
    }
    let compiler = input::compiler(&arguments.set, &arguments.allow_import);
    match input::program(&compiler, Path::new(target))? {
        Ok(program) => {
            let &Explain { sequences, length, vocabulary, candidates, .. } = arguments;
            let size = Size { sequences, length, vocabulary, candidates };
            stream::print(&match arguments.format {
                Format::Human => explain(&program, size),
                Format::Json => format!("{:#}\n", explain_json(&program, size)),
            })?;
            Ok(Status::Done)
        }
        Err(status) => Ok(status),
    }
}

/// Ids are words with hyphens; a target with a dot or a slash, or that exists, is a file.
fn looks_like_an_id(target: &str) -> bool {
    target != input::STDIN && !target.contains(['.', '/', '\\']) && !Path::new(target).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_ids_are_told_apart() {
        assert!(looks_like_an_id("unknown-nam"));
        assert!(!looks_like_an_id("grpo.aent"));
        assert!(!looks_like_an_id("specs/grpo"));
        assert!(!looks_like_an_id("-"));
    }
}

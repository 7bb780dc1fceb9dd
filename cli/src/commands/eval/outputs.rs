//! Checks that no output of a step replaces one of its inputs, under any name.

use super::super::input::STDIN;
use crate::arguments::Eval;
use aent::Program;
use std::path::Path;

/// Refuses an output that is the same file as an input or as the other output. `--save-state` may replace the file of
/// `--state`.
pub(super) fn check(arguments: &Eval, program: &Program) -> Result<(), String> {
    let mut inputs = vec![(arguments.batch.as_path(), "the batch")];
    if arguments.file != Path::new(STDIN) {
        inputs.push((&arguments.file, "the file itself"));
    }
    let imports = program.sources().iter().skip(1);
    inputs.extend(imports.filter_map(|(_, source)| Some((source.path()?, "an imported file"))));
    let state = arguments.state.as_deref().map(|path| (path, "the state"));
    if let Some(out) = &arguments.out {
        refuse("--out", out, inputs.iter().copied().chain(state))?;
    }
    if let Some(saved) = &arguments.save_state {
        let out = arguments.out.as_deref().map(|path| (path, "the output of `--out`"));
        refuse("--save-state", saved, inputs.iter().copied().chain(out))?;
    }
    Ok(())
}

fn refuse<'a>(
    option: &str,
    output: &Path,
    others: impl Iterator<Item = (&'a Path, &'a str)>,
) -> Result<(), String> {
    for (other, role) in others {
        if aent_files::same(output, other) {
            let (output, other) = (output.display(), other.display());
            return Err(format!("`{option} {output}` would overwrite `{other}`, {role}: name another file"));
        }
    }
    Ok(())
}

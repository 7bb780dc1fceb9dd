//! Changes of the text that findings propose: each mends what it was found for.

use super::suite;
use aent::Compiler;
use aent::diag::codes::{CODES, Code};
use aent::diag::{Diagnostics, Fix};

fn all(text: &str) -> Diagnostics {
    match Compiler::new().compile("spec.aent", text) {
        Ok(program) => program.warnings().clone(),
        Err(failure) => failure.diagnostics,
    }
}

fn applied(text: &str, fix: &Fix) -> String {
    let (start, end) = (fix.span.start as usize, fix.span.end as usize);
    format!("{}{}{}", &text[..start], fix.replacement, &text[end..])
}

#[test]
fn a_fix_removes_what_it_was_found_for() {
    let examples = CODES.iter().filter_map(Code::example).map(str::to_owned);
    let mut fixes = 0;
    for text in examples.chain(suite::texts()) {
        let found = all(&text);
        for item in &found {
            let Some(fix) = &item.fix else { continue };
            let alike = |found: &Diagnostics| {
                found.iter().filter(|of| of.id == item.id && of.message == item.message).count()
            };
            let mended = applied(&text, fix);
            assert!(alike(&all(&mended)) < alike(&found), "{}: {}\n{text}\n{mended}", item.id, item.message);
            fixes += 1;
        }
    }
    assert!(fixes >= 25, "only {fixes} findings have a fix");
}

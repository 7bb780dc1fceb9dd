//! What others call an entry, read from its documentation.

/// A name that another framework or paper uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// Who uses it, with how it differs where it does.
    pub of: String,
}

/// The names in a paragraph of the documentation that begins with `Aliases:`, each in backticks, with who uses them in
/// parentheses behind: ``Aliases: `dppo_tv`, `dppo_kl` (verl).``
pub fn aliases(docs: &str) -> Vec<Alias> {
    let Some((_, text)) = docs.split_once("Aliases:") else { return Vec::new() };
    // The lines of a doc comment begin with a blank, so an empty line may hold one.
    let paragraph =
        text.lines().map(str::trim).enumerate().take_while(|(at, line)| *at == 0 || !line.is_empty());
    let text = paragraph.map(|(_, line)| line).collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some((names, behind)) = rest.split_once('(') {
        let Some((of, after)) = behind.split_once(')') else { break };
        let names = names.split('`').skip(1).step_by(2);
        found.extend(names.map(|name| Alias { name: name.to_owned(), of: of.to_owned() }));
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(name: &str, of: &str) -> Alias {
        Alias { name: name.to_owned(), of: of.to_owned() }
    }

    #[test]
    fn names_belong_to_the_parentheses_behind_them() {
        let docs = " A term.\n\n Aliases: `regular`,\n `dual_clip` (SkyRL), `tis` (ROLL, below 1).\n\n More (here).\n";
        let expected =
            [alias("regular", "SkyRL"), alias("dual_clip", "SkyRL"), alias("tis", "ROLL, below 1")];
        assert_eq!(aliases(docs), expected);
    }

    #[test]
    fn without_the_paragraph_there_are_none() {
        assert_eq!(aliases(" A term (of verl): `x`.\n"), []);
        assert_eq!(aliases(" Aliases: `x` without anybody.\n"), []);
    }
}

//! Computes the memory of a step: per token, and in total at its peak.

use super::cost::Cost;
use aent::fields::LogitFields;
use aent::passes::{CHUNK_BYTES, bytes_kept};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The size of a step, or of one of its micro-batches.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// B.
    pub sequences: u64,
    /// T.
    pub length: u64,
    /// V.
    pub vocabulary: u64,
    /// K: how many tokens the batch lists for each token, where it does.
    pub candidates: u64,
}

/// Kinds of logits: their names, the bytes of a logit, and the bytes of a value computed from logits.
const KINDS: [(&str, u64, u64); 3] = [("bf16, f16", 2, 4), ("f32", 4, 4), ("f64", 8, 8)];

/// The bytes per token.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Token {
    logits: u64,
    reference: u64,
    /// Lists of tokens, and the values beside them.
    listed: u64,
    gradient: u64,
    statistics: u64,
    sums: u64,
    formulas: u64,
}

impl Token {
    fn of(cost: &Cost, size: Size, logit: u64, value: u64) -> Self {
        let Size { vocabulary, candidates, .. } = size;
        let row = logit * vocabulary;
        Self {
            logits: if cost.statistics.is_empty() { 0 } else { row },
            reference: row * cost.references().len() as u64,
            listed: candidates.saturating_mul(8 * cost.lists.len() as u64 + value * cost.beside.len() as u64),
            gradient: if cost.gradient { row } else { 0 },
            statistics: value * cost.statistics.len() as u64,
            sums: bytes_kept(&cost.statistics, vocabulary as i64, candidates as usize) as u64,
            formulas: value * cost.reals + cost.truths,
        }
    }

    /// The bytes in the batch.
    fn brought(&self) -> u64 {
        self.logits + self.reference + self.listed
    }

    /// The bytes that the step adds, without the gradient of the logits.
    fn small(&self) -> u64 {
        self.statistics + self.sums + self.formulas
    }

    /// The bytes that the step adds.
    fn added(&self) -> u64 {
        self.gradient + self.small()
    }

    /// The bytes that a step of `count` tokens adds if logits are computed from hidden states, a chunk at a time.
    fn added_in_chunks(&self, count: f64) -> f64 {
        let row = (self.logits + self.reference) as f64;
        let at_once = (CHUNK_BYTES as f64 / row).floor().max(1.0);
        at_once.min(count) * row + count * self.small() as f64
    }
}

/// Two tables, with explanations of their lines.
pub(super) fn explained(cost: &Cost, size: Size) -> String {
    let tokens = KINDS.map(|(_, logit, value)| Token::of(cost, size, logit, value));
    format!(
        "# Memory of a token, in bytes\n\n{}\n{}\n# Memory of a step at its peak\n\n{}",
        of_a_token(&tokens),
        meanings(cost, size),
        of_a_step(cost, &tokens, size)
    )
}

/// The same for programs, for each kind of logits: bytes per token, and of the step.
pub(super) fn json(cost: &Cost, size: Size) -> Value {
    let Size { sequences, length, vocabulary, candidates } = size;
    let count = sequences as f64 * length as f64;
    let kind = |(name, logit, value): (&str, u64, u64)| {
        let token = Token::of(cost, size, logit, value);
        json!({
            "kind": name,
            "token": {
                "logits": token.logits,
                "reference_logits": token.reference,
                "candidates": token.listed,
                "gradient": token.gradient,
                "row_statistics": token.statistics,
                "sums": token.sums,
                "formulas": token.formulas,
            },
            "step": {
                "brought": count * token.brought() as f64,
                "added": count * token.added() as f64,
                "added_over_the_logits": count * token.small() as f64,
                "added_from_hidden_states": token.added_in_chunks(count),
            },
        })
    };
    json!({
        "sequences": sequences,
        "length": length,
        "vocabulary": vocabulary,
        "candidates": candidates,
        "bytes": KINDS.map(kind),
    })
}

/// What a step of logits in bf16 brings and adds at its peak.
pub(super) fn one_line(cost: &Cost, size: Size) -> String {
    let (_, logit, value) = KINDS[0];
    let token = Token::of(cost, size, logit, value);
    let count = size.sequences as f64 * size.length as f64;
    format!(
        "{} × {} tokens over {} ids bring {} and add {}",
        grouped(size.sequences),
        grouped(size.length),
        grouped(size.vocabulary),
        scaled(count * token.brought() as f64),
        scaled(count * token.added() as f64)
    )
}

fn of_a_token(tokens: &[Token; 3]) -> String {
    let line = |name, part: fn(&Token) -> u64| (name, tokens.each_ref().map(part));
    let lines = [
        line("logits", |token| token.logits),
        line("reference logits", |token| token.reference),
        line("listed tokens", |token| token.listed),
        line("gradient of the logits", |token| token.gradient),
        line("row statistics", |token| token.statistics),
        line("sums behind them", |token| token.sums),
        line("formulas", |token| token.formulas),
    ];
    // Leave out lines of zeros.
    let lines = lines.into_iter().filter(|(_, bytes)| bytes.iter().any(|&bytes| bytes > 0));
    table(lines.map(|(name, bytes)| (name, bytes.map(grouped))))
}

fn meanings(cost: &Cost, size: Size) -> String {
    let Size { vocabulary, candidates, .. } = size;
    let mut out = String::new();
    if !cost.statistics.is_empty() {
        out.push_str("The batch brings the logits. ");
        if cost.gradient {
            out.push_str("Their gradient is the one tensor of their size that a step adds. ");
        }
        out.push_str("The sums are what the backward\npass needs of a row besides its logits.\n");
    }
    if !cost.lists.is_empty() {
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "Each list has {candidates} tokens (`--candidates K` for others), whose logits are among the sums."
        );
    }
    out.push_str(
        "Of the formulas, one value is counted for each line of the program above that computes one per\n\
         token; what a term holds while it is computed is not.\n",
    );
    if cost.ranks() {
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "To find the tokens of a set, each thread works in a row of its own, which is not counted: {}, for f64 twice that.",
            scaled((4 * vocabulary) as f64)
        );
    }
    out
}

fn of_a_step(cost: &Cost, tokens: &[Token; 3], size: Size) -> String {
    let Size { sequences, length, vocabulary, .. } = size;
    // Even absurd sizes must not overflow.
    let count = sequences as f64 * length as f64;
    let all = |part: fn(&Token) -> u64| tokens.each_ref().map(|token| scaled(count * part(token) as f64));
    let mut lines = vec![("the step adds", all(Token::added))];
    let mut notes = String::new();
    if !cost.statistics.is_empty() {
        let share = |token: &Token| format!("{:.3}", token.added() as f64 / token.logits as f64);
        let in_chunks = |token: &Token| scaled(token.added_in_chunks(count));
        lines.insert(0, ("the batch brings logits", all(Token::brought)));
        lines.push(("times the logits", tokens.each_ref().map(share)));
        lines.push(("together", all(|token| token.brought() + token.added())));
        if cost.gradient {
            lines.push(("adds, over the logits", all(Token::small)));
            notes.push_str(OVER_THE_LOGITS);
        }
        lines.push(("adds, from hidden states", tokens.each_ref().map(in_chunks)));
        notes.push_str(&from_hidden_states(cost));
    }
    format!(
        "{}\n\
         {} sequences of {} tokens, a vocabulary of {} (`--sequences B --length T --vocabulary V` for others).\n\
         Masked tokens count. Where a step is cut into micro-batches, B is that of the largest.\n{notes}",
        table(lines),
        grouped(sequences),
        grouped(length),
        grouped(vocabulary)
    )
}

const OVER_THE_LOGITS: &str = "
Over the logits: with `Options::overwrite_logits`, their gradient is written to where they lie.
";

fn from_hidden_states(cost: &Cost) -> String {
    let beside = |of: LogitFields| format!(", and `{}` with `{}`", of.hidden, of.weight);
    let mut reference: String = cost.references().into_iter().map(beside).collect();
    if !reference.is_empty() {
        reference.push(',');
    }
    let gradients = if cost.gradient {
        " The gradients of `hidden` and\n\
         `lm_head` come on top, as large as these, with what torch's matrix products take for themselves; for bf16 and f16 that of\n\
         `lm_head` is summed up in f32, twice its size.\n"
    } else {
        "\n"
    };
    format!(
        "\nFrom hidden states: where the batch brings `hidden` with `lm_head`{reference} instead of logits, at most {} of logits\n\
         (`Options::chunk_bytes`), but at least those of a token, are there at a time.{gradients}",
        scaled(CHUNK_BYTES as f64)
    )
}

/// A table with a name and a value for each kind of logits per line, and the kinds' names as its head.
fn table<'a>(lines: impl IntoIterator<Item = (&'a str, [String; 3])>) -> String {
    let heading = ("", KINDS.map(|(name, ..)| name.to_owned()));
    let lines: Vec<_> = std::iter::once(heading).chain(lines).collect();
    let name_width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let width = |column: usize| lines.iter().map(|(_, values)| values[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for (name, values) in &lines {
        let _ = write!(out, "{name:name_width$}");
        for (value, width) in values.iter().zip(widths) {
            let _ = write!(out, "  {value:>width$}");
        }
        out.push('\n');
    }
    out
}

/// Bytes in a unit for which the number is from 1 to 1024, if there is one.
fn scaled(bytes: f64) -> String {
    let (mut number, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, larger);
    }
    if unit == "B" { format!("{number} B") } else { format!("{number:.2} {unit}") }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(text: &str) -> Cost {
        Cost::of(&aent::compile(text).unwrap())
    }

    fn of(vocabulary: u64) -> Size {
        Size { sequences: 1, length: 1, vocabulary, candidates: 10 }
    }

    #[test]
    fn listed_tokens_are_counted() {
        let text = "input kept: candidates id\nloss = token_mean(-log_prob(within = kept))";
        let (with, without) = (
            Token::of(&cost(text), of(1000), 4, 4),
            Token::of(&cost("loss = -token_mean(log_prob)"), of(1000), 4, 4),
        );
        // Ten ids of 8 bytes; ten logits in f64 among the sums.
        assert_eq!((with.listed, without.listed), (80, 0));
        assert_eq!(with.sums, without.sums + 80);
        assert!(cost(text).passes().contains("The logits of the tokens in `kept` are read with them."));
    }

    #[test]
    fn the_gradient_has_the_size_of_the_logits() {
        // One row statistic, read in one loop; its product with the advantages, and at most its negation. Of the row 19
        // numbers are kept in f64, its temperature among them.
        let token = Token::of(&cost("loss = -token_mean(advantages * log_prob)"), of(1000), 2, 4);
        assert_eq!((token.logits, token.gradient, token.statistics, token.sums), (2000, 2000, 4, 19 * 8));
        assert!((4..=8).contains(&token.formulas), "{token:?}");
    }

    #[test]
    fn the_reference_is_brought_and_has_no_gradient() {
        let token = Token::of(&cost("loss = token_mean(reverse_kl)"), of(1000), 4, 4);
        assert_eq!((token.logits, token.reference, token.gradient), (4000, 4000, 4000));
        // A chunk contains rows of both; 3 tokens fit into one chunk.
        assert_eq!(token.added_in_chunks(3.0) as u64, 3 * (8000 + token.small()));
    }

    #[test]
    fn every_reference_is_brought() {
        let text = "input math: logits\nloss = token_mean(reverse_kl + forward_kl(of = math))";
        let cost = cost(text);
        let token = Token::of(&cost, of(1000), 4, 4);
        assert_eq!((token.logits, token.reference, token.gradient), (4000, 8000, 4000));
        assert!(cost.passes().contains("Beside them, `ref_logits` and `math` are read."));
        let hidden = from_hidden_states(&cost);
        assert!(
            hidden.contains(", and `ref_hidden` with `ref_lm_head`, and `math_hidden` with `math_lm_head`,"),
            "{hidden}"
        );
    }

    #[test]
    fn a_chunk_is_full_or_a_single_row() {
        let cost = cost("loss = -token_mean(entropy)");
        let chunk = CHUNK_BYTES as u64;
        let token = Token::of(&cost, of(1 << 20), 4, 4);
        assert_eq!(token.added_in_chunks(1e5) as u64, chunk + 100_000 * token.small());
        let token = Token::of(&cost, of(1 << 28), 4, 4);
        assert_eq!(token.added_in_chunks(1.0) as u64, 4 * chunk + token.small());
    }

    #[test]
    fn what_the_loss_does_not_read_takes_nothing() {
        let text = "loss = token_mean((values - returns) ^ 2) # aent: allow(gradient-misses-policy)";
        let token = Token::of(&cost(text), of(1000), 4, 4);
        assert_eq!((token.logits, token.gradient, token.statistics, token.sums), (0, 0, 0, 0));
        let explained =
            explained(&cost(text), Size { sequences: 2, length: 8, vocabulary: 1000, candidates: 64 });
        assert!(!explained.contains("gradient"), "{explained}");
        assert!(!explained.contains("times the logits"), "{explained}");
    }

    #[test]
    fn sizes_that_no_machine_has_are_still_numbers() {
        let most = 1 << 32;
        let size = Size { sequences: most, length: most, vocabulary: most, candidates: most };
        // 2^32 sequences of 2^32 tokens over 2^32 ids, with 4 bytes each, are 2^98 bytes.
        let explained = explained(&cost("loss = -token_mean(entropy)"), size);
        assert!(explained.contains(&format!("{:.2} EiB", (38f64).exp2())), "{explained}");
    }

    #[test]
    fn bytes_are_written_in_a_unit_that_fits() {
        assert_eq!(scaled(1023.0), "1023 B");
        assert_eq!(scaled(1536.0), "1.50 KiB");
        assert_eq!(scaled((30f64).exp2() * 4.25), "4.25 GiB");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
    }
}

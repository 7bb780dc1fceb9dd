//! Where the comments of a text go when its tree is printed.

use super::{Item, Printer};
use crate::syntax::layout::Doc;

impl Printer<'_> {
    /// Attaches the comment beside the last item to that item, and returns those on their own lines.
    pub(super) fn gap(&mut self, items: &mut [Item], from: usize, to: usize) -> Vec<Doc> {
        match items.last_mut() {
            None => self.take(from, to).into_iter().map(Doc::Comment).collect(),
            Some(item) => {
                let (beside, above) = self.beside_and_above(from, to);
                item.beside = beside;
                above
            }
        }
    }

    /// The first comment between two bytes, if it follows something on its line, and the other comments.
    pub(super) fn beside_and_above(&mut self, from: usize, to: usize) -> (Option<Doc>, Vec<Doc>) {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < from);
        let beside = self.comments.get(first).filter(|comment| {
            let start = comment.span.start as usize;
            !self.used[first] && start < to && !self.is_first_on_line(start)
        });
        let beside = beside.map(|comment| {
            self.used[first] = true;
            Doc::Comment(format!("  {}", comment.node))
        });
        (beside, self.take(from, to).into_iter().map(Doc::Comment).collect())
    }

    /// The comments between two bytes that have not been taken yet.
    pub(super) fn take(&mut self, from: usize, to: usize) -> Vec<String> {
        let first = self.comments.partition_point(|comment| (comment.span.start as usize) < from);
        let mut taken = Vec::new();
        for (comment, used) in self.comments[first..].iter().zip(&mut self.used[first..]) {
            if comment.span.start as usize >= to {
                break;
            }
            if !*used {
                *used = true;
                taken.push(comment.node.clone());
            }
        }
        taken
    }

    pub(super) fn is_first_on_line(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end_matches([' ', '\t', '\r']);
        before.is_empty() || before.ends_with(['\n', '\u{feff}'])
    }

    pub(super) fn lines_between(&self, from: u32, to: u32) -> usize {
        let between = self.text.get(from as usize..to as usize).unwrap_or_default();
        between.bytes().filter(|byte| *byte == b'\n').count()
    }
}

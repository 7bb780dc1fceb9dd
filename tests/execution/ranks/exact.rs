//! What ranks give together is the step of the whole, and nothing travels that need not.

use super::{GROUPED, RATIO_OF_MEANS, ROADS, over_two};
use crate::{PPO, assert_says, batch, logits, number, plain, session};
use aent::plugin::{AnyEntry, registry};
use aent::tensor::{Host, Tensor as Handle};
use aent::testing::{Case, Extent, Outcome, distance, on_ranks, rough, sample};
use aent::{Batch, Counts, Error, GroupError, Options, Output, ProcessGroup, Session, compile};
use std::sync::{Arc, Mutex};
use tch::{Device, Kind, Tensor};

/// Where the parts of each rank end, of five sequences.
fn layouts() -> Vec<Vec<Vec<usize>>> {
    vec![
        vec![vec![5]],
        vec![vec![3], vec![5]],
        vec![vec![1], vec![2], vec![5]],
        vec![vec![1], vec![2], vec![3], vec![5]],
        vec![vec![1, 2, 4], vec![5]],
        vec![vec![2], vec![3, 4], vec![5]],
    ]
}

fn cases(count: usize) -> Vec<Case> {
    let cases = sample(&rough(Extent { sequences: 5..=5, width: 2..=5, vocabulary: 3..=6 }), count);
    cases.into_iter().map(|case| case.trimmed()).collect()
}

#[track_caller]
fn assert_spreads(text: &str, case: &Case) {
    let session = session(text);
    let whole = Outcome::of(&session, case, Kind::Double).unwrap();
    for layout in layouts() {
        let spread = Outcome::of_ranks(&session, case, &layout, Kind::Double).unwrap();
        let gap = spread.distance(&whole);
        assert!(gap < 1e-10, "{layout:?}: off by {gap}\n{text}\n{spread:?}\n{whole:?}");
    }
}

#[test]
fn ranks_give_the_step_of_the_whole_on_every_road() {
    for (text, first_pass) in ROADS {
        assert_eq!(session(text).plan().first_pass, first_pass, "{text}");
        for case in cases(4) {
            assert_spreads(text, &case);
        }
    }
}

#[test]
fn every_reduction_to_a_number_counts_over_all_ranks() {
    let mut seen = 0;
    for entry in registry().iter() {
        let AnyEntry::Reduction(of) = entry else { continue };
        // An example reduces tokens or sequences; only what is a number by itself can stand alone.
        let text =
            format!("let x = {}\nloss = token_mean(log_prob) + x\nmetric m = x", of.declaration.example);
        if entry.declaration().name.starts_with("test::") || compile(&text).is_err() {
            continue;
        }
        seen += 1;
        for case in cases(2) {
            assert_spreads(&text, &case);
        }
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn ranks_without_a_token_that_counts_come_along() {
    for (text, _) in ROADS {
        for empty in [0..1, 1..3, 3..5, 0..5] {
            let mut case = cases(1).remove(0);
            case.mask.fill(true);
            for row in empty {
                case.mask[row * case.width..][..case.width].fill(false);
            }
            assert_spreads(text, &case.poisoned());
        }
    }
}

#[test]
fn a_rank_without_a_sequence_comes_along() {
    for (text, _) in ROADS {
        let batches = |rank: usize| {
            let all = batch(&logits(0, Kind::Double))
                .with("values", Tensor::ones([2, 3], (Kind::Double, Device::Cpu)));
            let kept = if rank == 0 { 2 } else { 0 };
            all.iter().fold(Batch::new(), |batch, (name, field)| batch.with(name, field.narrow(0, 0, kept)))
        };
        let whole = number(session(text).forward(&batches(0)).unwrap().loss());
        for found in over_two([text; 2], batches, |done| {
            let (share, output) = done.unwrap();
            (number(share.loss()), number(output.loss()), output.tokens().unwrap())
        }) {
            assert!((found.1 - whole).abs() < 1e-12 && found.2 == 4, "{found:?} instead of {whole}\n{text}");
        }
    }
}

#[test]
fn shares_add_up_to_the_loss_of_the_whole() {
    for (text, _) in ROADS {
        let case = cases(1).remove(0);
        let session = session(text);
        let done = on_ranks(3, |group| {
            let ends = [0, 2, 3, 5];
            let part = case.part(ends[group.rank()]..ends[group.rank() + 1]);
            let (share, output) =
                session.forward_over(&part.leaves(Kind::Double, Device::Cpu).batch, group).unwrap();
            (number(share.loss()), number(output.loss()))
        });
        let sum: f64 = done.iter().map(|(share, _)| share).sum();
        assert!(distance(&[sum], &[done[0].1]) < 1e-12, "{done:?}\n{text}");
    }
}

#[test]
fn controllers_of_all_ranks_stay_alike_to_the_bit() {
    for (text, _) in ROADS {
        let steps = cases(4);
        let found = on_ranks(3, |group| {
            let mut session = session(text);
            for case in &steps {
                let ends = [0, 1, 3, 5];
                let part = case.part(ends[group.rank()]..ends[group.rank() + 1]).trimmed();
                let batch = part.leaves(Kind::Float, Device::Cpu).batch;
                let (_, output) = session.forward_over(&batch, Arc::clone(&group)).unwrap();
                session.update(&output).unwrap();
            }
            serde_json::to_string(&session.state()).unwrap()
        });
        assert_eq!(found[0], found[1], "{text}");
        assert_eq!(found[0], found[2], "{text}");
    }
}

#[test]
fn counts_of_all_ranks_may_come_from_the_caller() {
    let whole = session(PPO).forward(&plain()).unwrap();
    let done = |counts: fn(usize) -> [i64; 3]| {
        on_ranks(2, |group| {
            let [tokens, sequences, width] = counts(group.rank());
            let part = &plain().split(2).unwrap()[group.rank()];
            let (tokens, sequences, width) = (Some(tokens), Some(sequences), Some(width));
            let counts = Counts { tokens, sequences, width, ..Counts::default() };
            let mut step = session(PPO).accumulate().over(group)?.with_counts(counts)?;
            let share = number(step.forward(part)?.loss());
            Ok::<_, Error>((share, number(step.finish()?.loss())))
        })
    };
    let found: Vec<(f64, f64)> = done(|_| [4, 2, 3]).into_iter().map(Result::unwrap).collect();
    assert!((found[0].0 + found[1].0 - number(whole.loss())).abs() < 1e-6, "{found:?}");
    assert!((found[1].1 - number(whole.loss())).abs() < 1e-6, "{found:?}");
    for error in done(|rank| [4 + rank as i64, 2, 3]) {
        assert_says(
            &error.unwrap_err(),
            &["rank 1", "the caller counted", "4 tokens, 2 sequences, 3 width", "5 tokens"],
        );
    }
}

#[test]
fn lets_over_ranks_are_those_of_the_own_sequences() {
    let text = "let h = entropy()
        let mean = token_mean(h)
        let above = mean > 1
        let typical = quantile(h, 0.5)
        loss = token_mean(log_prob)";
    for text in [text.to_owned(), format!("{text} * mean")] {
        let options = Options { lets: true, ..Options::default() };
        let session = Session::with(compile(&text).unwrap(), options);
        let named = |output: &Output| -> Vec<(String, Handle)> {
            output.lets().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
        };
        let whole = named(&session.forward(&plain()).unwrap());
        let found = on_ranks(2, |group| {
            let part = &plain().split(2).unwrap()[group.rank()];
            (group.rank(), named(&session.forward_over(part, group).unwrap().1))
        });
        for (rank, found) in found {
            assert_eq!(found.len(), 4);
            for ((name, found), (_, whole)) in found.iter().zip(&whole) {
                let whole = if whole.dim() == 0 { whole.clone() } else { whole.narrow(0, rank as i64, 1) };
                assert_eq!((found.dtype(), found.size()), (whole.dtype(), whole.size()), "{name}");
                let wide = |tensor: &Handle| tensor.tch().unwrap().to_kind(Kind::Double);
                assert!(wide(found).allclose(&wide(&whole), 1e-6, 1e-6, false), "{name}");
            }
        }
    }
}

/// A group that writes down what it sends.
#[derive(Debug)]
struct Watched(Arc<dyn ProcessGroup>, Mutex<Vec<Vec<i64>>>);

impl ProcessGroup for Watched {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn host(&self) -> &'static dyn Host {
        self.0.host()
    }

    fn all_gather(&self, tensor: &Handle) -> Result<Vec<Handle>, GroupError> {
        self.1.lock().unwrap().push(tensor.size());
        self.0.all_gather(tensor)
    }
}

#[test]
fn nothing_travels_but_what_spans_the_step() {
    // Of the mask and of fields that are B long, and of what is B times T.
    let travels = |text: &str| {
        let session = session(text);
        let sent = on_ranks(2, |group| {
            let watched = Arc::new(Watched(group, Mutex::default()));
            session.forward_over(&plain(), Arc::clone(&watched) as Arc<dyn ProcessGroup>).unwrap();
            let sent = watched.1.lock().unwrap();
            let of = |size: &[i64]| sent.iter().filter(|sent| sent.as_slice() == size).count();
            assert!(sent.iter().all(|size| size.len() <= 2), "{sent:?}");
            (of(&[2]), of(&[2, 3]), sent.len())
        });
        assert_eq!(sent[0], sent[1]);
        sent[0]
    };
    assert_eq!(travels(&format!("{PPO}\nmetric h = token_mean(entropy())")), (0, 0, 2));
    // Rewards and groups with the mask; the metric adds up.
    assert_eq!(travels(GROUPED), (2, 1, 5));
    // The entropy with the mask, at the end.
    assert_eq!(travels(&format!("{PPO}\nmetric h = quantile(entropy(), 0.5)")), (0, 2, 5));
    // The entropy and the log-probability with the mask.
    assert_eq!(travels(RATIO_OF_MEANS), (0, 3, 5));
}

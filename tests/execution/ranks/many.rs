//! Many ranks in one process: what a step costs each of them, and what one of them can do to the others.

use super::GROUPED;
use crate::session;
use aent::tensor::{Host, Tensor as Handle};
use aent::testing::on_ranks;
use aent::{Batch, Error, GroupError, ProcessGroup, Session};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// How many ranks there are: 200, or as many as the variable `RANKS` says.
static RANKS: LazyLock<usize> =
    LazyLock::new(|| std::env::var("RANKS").map_or(200, |text| text.parse().unwrap()));
/// A rank among the others.
const ONE: usize = 100;
/// The longest sequence, and how many tokens there are.
const WIDTH: i64 = 3;
const VOCABULARY: i64 = 4;

const STEERED: &str = "let entropy = entropy()
    controller beta = band(signal = token_mean(entropy), target = 0.1 .. 0.2, step = 1e-2, bounds = 0 .. 1, init = 0.5)
    loss = token_mean(clip_ppo()) - beta * token_mean(entropy)
    metric entropy = token_mean(entropy)";

/// A rank's group. Its answers come late, it counts what it sends, and may lose its connection.
#[derive(Debug)]
struct Watched {
    group: Arc<dyn ProcessGroup>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    lost_after: Option<usize>,
}

impl Watched {
    fn new(group: Arc<dyn ProcessGroup>, lost_after: Option<usize>) -> Arc<Self> {
        let (messages, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { group, messages, bytes, lost_after })
    }

    /// How many messages it has sent, and of how many bytes together.
    fn sent(&self) -> (usize, usize) {
        (self.messages.load(Relaxed), self.bytes.load(Relaxed))
    }
}

impl ProcessGroup for Watched {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn host(&self) -> &'static dyn Host {
        self.group.host()
    }

    fn all_gather(&self, tensor: &Handle) -> Result<Vec<Handle>, GroupError> {
        let message = self.messages.fetch_add(1, Relaxed);
        if self.lost_after.is_some_and(|sent| message >= sent) {
            return Err("the connection is gone".into());
        }
        self.bytes.fetch_add(tensor.numel() * tensor.dtype().bytes(), Relaxed);
        // No two messages of a rank, and no two ranks in a message, come in the same order.
        let late = (self.rank() + 1) * (message + 7) * 7919 % 4001;
        std::thread::sleep(Duration::from_micros(late as u64));
        self.group.all_gather(tensor)
    }
}

/// Where the sequences of a rank begin and how many there are: none, one or two.
fn share(rank: usize) -> (i64, i64) {
    let before: usize = (0..rank).map(|other| other % 3).sum();
    (before as i64, (rank % 3) as i64)
}

/// The sequences from `start` on. Some have no token that counts.
fn rows(start: i64, count: i64) -> Batch {
    let numbers = |each: i64, by: f64| {
        let places = Tensor::arange_start(start * each, (start + count) * each, (Kind::Double, Device::Cpu));
        (places * by).sin()
    };
    let tokens = |by: f64| numbers(WIDTH, by).view([count, WIDTH]);
    let ids = Tensor::arange_start(start * WIDTH, (start + count) * WIDTH, (Kind::Int64, Device::Cpu));
    let sequences = Tensor::arange_start(start, start + count, (Kind::Int64, Device::Cpu));
    let lengths = (&sequences * 5).remainder(WIDTH + 1);
    let logits = numbers(WIDTH * VOCABULARY, 0.37) * 2.0;
    Batch::new()
        .with("logits", logits.view([count, WIDTH, VOCABULARY]).set_requires_grad(true))
        .with("actions", (ids * 11).remainder(VOCABULARY).view([count, WIDTH]))
        .with(
            "response_mask",
            Tensor::arange(WIDTH, (Kind::Int64, Device::Cpu)).lt_tensor(&lengths.unsqueeze(1)),
        )
        .with("old_log_prob", tokens(1.3) - 1.5)
        .with("advantages", tokens(0.9))
        .with("rewards", numbers(1, 2.1))
        // Samples of a prompt are far apart.
        .with("group", sequences.remainder(128))
}

/// A step of a rank, and its loss: the same to the bit on all ranks.
fn step(session: &mut Session, batch: &Batch, group: Arc<Watched>) -> Result<f64, Error> {
    let (share, output) = session.forward_over(batch, group)?;
    share.backward()?;
    session.update(&output)?;
    Ok(output.loss().f64_at(&[])?)
}

#[test]
fn each_of_many_ranks_sends_as_much_as_the_documents_say() {
    // Two messages of 32 numbers; where a value spans the step, before it the mask and the fields that it reads.
    let fields = (WIDTH * 2 + 8 * 2 + 8 * 2) as usize;
    for (text, steps, messages, bytes) in [(STEERED, 3, 2, 512), (GROUPED, 1, 5, 512 + fields)] {
        let all = (0..*RANKS).map(share).map(|(_, count)| count).sum();
        let mut alone = session(text);
        let mut expected = Vec::new();
        for _ in 0..steps {
            let output = alone.forward(&rows(0, all)).unwrap();
            alone.update(&output).unwrap();
            expected.push(output.loss().f64_at(&[]).unwrap());
        }
        let found = on_ranks(*RANKS, |group| {
            let (start, count) = share(group.rank());
            let (mut session, group) = (session(text), Watched::new(group, None));
            let losses: Vec<f64> = (0..steps)
                .map(|_| step(&mut session, &rows(start, count), Arc::clone(&group)).unwrap())
                .collect();
            (losses, session.coefficients(), group.sent())
        });
        for (rank, (losses, coefficients, sent)) in found.iter().enumerate() {
            assert_eq!(*sent, (messages * steps, bytes * steps), "rank {rank}\n{text}");
            assert_eq!((losses, coefficients), (&found[0].0, &found[0].1), "rank {rank}\n{text}");
        }
        for (loss, expected) in found[0].0.iter().zip(expected) {
            assert!((loss - expected).abs() < 1e-12, "{loss} instead of {expected}\n{text}");
        }
        let gap = found[0].1.iter().zip(alone.coefficients()).map(|(of, by)| (of.1 - by.1).abs());
        assert!(gap.fold(0.0, f64::max) < 1e-12, "{:?}\n{text}", found[0].1);
    }
}

#[test]
fn one_of_many_ranks_that_fails_is_named_to_all_and_the_next_step_goes_on() {
    let done = on_ranks(*RANKS, |group| {
        let (rank, (start, count)) = (group.rank(), share(group.rank()));
        let (mut session, group) = (session(STEERED), Watched::new(group, None));
        let right = rows(start, count);
        let wrong = right.iter().filter(|(name, _)| rank != ONE || *name != "actions");
        let wrong = wrong.fold(Batch::new(), |batch, (name, field)| batch.with(name, field.clone()));
        let error = step(&mut session, &wrong, Arc::clone(&group)).unwrap_err();
        (error, session.coefficients(), step(&mut session, &right, group).unwrap())
    });
    for (rank, (error, coefficients, loss)) in done.iter().enumerate() {
        assert!(rank == ONE || matches!(error, Error::Rank { rank: ONE, .. }), "rank {rank}: {error}");
        assert!(error.to_string().contains("`actions`"), "rank {rank}: {error}");
        assert_eq!(*coefficients, session(STEERED).coefficients(), "rank {rank}");
        assert_eq!(*loss, done[0].2, "rank {rank}");
    }
}

#[test]
fn a_connection_that_one_of_many_ranks_loses_ends_the_step_of_all_without_a_trace() {
    for sent in [0, 1] {
        let done = on_ranks(*RANKS, |group| {
            let (rank, (start, count)) = (group.rank(), share(group.rank()));
            let (mut session, group) = (session(STEERED), Watched::new(group, (rank == ONE).then_some(sent)));
            let error = step(&mut session, &rows(start, count), group).unwrap_err();
            (error, session.coefficients())
        });
        for (rank, (error, coefficients)) in done.iter().enumerate() {
            let words =
                if rank == ONE { "the connection is gone".to_owned() } else { format!("rank {ONE} left") };
            assert!(error.to_string().contains(&words), "rank {rank}: {error}");
            assert_eq!(*coefficients, session(STEERED).coefficients(), "rank {rank}");
        }
    }
}

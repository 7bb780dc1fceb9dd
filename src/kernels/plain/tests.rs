//! Plain operations against the CPU's fused ones.

use std::sync::Arc;

use tch::{Device, Kind, Tensor as TchTensor};

use super::*;
use crate::kernels::cpu::Cpu;
use crate::kernels::ids::{Ids, Lists};
use crate::rows::{FieldName, RowStatistic, Statistic, TokenSet};

const ROWS: i64 = 6;
const VOCABULARY: i64 = 301;

/// Rows with ties, bans and one without a softmax, and a reference.
fn chunk(kind: Kind) -> Chunk {
    // Concurrent tests share torch's generator.
    let spread = |by: f64| {
        let ids = TchTensor::arange(ROWS * VOCABULARY, (Kind::Double, Device::Cpu));
        ((ids * by).sin() * 6.0).to_kind(Kind::Float).view([1, ROWS, VOCABULARY])
    };
    let logits = spread(12.9898);
    let _ = logits.get(0).get(1).narrow(0, 0, 100).fill_(0.5);
    let _ = logits.get(0).get(2).narrow(0, 50, 100).fill_(f64::NEG_INFINITY);
    let _ = logits.get(0).get(3).narrow(0, 7, 1).fill_(f64::NAN);
    Chunk {
        logits: logits.to_kind(kind).into(),
        references: vec![spread(78.233).to_kind(kind).into()],
        ids: Ids::new(
            TchTensor::arange(ROWS, (Kind::Int64, Device::Cpu)).into(),
            TchTensor::ones([ROWS], (Kind::Bool, Device::Cpu)).into(),
        )
        .with_lists(Some(lists())),
        divisors: Some(TchTensor::from_slice(&[0.5, 2.0, 1.0, 0.7, 1.3, f64::NAN]).into()),
    }
}

/// Two lists, with pads, the action, the same token in both, and the ends of a row.
fn lists() -> Lists {
    let rows = (0..ROWS).flat_map(|row| [-1, -1, row, 100 + row, 0, row, VOCABULARY - 1]);
    let ids = TchTensor::from_slice(&rows.collect::<Vec<i64>>()).view([ROWS, 7]);
    Lists { fields: Arc::new([("kept", 4), ("taught", 3)]), ids: ids.into() }
}

fn plan() -> Plan {
    let of = |set, temperature, statistic| RowStatistic::new(set, temperature, statistic);
    let divided = |of: RowStatistic| RowStatistic { divisor: Some(FieldName::new("heat")), ..of };
    let request = [
        of(TokenSet::All, 1.0, Statistic::LogProb),
        of(TokenSet::Drop(0.3), 1.0, Statistic::SecondMoment),
        of(TokenSet::Drop(0.3), 1.0, Statistic::Variance),
        of(TokenSet::TopP(0.8), 0.7, Statistic::Mass),
        of(TokenSet::MinP(0.02), 1.0, Statistic::Entropy),
        of(TokenSet::All, 1.0, Statistic::ReverseKl),
        of(TokenSet::All, 0.7, Statistic::ForwardKl),
        of(TokenSet::All, 0.7, Statistic::JensenShannon(0.3)),
        divided(of(TokenSet::TopP(0.8), 1.0, Statistic::Entropy)),
        divided(of(TokenSet::MinP(0.02), 0.7, Statistic::LogProbWithin)),
        divided(of(TokenSet::All, 1.0, Statistic::JensenShannon(0.3))),
        divided(of(TokenSet::All, 1.0, Statistic::ReverseKl)),
    ];
    Plan::new(&request, &[], &[4, 3], VOCABULARY)
}

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let [found, expected] = [found, expected].map(|tensor| tensor.tch().unwrap().to_kind(Kind::Double));
    assert_eq!(found.size(), expected.size(), "{what}");
    assert_eq!(found.isnan(), expected.isnan(), "{what}");
    let apart = (&found - &expected).abs() / expected.abs().clamp_min(1.0);
    let worst = f64::try_from(apart.nan_to_num(0.0, None, None).max()).unwrap();
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

#[test]
fn plain_operations_find_what_the_fused_ones_find() {
    let plan = plan();
    for (kind, tolerance, step) in
        [(Kind::Double, 1e-10, 1e-10), (Kind::Float, 1e-5, 1e-5), (Kind::BFloat16, 1e-5, 2f64.powi(-8))]
    {
        let chunk = chunk(kind);
        let (plain, fused) = (Plain.read(&plan, &chunk).unwrap(), Cpu.read(&plan, &chunk).unwrap());
        let lines = |found: &Found| {
            let sums = found.sums.tensor(plan.sums(), &chunk.logits).unwrap();
            [sums, found.facts.tensor(plan.facts(), &chunk.logits).unwrap()]
        };
        let ([sums, of_plain], [fused_sums, of_fused]) = (lines(&plain), lines(&fused));
        assert_close(&sums, &fused_sums, tolerance, &format!("sums in {kind:?}"));
        for pass in 0..plan.passes.len() {
            for column in [facts::FROM, facts::SIZE, facts::TO_MIXTURE, facts::REFERENCE_HIGHEST] {
                let at = (facts::of(pass) + column) as i64;
                let [plain, fused] = [&of_plain, &of_fused].map(|facts| facts.select(1, at));
                assert_close(&plain, &fused, tolerance, &format!("fact {at} in {kind:?}"));
            }
        }
        let count = ROWS * plan.sums() as i64;
        let cotangents = TchTensor::arange(count, (Kind::Double, Device::Cpu)).sin().view([ROWS, -1]) * 0.01;
        let cotangents = Numbers::Device(cotangents.into());
        let on_host = Numbers::Host(Arc::new(cotangents.host().unwrap().into_owned()));
        let gradient = |engine: &dyn Engine, found: &Found, cotangents: &Numbers| {
            let gradient = chunk.logits.zeros_like();
            engine.write_gradient(&plan, &chunk, found, cotangents, &gradient).unwrap();
            gradient
        };
        let by_fused = gradient(&Cpu, &fused, &on_host);
        // What another engine found of a set's border is enough.
        for found in [&plain, &fused] {
            let by_plain = gradient(&Plain, found, &cotangents);
            assert_close(&by_plain, &by_fused, step, &format!("gradient in {kind:?}"));
        }
    }
}

#[test]
fn the_gradient_may_lie_over_the_logits() {
    let plan = plan();
    let (apart, over) = (chunk(Kind::Float), chunk(Kind::Float));
    let found = Plain.read(&plan, &apart).unwrap();
    let cotangents = found.sums.tensor(plan.sums(), &apart.logits).unwrap().ones_like() * 0.01;
    let cotangents = Numbers::Device(cotangents);
    let gradient = apart.logits.zeros_like();
    Plain.write_gradient(&plan, &apart, &found, &cotangents, &gradient).unwrap();
    let same = over.logits.clone();
    Plain.write_gradient(&plan, &over, &found, &cotangents, &same).unwrap();
    let [over, apart] = [over.logits, gradient].map(|tensor| tensor.tch().unwrap());
    assert!(over.allclose(&apart, 0.0, 0.0, true));
}

//! Hidden states whose output layer lies in shards.

use aent::kernels::{
    Head, Hidden, KernelOptions, RowInputs, Shards, Source, row_statistics, row_statistics_in_shards,
};
use aent::rows::{RowStatistic, Statistic, TokenSet};
use aent::tensor::Tensor as Handle;
use aent::testing::on_ranks;
use tch::{Device, Kind, Tensor};

use super::Over;
use crate::assert_close;
use crate::rows::numbers;

#[test]
fn hidden_states_with_rows_of_the_output_layer_give_shares_of_their_gradient() {
    let wave = |size: &[i64], by: f64| {
        let count: i64 = size.iter().product();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * by).sin().view(size)
    };
    let request = [TokenSet::All, TokenSet::Drop(0.3), TokenSet::TopP(0.8)]
        .map(|set| RowStatistic::new(set, 0.8, Statistic::Entropy));
    let request = [&request[..], &[RowStatistic::new(TokenSet::All, 1.0, Statistic::LogProb)]].concat();
    let options = KernelOptions { chunk_bytes: 200, ..KernelOptions::default() };
    let run = |[start, end]: [i64; 2], shards: Option<&Shards<'_>>| {
        let actions = Handle::from(Tensor::from_slice(&[3i64, 16, 0, 9, 99, 8]).view([2, 3]));
        let mask = Handle::from(Tensor::from_slice(&[true, true, true, true, false, true]).view([2, 3]));
        let part = |tensor: &Tensor| Handle::from(tensor.narrow(0, start, end - start)).leaf();
        let hidden = Handle::from(wave(&[2, 3, 4], 0.37)).leaf();
        let (weight, bias) = (part(&wave(&[17, 4], 1.3)), part(&wave(&[17], 0.9)));
        let head = Head { softcap: Some(1.1), scale: 0.8, dtype: None };
        let policy = Source::Hidden(Hidden { hidden: &hidden, weight: &weight, bias: Some(&bias), head });
        let inputs = RowInputs { policy, ..RowInputs::new(&hidden, &actions, &mask) };
        let found = match shards {
            Some(shards) => row_statistics_in_shards(&inputs, &request, &options, shards),
            None => row_statistics(&inputs, &request, &options),
        };
        let found = found.unwrap();
        found.iter().map(Handle::sum).reduce(|a, b| a + b).unwrap().backward().unwrap();
        let gradients = [&hidden, &weight, &bias].map(|leaf| numbers(leaf.grad().unwrap()));
        (found.iter().map(numbers).collect::<Vec<_>>(), gradients)
    };
    let (values, [of_hidden, of_weight, of_bias]) = run([0, 17], None);
    let ends = [0, 6, 7, 17];
    let done = on_ranks(3, |group| {
        let rank = group.rank();
        let over = Over::new(group);
        run([ends[rank], ends[rank + 1]], Some(&Shards::new(&over)))
    });
    let close = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(expected) {
            assert_close(*x, *y, 1.0, 1e-12, "hidden states");
        }
    };
    for (found, _) in &done {
        close(&found.concat(), &values.concat());
    }
    let of = |which: usize| done.iter().map(|(_, gradients)| gradients[which].clone()).collect::<Vec<_>>();
    let summed = of(0).into_iter().reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect()).unwrap();
    close(&summed, &of_hidden);
    close(&of(1).concat(), &of_weight);
    close(&of(2).concat(), &of_bias);
}

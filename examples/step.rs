//! The whole loop in Rust: compile a loss, forward, backward, optimise, update.

#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use aent::{Batch, Session, compile};
use tch::{Device, Kind, Tensor, no_grad};

const SPEC: &str = "
    let policy  = clip_ppo(low = 0.2, high = 0.28)
    let clamped = clamped_entropy(drop = 30%)

    controller beta = band(
        signal = token_mean(clamped),
        target = 2 .. 3,
        step   = 0.02,
        bounds = 0 .. 1,
        init   = 0,
    )

    loss = token_mean(policy) - beta * token_mean(clamped)

    metric entropy       = token_mean(clamped)
    metric clip_fraction = token_mean(policy.clipped)
";

/// B, T and V.
const SHAPE: [i64; 3] = [8, 16, 50];
const LEARNING_RATE: f64 = 3.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(compile(SPEC)?);

    // The smallest policy there is: the same logits at every position. Token 7 is right.
    tch::manual_seed(0);
    let mut policy = Tensor::zeros([SHAPE[2]], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    for step in 0..120 {
        let logits = policy.expand(SHAPE, false);
        let probabilities = logits.detach().softmax(-1, Kind::Float);
        let actions = probabilities.view([-1, SHAPE[2]]).multinomial(1, false).view([SHAPE[0], SHAPE[1]]);
        let old_log_prob = probabilities.log().gather(-1, &actions.unsqueeze(-1), false).squeeze_dim(-1);
        let batch = Batch::new()
            .with("logits", logits)
            .with("actions", actions.shallow_clone())
            .with("response_mask", actions.ones_like())
            .with("old_log_prob", old_log_prob)
            .with("advantages", actions.eq(7).to_kind(Kind::Float) - 0.1);

        let output = session.forward(&batch)?;
        output.backward()?;
        no_grad(|| {
            policy -= policy.grad() * LEARNING_RATE;
            policy.zero_grad();
        });
        session.update(&output)?;

        if step % 10 == 0 {
            let loss = output.total()?;
            let (entropy, beta) = (output.metrics()?["entropy"], session.coefficients()["beta"]);
            println!("step {step:3}: loss {loss:7.4}, entropy {entropy:.3}, next beta {beta:.4}");
        }
    }
    Ok(())
}

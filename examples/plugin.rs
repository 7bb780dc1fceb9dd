//! A loss that uses a plugin crate's term and controller next to the built-in ones.

#![expect(clippy::print_stdout, reason = "an example talks to the terminal")]

use aent::{Batch, Session, compile};
// Naming the crate once links it, and what it registers can be called.
use aent_plugin_template as _;
use tch::{Device, Kind, Tensor};

const SPEC: &str = "
    let tail = template::tail_mass(k = 10)

    controller weight = template::step(signal = -token_mean(tail), target = -0.5, step = 0.1)

    loss = token_mean(clip_ppo()) + weight * token_mean(tail)

    metric tail = token_mean(tail)
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(compile(SPEC)?);

    tch::manual_seed(0);
    let logits = Tensor::randn([4, 8, 100], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let actions = Tensor::randint(100, [4, 8], (Kind::Int64, Device::Cpu));
    let batch = Batch::new()
        .with("logits", logits.shallow_clone())
        .with("response_mask", actions.ones_like())
        .with("actions", actions)
        .with("old_log_prob", Tensor::full([4, 8], -5.0, (Kind::Float, Device::Cpu)))
        .with("advantages", Tensor::randn([4], (Kind::Float, Device::Cpu)));

    for _ in 0..3 {
        let output = session.forward(&batch)?;
        output.backward()?;
        session.update(&output)?;
        println!(
            "mass outside the ten likeliest tokens: {:.3}, next weight: {:.1}",
            output.metrics()?["tail"],
            session.coefficients()["weight"]
        );
    }
    Ok(())
}

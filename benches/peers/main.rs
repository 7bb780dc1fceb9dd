//! `aent` beside what other frameworks compute from the same logits: time and memory side by side in one run, and how
//! ours grow. Prints the tables of docs/performance.md.

#![expect(clippy::print_stdout, reason = "a benchmark talks to the terminal")]

mod batch;
mod contest;
mod growth;
mod machine;
mod peak;
mod settings;
mod table;
mod worker;

use batch::Batch;
use contest::{CONTESTS, Pair};
use settings::Settings;
use worker::Worker;

fn main() {
    let settings = Settings::of_environment();
    tch::set_num_threads(settings.threads);
    if let Some(asked) = peak::asked() {
        println!("{}", asked.answer(&settings));
        return;
    }
    let folder = settings.folder();
    let batch = Batch::in_files(folder.path(), settings.shape());
    batch.fill();
    let pair = Pair::new(batch);
    let load_before = machine::load();
    let mut worker = Worker::start(folder.path(), &settings);
    println!("{}", machine::described(&settings, &worker.torch));
    for contest in &CONTESTS {
        contest.check(&pair, &mut worker, folder.path());
    }
    println!(
        "Results were equal first: the loss, and the gradient of taken tokens and of all others, ours within {} of each peer's \
         formula in f64, and the peer's within {}.\n",
        contest::OUR_TOLERANCE,
        contest::PEER_TOLERANCE
    );
    for contest in &CONTESTS {
        println!("{}", contest.measured(&pair, &mut worker, folder.path(), &settings));
    }
    drop((worker, pair));
    for series in growth::series(&settings) {
        println!("{}", series.measured(&settings));
    }
    println!("Load average {load_before} before and {} after.", machine::load());
}

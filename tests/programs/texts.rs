//! What the compiler makes of published algorithms, as text: a change of the plan is seen as a change of these.

use aent::Options;
use aent::Session;

#[test]
fn programs_and_plans_of_recipes() {
    let mut out = String::new();
    for name in ["aent", "dr_grpo", "eighty_twenty", "gspo", "kl_cov", "clip_cov", "sac", "maxrl"] {
        let path = format!("{}/examples/recipes/{name}.aent", env!("CARGO_MANIFEST_DIR"));
        let program = aent::compile_file(path).unwrap();
        let text = program.to_string();
        let session = Session::with(program, Options::default());
        out += &format!("== {name}\n{text}\n-- plan\n{}\n", session.plan());
    }
    insta::assert_snapshot!(out);
}

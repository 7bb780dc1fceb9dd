//! What the compiler makes of published algorithms, as text: a change of the plan is seen as a change of these.

use aent::Session;

#[test]
fn programs_and_plans_of_recipes() {
    let text = |name: &str| {
        let path = format!("{}/examples/recipes/{name}.aent", env!("CARGO_MANIFEST_DIR"));
        let session = Session::new(aent::compile_file(path).unwrap());
        format!("== {name}\n{}\n-- plan\n{}\n", session.program(), session.plan())
    };
    let names = ["aent", "dr_grpo", "eighty_twenty", "gspo", "kl_cov", "clip_cov", "sac", "maxrl"];
    insta::assert_snapshot!(names.map(text).concat());
}

//! Worked examples of surrogates, to the eight digits they were written with.

use crate::worked::{assert_loss, assert_loss_to};

const N: f64 = 1.0 / 7.0;

#[test]
fn sequence_ratios() {
    let gradient = [[-0.106_252_01; 4], [0.116_301_04, 0.116_301_04, 0.116_301_04, 0.0]];
    for level in ["sequence", "token"] {
        let expr = format!("seq_mean_token_mean(gspo(level = \"{level}\", low = 0.2, high = 0.28))");
        assert_loss(&expr, -0.076_104_94, gradient);
    }
    // Three rows divide, of which one is empty.
    assert_loss_to(
        1e-6,
        "luspo(low = 0.2, high = 0.28) * 2 / 3",
        -0.435_548_57,
        [[-0.283_339; 4], [0.232_602, 0.232_602, 0.232_602, 0.0]],
    );
    assert_loss(
        "batch_mean(gmpo(low = 0.2, high = 0.28)) * 2 / 3",
        -0.017_899_73,
        [[0.0, -0.068_741_19, -0.068_741_19, -0.068_741_19], [0.0, 0.085_688_35, 0.085_688_35, 0.0]],
    );
    assert_loss_to(
        1e-6,
        "token_mean(vespo())",
        0.537_875_22,
        [[-0.163_319; 4], [0.046_161, 0.046_161, 0.046_161, 0.0]],
    );
}

#[test]
fn soft_gates() {
    assert_loss(
        "seq_mean_token_mean(sapo())",
        -0.372_996_23,
        [
            [-0.175_640_75, -0.101_505_23, -0.131_322_57, -0.046_597_00],
            [0.048_447_32, 0.091_817_37, 0.050_496_17, 0.0],
        ],
    );
}

#[test]
fn clipped_weights() {
    assert_loss(
        "token_mean(cispo(bounds = 0.8 .. 1.28))",
        0.308_942_81,
        [
            [-0.182_857_14, -0.116_961_54, -0.150_181_59, -0.114_285_71],
            [0.057_142_86, 0.078_940_78, 0.091_428_57, 0.0],
        ],
    );
    assert_loss(
        "token_mean(cispo(bounds = 0 .. 5))",
        -0.073_241_06,
        [
            [-0.213_117_81, -0.116_961_54, -0.150_181_59, -0.058_081_38],
            [0.043_323_62, 0.078_940_78, 0.289_657_14, 0.0],
        ],
    );
    assert_loss("token_mean(topr())", 0.418_151_60, [[-N; 4], [0.043_323_62, N / 2.0, N / 2.0, 0.0]]);
}

#[test]
fn preserved_gradients() {
    let first = [-0.182_857_14, -0.116_961_54, -0.150_181_59, -0.058_081_38];
    assert_loss(
        "token_mean(gppo(low = 0.2, high = 0.28))",
        -0.082_340_87,
        [first, [0.057_142_86, 0.078_940_78, 0.289_657_14, 0.0]],
    );
    assert_loss(
        "token_mean(gppo(low = 0.2, high = 0.28, beta_low = 0.25))",
        -0.125_198_01,
        [first, [0.014_285_71, 0.078_940_78, 0.289_657_14, 0.0]],
    );
}

#[test]
fn quadratic_pulls() {
    assert_loss(
        "token_mean(dro(0.1))",
        0.415_946_43,
        [
            [-0.137_142_86, -0.145_714_29, -0.142_142_86, -0.155_714_29],
            [0.064_285_71, 0.072_857_14, 0.091_428_57, 0.0],
        ],
    );
    assert_loss(
        "token_mean(dro(0.5))",
        0.508_303_57,
        [
            [-0.114_285_71, -0.157_142_86, -0.139_285_71, -0.207_142_86],
            [0.035_714_29, 0.078_571_43, 0.171_428_57, 0.0],
        ],
    );
}

#[test]
fn regions_of_probability() {
    let first = [-0.213_117_81, -0.116_961_54, -0.150_181_59, -0.058_081_38];
    assert_loss(
        "token_mean(dppo(low = 0.2, high = 0.28))",
        0.078_807_34,
        [first, [0.0, 0.078_940_78, 0.214_285_71, 0.0]],
    );
    assert_loss(
        "token_mean(dppo(divergence = \"kl\", low = 0.2, high = 0.28))",
        0.039_816_08,
        [first, [0.043_323_62, 0.078_940_78, 0.214_285_71, 0.0]],
    );
}

#[test]
fn penalised_covariances() {
    assert_loss(
        "token_mean(kl_cov(share = 30%))",
        0.080_722_08,
        [
            [-0.213_117_81, -0.116_961_54, -0.007_324_44, -0.058_081_38],
            [0.043_323_62, 0.078_940_78, 0.432_514_28, 0.0],
        ],
    );
}

#[test]
fn divergences_weighted_and_straight_through() {
    let of_k2 = [
        [0.028_571_43, -0.014_285_71, 0.028_571_43, -0.085_714_29],
        [-0.042_857_14, 0.028_571_43, 0.071_428_57, 0.0],
    ];
    assert_loss("token_mean(kl(estimator = \"k1+\"))", 0.014_285_71, of_k2);
    assert_loss("token_mean(kl(estimator = \"k3+\"))", 0.062_838_78, of_k2);
    assert_loss("token_mean(exp(log_prob - detach(log_prob)) * kl())", 0.062_838_78, of_k2);
    assert_loss_to(
        1e-6,
        "token_mean(ratio_corrected(kl()))",
        0.089_302_74,
        [[0.042_624, -0.011_696, 0.030_036, -0.034_849], [-0.025_994, 0.031_576, 0.289_657, 0.0]],
    );
}

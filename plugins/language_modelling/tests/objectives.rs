//! Objectives against numbers that were computed by hand, and their gradients against differences.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_language_modelling::{AllTokensCrossEntropy, MaskedCrossEntropy, Replace, ReplacedTokenDetection};

fn value(tensor: &Tensor) -> f64 {
    f64::try_from(tensor.to_kind(Kind::Double)).unwrap()
}

fn close(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
}

fn mlm() -> MaskedCrossEntropy {
    MaskedCrossEntropy { label_smoothing: 0.0 }
}

fn rtd(scope: &str) -> ReplacedTokenDetection {
    ReplacedTokenDetection { scope: scope.to_owned() }
}

fn ones(count: i64) -> Tensor {
    Tensor::ones([1, count], (Kind::Int64, Device::Cpu))
}

/// The gradient of `loss` at `x` against central differences.
fn check_gradient(x: &Tensor, loss: impl Fn(&Tensor) -> Tensor) {
    let x = x.detach().set_requires_grad(true);
    let gradient = Tensor::run_backward(&[loss(&x)], &[&x], false, false).remove(0);
    let count = x.numel() as i64;
    let gradient = gradient.reshape([-1]);
    for i in 0..count {
        let step = 1e-2;
        let moved = |by: f64| {
            let moved = x.detach().copy().reshape([-1]);
            let _ = moved.get(i).f_add_(&Tensor::from(by as f32)).unwrap();
            value(&loss(&moved.reshape(x.size())))
        };
        let difference = (moved(step) - moved(-step)) / (2.0 * step);
        close(gradient.double_value(&[i]), difference, 2e-3);
    }
}

#[test]
fn replaced_token_detection_has_the_values_of_its_formula() {
    let three = 3f32.ln();
    let logits = Tensor::from_slice(&[0.0, three, -three]).reshape([1, 3]);
    let labels = Tensor::from_slice(&[false, true, true]).reshape([1, 3]);
    for (i, expected) in [std::f64::consts::LN_2, 0.287_682, 1.386_294].into_iter().enumerate() {
        let i = i as i64;
        let one = rtd("all").loss(&logits.narrow(1, i, 1), &labels.narrow(1, i, 1), &ones(1), None).unwrap();
        close(value(&one), expected, 1e-6);
    }
    let mean = value(&rtd("all").loss(&logits, &labels, &ones(3), None).unwrap()) / 3.0;
    close(mean, 0.789_041, 1e-6);
    close(2.0 + 50.0 * mean, 41.452_060, 1e-5);
}

#[test]
fn only_tokens_in_scope_count() {
    let logits = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 7.0]).reshape([1, 4]);
    let labels = Tensor::from_slice(&[false, true, true, true]).reshape([1, 4]);
    let mask = Tensor::from_slice(&[1_i64, 1, 1, 0]).reshape([1, 4]);
    let selected = Tensor::from_slice(&[false, true, false, true]).reshape([1, 4]);
    let all = value(&rtd("all").loss(&logits, &labels, &mask, Some(&selected)).unwrap());
    let term = |z: f64, y: bool| if y { (1.0 + (-z).exp()).ln() } else { (1.0 + z.exp()).ln() };
    close(all, term(0.5, false) + term(-1.0, true) + term(2.0, true), 1e-6);
    let masked = value(&rtd("masked").loss(&logits, &labels, &mask, Some(&selected)).unwrap());
    close(masked, term(-1.0, true), 1e-6);
    let error = rtd("masked").loss(&logits, &labels, &mask, None).unwrap_err();
    assert_eq!(error.at, "in.selected");
}

/// A discriminator that can only give one number for all tokens does best with the log-odds of the share.
#[test]
fn the_best_constant_answer_and_its_loss() {
    for (share, logit, loss) in [(0.09_f64, -2.313_635, 0.302_538), (0.15, -1.734_601, 0.422_709)] {
        let best = (share / (1.0 - share)).ln();
        close(best, logit, 1e-6);
        let count = 10_000;
        let replaced = (count as f64 * share) as i64;
        let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu)).lt(replaced).reshape([1, count]);
        let at = |z: f64| {
            let logits = Tensor::full([1, count], z, (Kind::Float, Device::Cpu));
            value(&rtd("all").loss(&logits, &labels, &ones(count), None).unwrap()) / count as f64
        };
        close(at(best), loss, 1e-5);
        assert!(at(best) < at(best + 0.1) && at(best) < at(best - 0.1));
    }
}

#[test]
fn equal_scores_cost_the_logarithm_of_the_vocabulary() {
    let logits = Tensor::full([4, 30_522], 0.25, (Kind::Float, Device::Cpu));
    let labels = Tensor::from_slice(&[0_i64, 7, 30_521, 103]);
    close(value(&mlm().loss(&logits, &labels).unwrap()) / 4.0, 10.326_203, 1e-5);
}

#[test]
fn negative_targets_and_no_targets_cost_nothing() {
    let logits = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 0.5, 0.5, 0.5]).reshape([2, 3]);
    let some = mlm().loss(&logits, &Tensor::from_slice(&[2_i64, -100])).unwrap();
    let one = mlm().loss(&logits.narrow(0, 0, 1), &Tensor::from_slice(&[2_i64])).unwrap();
    close(value(&some), value(&one), 1e-6);
    let empty = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let labels = Tensor::zeros([0], (Kind::Int64, Device::Cpu));
    let nothing = mlm().loss(&empty, &labels).unwrap();
    assert_eq!(value(&nothing), 0.0);
    nothing.backward();
}

#[test]
fn a_split_batch_sums_up_to_the_whole() {
    let logits = Tensor::randn([16, 9], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(9, [16], (Kind::Int64, Device::Cpu));
    let whole = value(&mlm().loss(&logits, &labels).unwrap());
    for parts in [2, 4, 8] {
        let size = 16 / parts;
        let sum: f64 = (0..parts)
            .map(|i| {
                let part = |t: &Tensor| t.narrow(0, i * size, size);
                value(&mlm().loss(&part(&logits), &part(&labels)).unwrap())
            })
            .sum();
        close(sum, whole, 1e-5);
    }
}

#[test]
fn gradients_are_those_of_the_losses() {
    tch::manual_seed(3);
    let logits = Tensor::randn([3, 5], (Kind::Float, Device::Cpu));
    let labels = Tensor::from_slice(&[1_i64, 4, -1]);
    check_gradient(&logits, |x| mlm().loss(x, &labels).unwrap());
    check_gradient(&logits, |x| MaskedCrossEntropy { label_smoothing: 0.1 }.loss(x, &labels).unwrap());
    let scores = Tensor::randn([2, 3], (Kind::Float, Device::Cpu));
    let replaced = Tensor::from_slice(&[true, false, true, true, false, false]).reshape([2, 3]);
    let mask = Tensor::from_slice(&[1_i64, 1, 0, 1, 1, 1]).reshape([2, 3]);
    check_gradient(&scores, |x| rtd("all").loss(x, &replaced, &mask, None).unwrap());
    let all = AllTokensCrossEntropy {};
    let logits = Tensor::randn([6, 5], (Kind::Float, Device::Cpu));
    let ids = Tensor::from_slice(&[1_i64, 2, 3, 4, 0, 1]).reshape([2, 3]);
    let original = Tensor::from_slice(&[1_i64, 0, 3, 4, 2, 1]).reshape([2, 3]);
    check_gradient(&logits, |x| all.loss(x, &scores, &ids, &original, &mask).unwrap());
    check_gradient(&scores, |x| all.loss(&logits, x, &ids, &original, &mask).unwrap());
}

#[test]
fn copying_adds_to_the_probability_of_what_stands_there() {
    let logits = Tensor::from_slice(&[0.0_f32, 0.0, 0.0, 0.0]).reshape([1, 4]);
    let copy = Tensor::from_slice(&[3f32.ln()]).reshape([1, 1]);
    let id = |id: i64| Tensor::from_slice(&[id]).reshape([1, 1]);
    let all = AllTokensCrossEntropy {};
    // Copied with probability 3/4, else a quarter of 1/4.
    let same = value(&all.loss(&logits, &copy, &id(2), &id(2), &ones(1)).unwrap());
    close(same, -(0.75_f64 + 0.25 * 0.25).ln(), 1e-6);
    let other = value(&all.loss(&logits, &copy, &id(1), &id(2), &ones(1)).unwrap());
    close(other, -(0.25_f64 * 0.25).ln(), 1e-6);
}

#[test]
fn replacing_changes_the_places_alone_and_a_lucky_guess_is_the_original() {
    let ids = Tensor::from_slice(&[2_i64, 10, 11, 3, 2, 12, 13, 3]).reshape([2, 4]);
    let positions = Tensor::from_slice(&[1_i64, 6, 1]);
    let (changed, replaced) =
        Replace {}.put(&ids, &positions, &Tensor::from_slice(&[10_i64, 99, 10])).unwrap();
    assert_eq!(Vec::<i64>::try_from(changed.reshape([-1])).unwrap(), [2, 10, 11, 3, 2, 12, 99, 3]);
    let replaced = Vec::<bool>::try_from(replaced.reshape([-1])).unwrap();
    assert_eq!(replaced, [false, false, false, false, false, false, true, false]);
    // A perfect generator changes nothing.
    let (changed, replaced) =
        Replace {}.put(&ids, &positions, &ids.reshape([-1]).index_select(0, &positions)).unwrap();
    assert_eq!(changed, ids);
    assert!(!bool::try_from(replaced.any()).unwrap());
}

/// Two sequences with one and three hidden tokens, of which each costs 1 and 0.2: their mean is that over tokens.
#[test]
fn tokens_count_alike_whatever_their_sequence() {
    // Two scores, of which the right one is z: the loss is ln(1 + e^-z).
    let score = |loss: f64| -(loss.exp() - 1.0).ln();
    let scores: Vec<f64> = [1.0, 0.2, 0.2, 0.2].iter().flat_map(|loss| [score(*loss), 0.0]).collect();
    let logits = Tensor::from_slice(&scores).reshape([4, 2]);
    let labels = Tensor::zeros([4], (Kind::Int64, Device::Cpu));
    close(value(&mlm().loss(&logits, &labels).unwrap()) / 4.0, 0.4, 1e-6);
    // Scores of zero cost ln V.
    for (vocabulary, expected) in [(128, 4.852_030), (39, 3.663_562)] {
        let logits = Tensor::zeros([4, vocabulary], (Kind::Float, Device::Cpu));
        close(value(&mlm().loss(&logits, &labels).unwrap()) / 4.0, expected, 1e-6);
    }
}

/// Zhuang et al., MEAP: every place counts, whether what is read there is hidden or not.
#[test]
fn next_tokens_count_at_every_place() {
    let objective = MaskedCrossEntropy { label_smoothing: 0.0 };
    let rows = [[2.0_f32, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0; 4]];
    let (logits, labels) = (Tensor::from_slice2(&rows), Tensor::from_slice(&[0_i64, 1, 3]));
    for (row, expected) in [0.340_753, 0.743_668, 1.386_294].into_iter().enumerate() {
        let one = |tensor: &Tensor| tensor.narrow(0, row as i64, 1);
        let loss = objective.loss(&one(&logits), &one(&labels)).unwrap();
        assert!((loss.double_value(&[]) - expected).abs() < 1e-6);
    }
    let mean = objective.loss(&logits, &labels).unwrap().double_value(&[]) / 3.0;
    assert!((mean - 0.823_572).abs() < 1e-6, "{mean}");
}

/// A token that is never a target, as the mask token is, is only pushed down: its gradient is its probability.
#[test]
fn what_is_never_a_target_is_pushed_down() {
    let objective = MaskedCrossEntropy { label_smoothing: 0.0 };
    let logits = Tensor::randn([6, 5], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let labels = Tensor::from_slice(&[0_i64, 1, 3, 0, 1, 3]);
    objective.loss(&logits, &labels).unwrap().backward();
    let never = logits.grad().select(1, 2);
    assert!(never.allclose(&logits.detach().softmax(-1, Kind::Float).select(1, 2), 1e-5, 1e-7, false));
    assert!(never.min().double_value(&[]) >= 0.0);
}

/// Uniform scores cost the logarithm of the vocabulary: ln 128,256 = 11.761784.
#[test]
fn uniform_scores_over_a_large_vocabulary() {
    let objective = MaskedCrossEntropy { label_smoothing: 0.0 };
    let logits = Tensor::zeros([2, 128_256], (Kind::Float, Device::Cpu));
    let loss = objective.loss(&logits, &Tensor::from_slice(&[5_i64, 70_000])).unwrap();
    assert!((loss.double_value(&[]) / 2.0 - 11.761_784).abs() < 1e-5);
}

/// Random token substitution: two classes, original and replaced, at weight 50; and that 15 % of one class cost the best
/// constant answer .422709 nats at an accuracy of 85 %, so that accuracy alone says nothing.
#[test]
fn two_classes_of_random_token_substitution() {
    let objective = MaskedCrossEntropy { label_smoothing: 0.0 };
    let rows = [[1.0_f32, -1.0], [0.0, 0.0], [-2.0, 1.0], [0.5, 1.5]];
    let (logits, labels) = (Tensor::from_slice2(&rows), Tensor::from_slice(&[0_i64, 1, 1, 0]));
    for (row, expected) in [0.126_928, std::f64::consts::LN_2, 0.048_587, 1.313_262].into_iter().enumerate() {
        let one = |tensor: &Tensor| tensor.narrow(0, row as i64, 1);
        let loss = objective.loss(&one(&logits), &one(&labels)).unwrap();
        assert!((loss.double_value(&[]) - expected).abs() < 1e-6);
    }
    let mean = objective.loss(&logits, &labels).unwrap().double_value(&[]) / 4.0;
    assert!((mean - 0.545_481).abs() < 1e-6 && (50.0 * mean - 27.274).abs() < 1e-3, "{mean}");
    let constant = Tensor::from_slice(&[0.85_f32, 0.15]).log().expand([100, 2], false);
    let labels = Tensor::from_slice(&[[0_i64; 85].as_slice(), &[1; 15]].concat());
    let loss = objective.loss(&constant, &labels).unwrap().double_value(&[]) / 100.0;
    assert!((loss - 0.422_709).abs() < 1e-5, "{loss}");
}

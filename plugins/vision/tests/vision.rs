//! Masked image modelling against numbers that were computed by hand.
#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};
use zoo_vision::{
    MaskedTokenOptimization, ParquetImages, PatchMask, Patches, Reconstruction, ReconstructionError, decode,
    heterogeneity,
};

fn close(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
}

/// One masked token beside visible ones, in the plane.
fn of(masked: [f64; 2], visible: &[[f64; 2]], temperature: f64) -> f64 {
    let all: Vec<f64> = std::iter::once(&masked).chain(visible).flatten().copied().collect();
    let tokens = Tensor::from_slice(&all).view([1, -1, 2]);
    let hidden: Vec<bool> = (0..=visible.len()).map(|place| place == 0).collect();
    let hidden = Tensor::from_slice(&hidden).view([1, -1]);
    heterogeneity(&tokens, &hidden, temperature).unwrap().double_value(&[0])
}

#[test]
fn heterogeneity_has_the_values_of_its_formula() {
    let around = [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]];
    close(of([1.0, 0.0], &around, 1.0), 0.839_942, 2e-6);
    close(of([1.0, 0.0], &around, 0.1), 0.000_720, 2e-6);
    // Orthogonal to all of them: no nearer to one than to others, whatever their lengths.
    close(of([0.0, 3.0], &[[1.0, 0.0], [2.0, 0.0], [5.0, 0.0]], 0.1), 1.0, 1e-6);
    close(of([700.0, 0.0], &around.map(|[x, y]| [x * 30.0, y * 30.0]), 1.0), 0.839_942, 2e-6);
    // Affinities (z, 0, 0, 0): a cosine of 1 beside three of 0, divided by 1/z.
    let one = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, -1.0]];
    for (affinity, expected) in [(1.0, 0.914_886), (3.0, 0.381_637), (10.0, 0.001_081)] {
        close(of([1.0, 0.0], &one, 1.0 / affinity), expected, 4e-6);
    }
}

#[test]
fn blank_tokens_have_a_gradient() {
    let tokens = Tensor::zeros([1, 4, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let hidden = Tensor::from_slice2(&[[true, false, false, false]]);
    let loss = heterogeneity(&tokens, &hidden, 0.1).unwrap().sum(Kind::Float);
    let gradient = Tensor::run_backward(&[loss], &[&tokens], false, false).remove(0);
    assert!(bool::try_from(gradient.isfinite().all()).unwrap());
    // Nothing masked, everything masked: as far apart as can be.
    for mask in [[false; 4], [true; 4]] {
        let value = heterogeneity(&tokens, &Tensor::from_slice2(&[mask]), 0.1).unwrap();
        close(value.double_value(&[0]), 1.0, 0.0);
    }
}

#[test]
fn weights_of_zero_take_the_losses_away() {
    let losses = |weight| MaskedTokenOptimization {
        entropy_weight: weight,
        attention_weight: weight,
        gate_weight: weight,
        temperature: 0.1,
    };
    let tokens = Tensor::randn([3, 5, 4], (Kind::Float, Device::Cpu));
    let attention = Tensor::from_slice(&[0.2_f32, 0.4, 0.6]);
    let hidden = Tensor::from_slice2(&[[true, false, false, true, false]; 3]);
    let gates = Tensor::from_slice(&[0.5_f32, 0.5, 0.5]);
    let of = |weight, gates: Option<&Tensor>| {
        losses(weight).loss(&tokens, &attention, &hidden, gates).unwrap().double_value(&[])
    };
    assert_eq!(of(0.0, Some(&gates)), 0.0);
    // Gates of a half beside 0, 1/2 and 1: (1/4 + 0 + 1/4) / 3, for each of three images.
    close(of(0.1, Some(&gates)) - of(0.1, None), 0.1 * 3.0 / 6.0, 1e-6);
    let entropy = f64::try_from(heterogeneity(&tokens, &hidden, 0.1).unwrap().sum(Kind::Double)).unwrap();
    close(of(0.1, None), 0.1 * (3.0 - entropy) + 0.1 * 1.2, 1e-5);
}

#[test]
fn errors_are_those_of_hidden_patches() {
    let errors = |distance: &str| ReconstructionError { distance: distance.to_owned() };
    let right = Tensor::zeros([1, 4, 1], (Kind::Float, Device::Cpu));
    let predicted = Tensor::from_slice(&[0.5_f32, -0.25, 0.0, 1.0]).view([1, 4, 1]).set_requires_grad(true);
    let all = Tensor::from_slice2(&[[true; 4]]);
    let loss = errors("l1").loss(&predicted, &right, &all).unwrap();
    // SimMIM divides by the number of hidden pixels and 10⁻⁵: .437499.
    close(loss.double_value(&[]) / 4.0, 0.4375, 1e-6);
    close(loss.double_value(&[]) / (4.0 + 1e-5), 0.437_499, 1e-6);
    let some = Tensor::from_slice2(&[[true, false, false, true]]);
    let loss = errors("l1").loss(&predicted, &right, &some).unwrap();
    let gradient = Tensor::run_backward(&[loss], &[&predicted], false, false).remove(0);
    assert_eq!(Vec::<f32>::try_from(gradient.reshape([-1])).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    let mean = Reconstruction::error(&predicted, &right, &some).unwrap();
    close(mean.double_value(&[0]), 0.75, 1e-6);
    let none = Tensor::from_slice2(&[[false; 4]]);
    assert_eq!(Reconstruction::error(&predicted, &right, &none).unwrap().double_value(&[0]), 0.0);
}

#[test]
fn patches_are_cut_and_normalized() {
    let cut = Patches { height: 4, width: 4, channels: 2, patch: 2, normalized: false };
    let pixels = Tensor::arange(32, (Kind::Float, Device::Cpu)).view([1, 32]);
    let patches = cut.cut(&pixels).unwrap();
    assert_eq!(patches.size(), [1, 4, 8]);
    let second = Vec::<f32>::try_from(patches.select(1, 1).reshape([-1])).unwrap();
    assert_eq!(second, [2.0, 18.0, 3.0, 19.0, 6.0, 22.0, 7.0, 23.0], "pixels row by row, channels of each");
    let one = Patches { height: 2, width: 2, channels: 1, patch: 2, normalized: true };
    let target = one.cut(&Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0_f64]).view([1, 4])).unwrap();
    let values = Vec::<f64>::try_from(target.reshape([-1])).unwrap();
    for (value, expected) in values.iter().zip([-1.161_895, -0.387_298, 0.387_298, 1.161_895]) {
        close(*value, expected, 2e-6);
    }
    let squares = ReconstructionError { distance: "l2".to_owned() };
    let loss = squares.loss(&target.zeros_like(), &target, &Tensor::from_slice2(&[[true]])).unwrap();
    close(loss.double_value(&[]), 0.75, 2e-6);
}

#[test]
fn every_image_has_the_same_number_of_hidden_patches() {
    let mask = |rows, columns, rate, selection: &str, unit| PatchMask {
        rows,
        columns,
        rate,
        selection: selection.to_owned(),
        unit,
    };
    let draws = 2000;
    for (masker, expected) in [
        (mask(4, 4, 0.625, "random", 1), 10),
        (mask(4, 4, 0.6, "random", 1), 10),
        (mask(6, 8, 0.5, "random", 2), 24),
        (mask(14, 14, 0.4, "blockwise", 1), 78),
        (mask(4, 4, 1.0, "blockwise", 1), 16),
        (mask(4, 4, 0.0, "random", 1), 0),
    ] {
        let places = masker.rows * masker.columns;
        let mut counts = vec![0.0; places];
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..draws {
            let hidden = masker.hidden(&mut random);
            assert_eq!(hidden.len(), places);
            assert_eq!(hidden.iter().filter(|hidden| **hidden).count(), expected);
            counts.iter_mut().zip(&hidden).for_each(|(count, hidden)| *count += f64::from(u8::from(*hidden)));
            if masker.unit == 2 {
                for place in 0..places {
                    let (row, column) = (place / 8, place % 8);
                    assert_eq!(hidden[place], hidden[row / 2 * 2 * 8 + column / 2 * 2]);
                }
            }
        }
        if masker.selection == "random" {
            let share = expected as f64 / places as f64;
            // Four standard deviations: there are many places.
            let limit = 4.0 * (share * (1.0 - share) / f64::from(draws)).sqrt();
            counts.iter().for_each(|count| close(count / f64::from(draws), share, limit));
        }
    }
}

/// A photograph is brought to the size that is asked for, whatever its own, and its middle is cut out.
#[test]
fn photographs_are_fitted() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let data = ParquetImages {
        file: String::new(),
        matching: String::new(),
        image: "image".to_owned(),
        label: "label".to_owned(),
        height: 8,
        width: 10,
        mean: vec![0.5, 0.0, 0.0],
        deviation: vec![0.5, 1.0, 1.0],
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photographs.parquet");
    let file = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let row = file.get_row_iter(None).unwrap().next().unwrap().unwrap();
    let Some((_, parquet::record::Field::Group(group))) = row.get_column_iter().next() else {
        panic!("{row:?}")
    };
    let Some((_, parquet::record::Field::Bytes(bytes))) = group.get_column_iter().next() else {
        panic!("{row:?}")
    };
    let image = decode(bytes.data()).unwrap();
    assert_eq!(image.size(), [3, 12, 20]);
    let numbers = data.fit(&image).unwrap().view([3, 8, 10]);
    // Red of 200 everywhere, green of 100 in the upper half, no blue.
    for (channel, row, expected) in [
        (0, 1, 2.0 * 200.0 / 255.0 - 1.0),
        (0, 6, 2.0 * 200.0 / 255.0 - 1.0),
        (1, 1, 100.0 / 255.0),
        (1, 6, 0.0),
        (2, 3, 0.0),
    ] {
        close(numbers.double_value(&[channel, row, 4]), expected, 0.03);
    }
    assert!(decode(b"no image").unwrap_err().message.starts_with("no JPEG"));
}

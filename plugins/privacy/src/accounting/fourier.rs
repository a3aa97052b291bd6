//! The discrete Fourier transform, for convolutions with themselves.

use std::f64::consts::PI;

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Complex {
    fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    fn power(self, mut exponent: u64) -> Self {
        let (mut base, mut product) = (self, Self { re: 1.0, im: 0.0 });
        while exponent > 0 {
            if exponent & 1 == 1 {
                product = product.times(base);
            }
            base = base.times(base);
            exponent >>= 1;
        }
        product
    }
}

/// The transform in place; the length is a power of two. `sign` -1 forward, 1 backward, not scaled.
fn transform(values: &mut [Complex], sign: f64) {
    let n = values.len();
    let bits = n.trailing_zeros();
    for index in 0..n {
        let mirrored = index.reverse_bits() >> (usize::BITS - bits);
        if index < mirrored {
            values.swap(index, mirrored);
        }
    }
    let turns: Vec<Complex> = (0..n / 2)
        .map(|k| {
            let (im, re) = (sign * 2.0 * PI * k as f64 / n as f64).sin_cos();
            Complex { re, im }
        })
        .collect();
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let turned = b.times(turns[k * stride]);
                (*a, *b) = (
                    Complex { re: a.re + turned.re, im: a.im + turned.im },
                    Complex { re: a.re - turned.re, im: a.im - turned.im },
                );
            }
        }
        half *= 2;
    }
}

/// The circular convolution of `count` copies of a distribution; its length is a power of two above 1.
pub(super) fn self_convolution(values: &[f64], count: u64) -> Vec<f64> {
    let mut transformed: Vec<Complex> = values.iter().map(|re| Complex { re: *re, im: 0.0 }).collect();
    transform(&mut transformed, -1.0);
    for value in &mut transformed {
        *value = value.power(count);
    }
    transform(&mut transformed, 1.0);
    let scale = 1.0 / values.len() as f64;
    transformed.into_iter().map(|value| (value.re * scale).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::self_convolution;

    #[test]
    fn coins_are_binomial() {
        let mut coin = vec![0.0; 8];
        (coin[0], coin[1]) = (0.25, 0.75);
        let five = self_convolution(&coin, 5);
        let choose = [1.0, 5.0, 10.0, 10.0, 5.0, 1.0];
        for (k, found) in five.iter().enumerate() {
            let expected =
                choose.get(k).map_or(0.0, |c| c * 0.75_f64.powi(k as i32) * 0.25_f64.powi(5 - k as i32));
            assert!((found - expected).abs() < 1e-15, "{k}: {found} and {expected}");
        }
    }
}

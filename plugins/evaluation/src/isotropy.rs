//! How evenly embeddings spread over the directions of their space.

use std::sync::{Mutex, MutexGuard, PoisonError};
use zoo_plugin::prelude::*;

/// Embeddings of an evaluation so far, float64 on the CPU.
#[derive(Debug, Default)]
pub struct Embeddings(Vec<Tensor>);

impl Embeddings {
    /// Adds rows [B, hidden].
    pub fn add(&mut self, embedding: &Tensor) -> Result<()> {
        let embedding = embedding.f_detach()?.f_to_device(Device::Cpu)?;
        // A copy: a view would keep all that it is a view of.
        let mut own = embedding.f_empty_like()?;
        own.f_copy_(&embedding)?;
        self.0.push(own);
        Ok(())
    }

    fn all(&self) -> Result<Tensor> {
        if self.0.is_empty() {
            return Err(Error::new("no example was measured").help("evaluate on more examples"));
        }
        Ok(Tensor::f_cat(&self.0, 0)?.f_to_kind(Kind::Double)?)
    }
}

fn normalized(x: &Tensor) -> Result<Tensor> {
    let norm = x.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)?.f_clamp_min(1e-300)?;
    Ok(x.f_div(&norm)?)
}

fn locked(state: &Mutex<Embeddings>) -> MutexGuard<'_, Embeddings> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! embedding_metric {
    ($name:ident, $inputs:ident, $outputs:ident) => {
        impl Component for $name {
            type State = Mutex<Embeddings>;

            fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
                Ok(Mutex::default())
            }

            fn call(&self, state: &Self::State, x: $inputs<'_>, _: &mut Call<'_>) -> Result<$outputs> {
                locked(state).add(x.embedding)?;
                // Of all examples together: it is there when the evaluation is through.
                Ok($outputs { value: None })
            }

            fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
                self.of(&locked(state).all()?)
            }

            fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
                *locked(state) = Embeddings::default();
                Ok(())
            }
        }
    };
}

/// How far the embeddings are from preferring a direction: 1 where they prefer none, near 0 where they lie
/// in a narrow cone.
///
/// The smallest over the largest `Σ exp(c · v)`, the sum over all embeddings `v`, for directions `c` among the
/// eigenvectors of `VᵀV`. Of an eigenvector and its opposite the one counts whose largest component is
/// positive.
///
/// # Paper
/// Mu, Viswanath: All-but-the-Top, ICLR 2018, section 2; Liu, Vulić, Korhonen, Collier: Mirror-BERT,
/// EMNLP 2021, table 10.
///
/// # Example
/// ```mlm
/// metric isotropy = evaluation.isotropy(normalize: true)
/// ```
#[component(
    metric,
    name = "evaluation.isotropy",
    inputs(embedding: "float[B, hidden]" = "one vector an example"),
    outputs(value: "real"? = "between 0 and 1" better = "higher"),
    state,
)]
pub struct Isotropy {
    /// Whether vectors are first brought to length one. Without that long vectors decide, and vectors after a
    /// layer norm, of length √hidden, come out near 0 in any case.
    #[param(default = false)]
    pub normalize: bool,
}

impl Isotropy {
    /// Of the rows of a matrix [B, hidden], float64.
    pub fn of(&self, embedding: &Tensor) -> Result<f64> {
        let vectors = if self.normalize { normalized(embedding)? } else { embedding.f_detach()? };
        let (_, directions) = vectors.f_transpose(0, 1)?.f_matmul(&vectors)?.f_linalg_eigh("L")?;
        // An eigenvector is as good as its opposite; without a rule the result would depend on the solver.
        let largest = directions.f_abs()?.f_argmax(0, true)?;
        let sign = directions.f_gather(0, &largest, false)?.f_sign()?;
        let along = vectors.f_matmul(&directions.f_mul(&sign)?)?;
        // Logarithms, since exp overflows for long vectors.
        let sums = along.f_logsumexp([0_i64].as_slice(), false)?;
        let ratio = sums.f_min()?.f_sub(&sums.f_max()?)?.f_exp()?;
        Ok(f64::try_from(ratio)?)
    }
}

embedding_metric!(Isotropy, IsotropyInputs, IsotropyOutputs);

/// The mean cosine of two different examples' embeddings, over all pairs: how narrow the cone is that they
/// lie in.
///
/// Near 1 for sentence vectors of an untuned masked language model, near 0 after contrastive learning.
///
/// # Paper
/// Ethayarajh: How Contextual are Contextualized Word Representations?, EMNLP 2019, section 3.
///
/// # Example
/// ```mlm
/// metric cone = evaluation.mean_cosine()
/// ```
#[component(
    metric,
    name = "evaluation.mean_cosine",
    inputs(embedding: "float[B, hidden]" = "one vector an example"),
    outputs(value: "real"? = "between -1 and 1" better = "lower"),
    state,
)]
pub struct MeanCosine;

impl MeanCosine {
    /// Of the rows of a matrix [B, hidden], float64.
    pub fn of(&self, embedding: &Tensor) -> Result<f64> {
        let rows = embedding.size()[0] as f64;
        if rows < 2.0 {
            return Err(Error::new("the mean cosine is of pairs, and fewer than two examples were measured"));
        }
        let vectors = normalized(embedding)?;
        // The squared length of the sum is the sum over all ordered pairs, each with itself included.
        let sum = vectors.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Double)?;
        let pairs = f64::try_from(sum.f_dot(&sum)?)?;
        let own = f64::try_from(vectors.f_mul(&vectors)?.f_sum(Kind::Double)?)?;
        Ok((pairs - own) / (rows * (rows - 1.0)))
    }
}

embedding_metric!(MeanCosine, MeanCosineInputs, MeanCosineOutputs);

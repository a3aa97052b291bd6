//! Random tokens from clusters that a model has confused with the original's.

use crate::clusters::{Clusters, of_corpus};
use crate::random_tokens::replaced;
use crate::vocabulary::Vocabulary;
use zoo_plugin::prelude::*;

/// Replaces tokens by others, preferably of clusters that a detector took for the original's: C-RTS.
///
/// Every ordinary token is selected by itself with probability `rate`. For one of cluster a, a cluster b is drawn with
/// probability `softmax_b(beta * u(a, b))`, then one of its tokens, all equally likely, the original among them; u is
/// row a of `counts`, brought to 0 … 1 by its smallest and largest count (all 0 where they are the same). So no cluster
/// of a row is more than `exp(beta)` times as likely as another. Special tokens are neither selected nor drawn, and no
/// mask is written: random token substitution over the whole vocabulary is `masking.random_tokens` with
/// `random_share: 100%`, `mask_share: 0%` and `independent: true`.
///
/// `counts` is a buffer of this component, 1 everywhere at first. `masking.cluster_confusions` shares it and
/// counts into it after every update, from the outputs `original_clusters` and `shown_clusters` here.
///
/// Clusters are those of a `file`, or made of a `corpus` of token rows: k-means over vectors of tokens, the positive
/// pointwise mutual information with the tokens two places around, at 64 random signs. They are the same under every
/// seed.
///
/// # Paper
/// Di Liello, Gabburo, Moschitti: Effective Pre-Training Objectives for Transformer-based Autoencoders, Findings of
/// EMNLP 2022; Di Liello: Structural Self-Supervised Objectives for Transformers, 2023.
///
/// # Example
/// ```mlm
/// data lines = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: lines, vocabulary: 4000)
/// data corpus = text.tokenized(source: lines, tokenizer: wordpiece, length: 64 tok)
/// masker substitute = masking.clustered_tokens(tokenizer: wordpiece, corpus: corpus, clusters: 4)
/// ```
#[component(
    masker,
    name = "masking.clustered_tokens",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
    ),
    outputs(
        ids: "int[B, T]" = "token ids with the selected ones replaced",
        labels: "int[B*T*rate]" = "the original tokens at the selected places",
        positions: "int[B*T*rate]" = "the selected places b * T + t, in order of rows",
        selected: "bool[B, T]" = "true at the selected places, where the original may have been drawn again",
        replaced: "int[B, T]" = "1 at the selected places, 0 at other tokens, -100 at special ones and padding",
        original_clusters: "int[B, T]" = "the original's cluster; -1 for special tokens and padding",
        shown_clusters: "int[B, T]" = "that of the token that is shown",
        entropy: "float[]" = "of a row's distribution over clusters in nats, averaged over rows",
    ),
    random,
    parameters,
    stops_gradient,
    cost(flops = "B * T", parameters = "0", activations = "4 * B * T"),
)]
pub struct ClusteredTokens {
    /// Gives the ids of special tokens.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Rows of tokens that clusters are made of, with columns `ids` and `attention_mask`.
    #[param(component = "data")]
    pub corpus: Option<Handle>,
    /// A JSON list with the cluster of each token id, by id, and -1 for none, in place of a corpus.
    #[param(kind = "asset")]
    pub file: Option<String>,
    /// At most this many rows of the corpus are looked at, from its beginning; all, when not given.
    pub rows: Option<usize>,
    /// Number of clusters.
    #[param(default = 100, range = ">= 1")]
    pub clusters: usize,
    /// Share of the ordinary tokens that is selected.
    #[param(default = 0.15, range = "(0%, 100%]", kind = "fraction", varies)]
    pub rate: Varying,
    /// How much confused clusters are preferred; at 0 all clusters are equally likely.
    #[param(default = 2.0, range = ">= 0")]
    pub beta: f64,
    /// Whether counts are normalised as in the authors' code, which takes the smallest count and the range of row b
    /// from column b, where the formula has those of row a. For comparison with it only.
    #[param(default = false)]
    pub released_normalisation: bool,
    /// The mask token, where it is not [MASK] or <mask>.
    pub mask_token: Option<String>,
}

/// The distributions over clusters, row by row, of counts `[clusters, clusters]`.
pub fn distributions(counts: &[i64], clusters: usize, beta: f64, released: bool) -> Vec<Vec<f64>> {
    let rows: Vec<&[i64]> = counts.chunks(clusters.max(1)).collect();
    let smallest = |row: usize| rows[row].iter().min().copied().unwrap_or(0) as f64;
    let range = |row: usize| rows[row].iter().max().copied().unwrap_or(0) as f64 - smallest(row);
    (0..rows.len())
        .map(|a| {
            let scaled: Vec<f64> = (0..clusters)
                .map(|b| {
                    let of = if released { b } else { a };
                    // Where all counts are the same nothing is preferred.
                    beta * (rows[a][b] as f64 - smallest(of)) / range(of).max(1.0)
                })
                .collect();
            let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scaled.iter().map(|x| (x - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect()
        })
        .collect()
}

/// Entropy of a distribution, in nats.
pub fn entropy(distribution: &[f64]) -> f64 {
    -distribution.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// An element, drawn with the probabilities given.
fn draw(distribution: &[f64], random: &mut impl Rng) -> usize {
    let mut left: f64 = random.random();
    for (element, probability) in distribution.iter().enumerate() {
        left -= probability;
        if left < 0.0 {
            return element;
        }
    }
    distribution.len().saturating_sub(1)
}

/// What the masker keeps.
#[derive(Debug)]
pub struct Substitution {
    vocabulary: Vocabulary,
    clusters: Clusters,
    counts: Tensor,
}

/// What happened to the rows of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Substituted {
    /// Ids with the selected ones replaced, rows one after the other.
    pub ids: Vec<i64>,
    /// Flat places that were selected.
    pub positions: Vec<i64>,
    /// Cluster of the original and of what is shown, by place; -1 for none.
    pub clusters: (Vec<i64>, Vec<i64>),
}

impl ClusteredTokens {
    /// Replaces tokens of a row, `real` where they are no padding. `random` must be the row's own.
    pub fn row(
        &self,
        rate: f64,
        clusters: &Clusters,
        distributions: &[Vec<f64>],
        (ids, real): (&[i64], &[bool]),
        random: &mut impl Rng,
        out: &mut Substituted,
    ) {
        for (id, real) in ids.iter().zip(real) {
            let own = clusters.of(*id).filter(|_| *real);
            let mut shown = (*id, own);
            if let Some(own) = own
                && random.random::<f64>() < rate
            {
                let cluster = draw(&distributions[own], random);
                let members = clusters.members(cluster);
                out.positions.push(out.ids.len() as i64);
                shown = (members[random.random_range(0..members.len())], Some(cluster));
            }
            let number = |cluster: Option<usize>| cluster.map_or(-1, |cluster| cluster as i64);
            out.ids.push(shown.0);
            out.clusters.0.push(number(own));
            out.clusters.1.push(number(shown.1));
        }
    }
}

impl Component for ClusteredTokens {
    type State = Substitution;

    fn build(&self, cx: &mut Build<'_>) -> Result<Substitution> {
        let vocabulary = Vocabulary::new(&cx.export(self.tokenizer)?, self.mask_token.as_deref())?;
        let assigned = match (self.corpus, &self.file) {
            (Some(corpus), None) => of_corpus(cx, corpus, &vocabulary, self.clusters, self.rows)?,
            (None, Some(file)) => {
                let path = cx.asset(file)?;
                let json =
                    std::fs::read(&path).map_err(|e| Error::new(format!("{}: {e}", path.display())))?;
                Clusters::read(&json)?
            }
            _ => {
                return Err(Error::new("clusters come from a corpus or from a file")
                    .at("corpus")
                    .help("give `corpus` or `file`, and not both"));
            }
        };
        let clusters = Clusters::new(&assigned, &vocabulary.ordinary, self.clusters)?;
        let size = self.clusters as i64;
        let counts = cx.buffer("counts", &[size, size], Kind::Int64, Init::Ones)?;
        Ok(Substitution { vocabulary, clusters, counts })
    }

    fn call(
        &self,
        state: &Substitution,
        x: ClusteredTokensInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ClusteredTokensOutputs> {
        let (batch, length) = x.ids.size2()?;
        let device = x.ids.device();
        let flat = |tensor: &Tensor| -> Result<Vec<i64>> {
            Ok(Vec::try_from(&tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?)?)
        };
        let ids = flat(x.ids)?;
        let real: Vec<bool> = match x.attention_mask {
            Some(mask) => flat(mask)?.into_iter().map(|mask| mask != 0).collect(),
            None => vec![true; ids.len()],
        };
        let distributions =
            distributions(&flat(&state.counts)?, self.clusters, self.beta, self.released_normalisation);
        let entropy = distributions.iter().map(|row| entropy(row)).sum::<f64>() / self.clusters as f64;
        let rate = self.rate.at("rate", cx);
        let mut out = Substituted::default();
        let width = length.max(1) as usize;
        for (b, row) in ids.chunks(width).zip(real.chunks(width)).enumerate() {
            self.row(rate, &state.clusters, &distributions, row, &mut cx.rng("substitute", b), &mut out);
        }
        debug_assert!(out.ids.iter().zip(&ids).all(|(a, b)| a == b || !state.vocabulary.is_special(*a)));
        let mut selected = vec![false; ids.len()];
        out.positions.iter().for_each(|place| selected[*place as usize] = true);
        let replaced = replaced(&selected, out.clusters.0.iter().map(|cluster| *cluster >= 0));
        let labels: Vec<i64> = out.positions.iter().map(|place| ids[*place as usize]).collect();
        let whole = |values: &[i64]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_reshape([batch, length])?.f_to_device(device)?)
        };
        let list =
            |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_to_device(device)?) };
        Ok(ClusteredTokensOutputs {
            ids: whole(&out.ids)?,
            labels: list(&labels)?,
            positions: list(&out.positions)?,
            selected: Tensor::f_from_slice(&selected)?.f_reshape([batch, length])?.f_to_device(device)?,
            replaced: whole(&replaced)?,
            original_clusters: whole(&out.clusters.0)?,
            shown_clusters: whole(&out.clusters.1)?,
            entropy: Tensor::f_from_slice(&[entropy as f32])?.f_reshape([0_i64; 0])?.f_to_device(device)?,
        })
    }
}

/// Counts which clusters a detector of replaced tokens confuses, for `masking.clustered_tokens` to draw by.
///
/// For every ordinary token, whose original is
/// of cluster a and whose shown one of cluster b, `counts[a, b]` grows by 1 where the detector is wrong and shrinks by
/// 1 where it is right; with `changed_only` the selected tokens count alone. It counts once an update, after all of it, and
/// in training only; how an update is split makes no difference. `counts` is a buffer that it shares with the masker,
/// by `share: [MASKER]`; a step computes it where its output is logged.
///
/// # Paper
/// Di Liello, Gabburo, Moschitti: Effective Pre-Training Objectives for Transformer-based Autoencoders, Findings of
/// EMNLP 2022.
///
/// # Example
/// ```mlm
/// model confusions = masking.cluster_confusions(clusters: 4)
/// ```
#[component(
    function,
    name = "masking.cluster_confusions",
    inputs(
        original_clusters: "int[B, T]" = "the original's cluster; below 0 for none",
        shown_clusters: "int[B, T]" = "that of the token that is shown; below 0 for none",
        predicted: "int[B, T]" = "1 where the detector takes the token for a replaced one, else 0",
        replaced: "int[B, T]" = "1 where it is, 0 where it is not, below 0 for what does not count",
    ),
    outputs(wrong: "float[]" = "share of the counted tokens that the detector is wrong about; 0 where none is counted"),
    whole_update,
    parameters,
    stops_gradient,
    cost(flops = "4 * B * T", parameters = "0", activations = "B * T"),
)]
pub struct ClusterConfusions {
    /// Number of clusters.
    #[param(default = 100, range = ">= 1")]
    pub clusters: usize,
    /// Whether replaced tokens count alone.
    #[param(default = false)]
    pub changed_only: bool,
}

impl ClusterConfusions {
    /// What is added to counts `[clusters, clusters]`, and the share of tokens that the detector is wrong about.
    ///
    /// # Errors
    ///
    /// A cluster that there is not; libtorch's.
    pub fn counted(
        &self,
        clusters: &Tensor,
        shown: &Tensor,
        predicted: &Tensor,
        replaced: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let least = i64::from(self.changed_only);
        let counts =
            clusters.f_ge(0)?.f_logical_and(&shown.f_ge(0)?)?.f_logical_and(&replaced.f_ge(least)?)?;
        let wrong = predicted.f_ne_tensor(replaced)?;
        let wrong = wrong.f_masked_select(&counts)?.f_to_kind(Kind::Int64)?;
        let size = self.clusters as i64;
        let (from, to) = (clusters.f_masked_select(&counts)?, shown.f_masked_select(&counts)?);
        if from.numel() > 0 {
            let largest = i64::try_from(from.f_max()?.f_maximum(&to.f_max()?)?)?;
            if largest >= size {
                let text = format!("there is no cluster {largest} of {size}");
                return Err(Error::new(text).at("clusters").help("give both components as many clusters"));
            }
        }
        let places = from.f_mul_scalar(size)?.f_add(&to)?;
        // Wrong is 1 and right -1.
        let change = wrong.f_mul_scalar(2)?.f_sub_scalar(1)?;
        let added = Tensor::f_zeros([size * size], (Kind::Int64, places.device()))?
            .f_scatter_add(0, &places, &change)?
            .f_reshape([size, size])?;
        let total = wrong.numel().max(1) as f64;
        let share = wrong.f_sum(Kind::Float)?.f_div_scalar(total)?;
        Ok((added, share))
    }
}

impl Component for ClusterConfusions {
    type State = Tensor;

    fn build(&self, cx: &mut Build<'_>) -> Result<Tensor> {
        let size = self.clusters as i64;
        cx.buffer("counts", &[size, size], Kind::Int64, Init::Ones)
    }

    fn call(
        &self,
        counts: &Tensor,
        x: ClusterConfusionsInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ClusterConfusionsOutputs> {
        let (added, wrong) = self.counted(x.original_clusters, x.shown_clusters, x.predicted, x.replaced)?;
        if cx.training() {
            // A buffer's own tensor counts: the one in hand is another name of it.
            let _ = counts.shallow_clone().f_add_(&added)?;
        }
        Ok(ClusterConfusionsOutputs { wrong })
    }
}

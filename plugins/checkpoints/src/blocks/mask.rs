//! What attention may look at, made once a call for each kind of layer.

use zoo_plugin::prelude::*;

/// How a layer's attention is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Whether a token sees only itself and those before.
    pub causal: bool,
    /// How far it sees: with `causal`, the number of tokens including itself; else the distance to
    /// either side.
    pub window: Option<i64>,
}

/// What a layer passes to the attention kernel.
#[derive(Debug)]
pub enum Masking {
    /// Everything is seen.
    All,
    /// The kernel's own causal mask.
    Causal,
    /// Added to the scores: 0 where a token may be seen and very little where not, [B or 1, 1, T, S].
    /// A token that sees nobody, as padding may, then attends to all alike, as in transformers.
    Added(Tensor),
}

impl Masking {
    fn again(&self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Causal => Self::Causal,
            Self::Added(mask) => Self::Added(mask.shallow_clone()),
        }
    }
}

/// The masks of one call.
#[derive(Debug)]
pub struct Masks {
    /// True for tokens, [B, S].
    keep: Option<Tensor>,
    queries: i64,
    keys: i64,
    device: Device,
    kind: Kind,
    blind_padding: bool,
    /// Whether a token may see another of its document, [B, 1, T, T].
    documents: Option<Tensor>,
    made: Vec<(Reach, Masking)>,
}

impl Masks {
    /// `attention_mask`: 1 for tokens and 0 for padding, int[B, S]; the last `queries` of `keys`
    /// tokens are computed, in precision `kind`. On the CPU a mask without padding is dropped, which spares the slower
    /// masked kernel.
    ///
    /// # Errors
    /// A mask of another length.
    pub fn new(
        attention_mask: Option<&Tensor>,
        queries: i64,
        keys: i64,
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let mut keep = None;
        if let Some(mask) = attention_mask {
            if mask.size().get(1) != Some(&keys) {
                return Err(Error::new(format!(
                    "the attention mask is {:?} and must reach over {keys} tokens",
                    mask.size()
                ))
                .at("in.attention_mask"));
            }
            let tokens = mask.f_ne(0)?;
            if device != Device::Cpu || !bool::try_from(tokens.f_all()?)? {
                keep = Some(tokens);
            }
        }
        Ok(Self {
            keep,
            queries,
            keys,
            device,
            kind,
            blind_padding: false,
            documents: None,
            made: Vec::new(),
        })
    }

    /// The same where padding sees nobody, which needs queries and keys to be the same tokens.
    #[must_use]
    pub fn with_blind_padding(mut self, blind: bool) -> Self {
        self.blind_padding = blind && self.queries == self.keys;
        self
    }

    /// The same where tokens see their own document alone, which needs queries and keys to be the same
    /// tokens. `attention_mask` hides tokens as well. Padding sees itself.
    ///
    /// # Errors
    /// libtorch's.
    pub fn with_documents(
        mut self,
        documents: Option<&Documents>,
        attention_mask: Option<&Tensor>,
    ) -> Result<Self> {
        if let Some(documents) = documents {
            self.documents = Some(documents.visible(attention_mask)?.f_unsqueeze(1)?);
        }
        Ok(self)
    }

    /// True for tokens, [B, S]; none where all are.
    pub fn tokens(&self) -> Option<&Tensor> {
        self.keep.as_ref()
    }

    /// The mask of layers with that reach.
    ///
    /// # Errors
    /// libtorch's.
    pub fn get(&mut self, reach: Reach) -> Result<Masking> {
        if let Some((_, masking)) = self.made.iter().find(|(r, _)| *r == reach) {
            return Ok(masking.again());
        }
        let masking = self.make(reach)?;
        self.made.push((reach, masking.again()));
        Ok(masking)
    }

    /// The mask of layers with that reach, with a bias [B or 1, heads, T, S] added.
    ///
    /// # Errors
    /// libtorch's.
    pub fn biased(&mut self, reach: Reach, bias: &Tensor) -> Result<Tensor> {
        Ok(match self.get(reach)? {
            Masking::All => bias.shallow_clone(),
            Masking::Causal => bias.f_add(&self.added(&self.pairs(reach)?)?)?,
            Masking::Added(mask) => bias.f_add(&mask)?,
        })
    }

    fn make(&self, reach: Reach) -> Result<Masking> {
        // A window that reaches over everything bounds nothing.
        let window = reach.window.filter(|w| *w < self.keys);
        let causal = reach.causal && self.queries > 1;
        if window.is_none() && self.documents.is_none() {
            match (&self.keep, causal) {
                (None, false) => return Ok(Masking::All),
                (None, true) if self.queries == self.keys => return Ok(Masking::Causal),
                (Some(keep), false) if !self.blind_padding => {
                    return Ok(Masking::Added(self.added(&keep.f_unsqueeze(1)?.f_unsqueeze(1)?)?));
                }
                _ => {}
            }
        }
        Ok(Masking::Added(self.added(&self.pairs(reach)?)?))
    }

    /// What is added to scores, from true where a token may be seen.
    ///
    /// # Errors
    /// libtorch's.
    pub fn added(&self, seen: &Tensor) -> Result<Tensor> {
        // The least of bfloat16, which is also finite in float32.
        let least = if self.kind == Kind::Half { -65504.0 } else { -3.3895e38 };
        let zeros = Tensor::f_zeros(seen.size(), (self.kind, self.device))?;
        Ok(zeros.f_masked_fill(&seen.f_logical_not()?, least)?)
    }

    /// True where a token may be seen, in full: [B or 1, 1, T, S].
    ///
    /// # Errors
    /// libtorch's.
    pub fn pairs(&self, reach: Reach) -> Result<Tensor> {
        let options = (Kind::Int64, self.device);
        let keys = Tensor::f_arange(self.keys, options)?.f_unsqueeze(0)?;
        let first = self.keys - self.queries;
        let queries = Tensor::f_arange_start(first, self.keys, options)?.f_unsqueeze(1)?;
        // How far a key lies behind its query.
        let behind = queries.f_sub(&keys)?;
        let mut seen = if reach.causal { behind.f_ge(0)? } else { behind.f_ge(-self.keys)? };
        if let Some(window) = reach.window {
            let near = if reach.causal { behind.f_lt(window)? } else { behind.f_abs()?.f_le(window)? };
            seen = seen.f_logical_and(&near)?;
        }
        let seen = seen.f_unsqueeze(0)?.f_unsqueeze(0)?;
        if let Some(documents) = &self.documents {
            return Ok(seen.f_logical_and(documents)?);
        }
        match &self.keep {
            Some(keep) => {
                let row = keep.f_unsqueeze(1)?.f_unsqueeze(1)?;
                let seen = seen.f_logical_and(&row)?;
                Ok(if self.blind_padding { seen.f_logical_and(&row.f_transpose(-2, -1)?)? } else { seen })
            }
            None => Ok(seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn rows(masks: &mut Masks, causal: bool, window: Option<i64>) -> Vec<Vec<i64>> {
        match masks.get(Reach { causal, window }).unwrap() {
            Masking::Added(mask) => {
                let size = mask.size();
                let flat: Vec<i64> = Vec::try_from(mask.eq(0.0).to_kind(Kind::Int64).reshape([-1])).unwrap();
                flat.chunks(size[3] as usize).map(<[i64]>::to_vec).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn masks_say_who_sees_whom() {
        let mut masks = Masks::new(None, 3, 3, CPU).unwrap();
        assert!(matches!(masks.get(Reach { causal: true, window: None }).unwrap(), Masking::Causal));
        assert!(matches!(masks.get(Reach { causal: true, window: Some(3) }).unwrap(), Masking::Causal));
        assert!(matches!(masks.get(Reach { causal: false, window: None }).unwrap(), Masking::All));
        assert_eq!(rows(&mut masks, true, Some(2)), [[1, 0, 0], [1, 1, 0], [0, 1, 1]]);
        assert_eq!(rows(&mut masks, false, Some(1)), [[1, 1, 0], [1, 1, 1], [0, 1, 1]]);
        // The last two of four tokens.
        let mut masks = Masks::new(None, 2, 4, CPU).unwrap();
        assert_eq!(rows(&mut masks, true, None), [[1, 1, 1, 0], [1, 1, 1, 1]]);
        // One token with a window, as when generating.
        let mut masks = Masks::new(None, 1, 4, CPU).unwrap();
        assert!(matches!(masks.get(Reach { causal: true, window: None }).unwrap(), Masking::All));
        assert_eq!(rows(&mut masks, true, Some(2)), [[0, 0, 1, 1]]);
        // Padding.
        let padding = Tensor::from_slice2(&[[1_i64, 1, 0]]);
        let mut masks = Masks::new(Some(&padding), 3, 3, CPU).unwrap();
        assert_eq!(rows(&mut masks, true, None), [[1, 0, 0], [1, 1, 0], [1, 1, 0]]);
        assert!(Masks::new(Some(&padding), 4, 4, CPU).is_err());
        // Two documents.
        let documents = Documents::new(&Tensor::from_slice2(&[[1_i64, 1, 2]])).unwrap();
        let mut masks = Masks::new(None, 3, 3, CPU).unwrap().with_documents(Some(&documents), None).unwrap();
        assert_eq!(rows(&mut masks, true, None), [[1, 0, 0], [1, 1, 0], [0, 0, 1]]);
        assert_eq!(rows(&mut masks, false, None), [[1, 1, 0], [1, 1, 0], [0, 0, 1]]);
    }
}

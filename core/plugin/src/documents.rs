//! Several documents in one row, which do not see each other.

use crate::error::{Error, Result};
use tch::{Kind, Tensor};

/// Which tokens of a batch belong to the same document. A packed row gives what its documents give in
/// rows of their own: attention stays within a document, and positions begin anew with each.
#[derive(Debug)]
pub struct Documents {
    /// `bool[B, T, T]`: whether two tokens have the same number.
    same: Tensor,
    /// `bool[B, T]`: false for padding.
    real: Tensor,
}

impl Documents {
    /// From the document of each token, `int[B, T]`; 0 and less is padding.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(numbers: &Tensor) -> Result<Self> {
        let same = numbers.f_unsqueeze(2)?.f_eq_tensor(&numbers.f_unsqueeze(1)?)?;
        Ok(Self { same, real: numbers.f_gt(0)? })
    }

    /// The place of each token in its document, `int[B, T]`, from 0. Padding has place 0.
    ///
    /// # Errors
    /// libtorch's.
    pub fn positions(&self) -> Result<Tensor> {
        // What stands before a token and belongs to its document.
        let before = self.same.f_tril(-1)?.f_sum_dim_intlist([-1_i64].as_slice(), false, Kind::Int64)?;
        Ok(before.f_mul(&self.real)?)
    }

    /// The place in the row of the first token of each token's document, `int[B, T]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn beginnings(&self) -> Result<Tensor> {
        Ok(self.same.f_to_kind(Kind::Uint8)?.f_argmax(-1, false)?)
    }

    /// False for padding, `bool[B, T]`.
    pub fn tokens(&self) -> &Tensor {
        &self.real
    }

    /// The length of the longest document. Waits for the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn longest(&self) -> Result<i64> {
        Ok(self.positions()?.f_max()?.f_int64_value(&[])? + 1)
    }

    /// That the tokens of a document stand side by side: what a model makes of distances in a row then holds
    /// within it. Waits for the device.
    ///
    /// # Errors
    /// A document that another one interrupts.
    pub fn are_whole(&self) -> Result<()> {
        let length = self.real.size()[1];
        let places = Tensor::f_arange(length, (Kind::Int64, self.real.device()))?;
        let whole = self.beginnings()?.f_add(&self.positions()?)?.f_eq_tensor(&places)?;
        if bool::try_from(whole.f_logical_or(&self.real.f_logical_not()?)?.f_all()?)? {
            return Ok(());
        }
        Err(Error::new("a document of a row is interrupted by another")
            .help("the tokens of a document stand side by side, as packed data has them"))
    }

    /// `bool[B, T, T]`, true where a token (second axis) may attend to another (third axis). `mask`:
    /// `int[B, T]`, 0 for what is hidden as well.
    ///
    /// # Errors
    /// libtorch's.
    pub fn visible(&self, mask: Option<&Tensor>) -> Result<Tensor> {
        let keys = match mask {
            Some(mask) => self.real.f_logical_and(&mask.f_ne(0)?)?,
            None => self.real.shallow_clone(),
        };
        let length = self.real.size()[1];
        // Padding sees itself: a softmax over nothing is not a number.
        let itself = Tensor::f_eye(length, (Kind::Bool, self.real.device()))?;
        Ok(self.same.f_logical_and(&keys.f_unsqueeze(1)?)?.f_logical_or(&itself)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Documents {
        let numbers = Tensor::from_slice2(&[[7_i64, 7, 7, 2, 2, 0, -1], [3, 4, 3, 4, 4, 5, 0]]);
        Documents::new(&numbers).unwrap()
    }

    fn flat(tensor: Tensor) -> Vec<i64> {
        Vec::try_from(tensor.to_kind(Kind::Int64).reshape([-1])).unwrap()
    }

    #[test]
    fn positions_begin_anew_with_every_document() {
        let expected = [0, 1, 2, 0, 1, 0, 0, 0, 0, 1, 1, 2, 0, 0];
        assert_eq!(flat(documents().positions().unwrap()), expected);
        let expected = [0, 0, 0, 3, 3, 5, 6, 0, 1, 0, 1, 1, 5, 6];
        assert_eq!(flat(documents().beginnings().unwrap()), expected);
    }

    #[test]
    fn what_is_interrupted_is_refused() {
        assert!(documents().are_whole().is_err());
        let whole = Documents::new(&Tensor::from_slice2(&[[2_i64, 2, 9, 9, 9, 0, 0]])).unwrap();
        whole.are_whole().unwrap();
        assert_eq!(whole.longest().unwrap(), 3);
    }

    #[test]
    fn a_token_sees_its_document_and_nothing_hidden() {
        let visible = documents().visible(None).unwrap();
        let row = |b: i64, t: i64| flat(visible.select(0, b).select(0, t));
        assert_eq!(row(0, 1), [1, 1, 1, 0, 0, 0, 0]);
        assert_eq!(row(0, 3), [0, 0, 0, 1, 1, 0, 0]);
        assert_eq!(row(0, 5), [0, 0, 0, 0, 0, 1, 0], "padding sees itself alone");
        assert_eq!(row(1, 0), [1, 0, 1, 0, 0, 0, 0], "documents may be interleaved");
        let mask = Tensor::from_slice2(&[[1_i64, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]]);
        let visible = documents().visible(Some(&mask)).unwrap();
        assert_eq!(flat(visible.select(0, 0).select(0, 0)), [1, 0, 1, 0, 0, 0, 0]);
    }
}

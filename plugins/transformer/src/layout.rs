//! The tokens of a batch without its padding.

use crate::encoder::Tokens;
use std::collections::BTreeMap;
use zoo_plugin::prelude::*;

/// Where the real tokens of a batch are when its texts lie one after the other, those of one length beside
/// each other. Everything but attention is computed token by token and needs no more; attention is computed
/// text by text. What comes out is what padded rows give, without the work for padding.
#[derive(Debug)]
pub(crate) struct Layout {
    batch: i64,
    length: i64,
    /// Flat place b · T + t of each token, `int[N]`.
    places: Tensor,
    /// Position of each token in its text, `int[N]`.
    positions: Tensor,
    /// Largest position.
    last: i64,
    /// How many texts of which length follow each other.
    groups: Vec<(i64, i64)>,
    /// Place in the layout of each flat place; none for padding.
    inverse: Vec<Option<i64>>,
}

/// A matrix of whole numbers, row after row.
fn numbers(matrix: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::try_from(matrix.f_to_kind(Kind::Int64)?.f_reshape([-1])?)?)
}

impl Layout {
    /// None where rows are better left as they are: on an accelerator, which would have to be waited for;
    /// where all rows are full and hold one text each; where there is no token.
    pub(crate) fn new(x: &Tokens<'_>) -> Result<Option<Self>> {
        let (batch, length) = x.ids.size2()?;
        if x.ids.device() != Device::Cpu || (x.attention_mask.is_none() && x.document_ids.is_none()) {
            return Ok(None);
        }
        let count = usize::try_from(batch * length).unwrap_or(0);
        let visible = match x.attention_mask {
            Some(mask) => numbers(mask)?,
            None => vec![1; count],
        };
        let documents = x.document_ids.map(numbers).transpose()?;
        // Texts by row and number, with the places and positions of their tokens.
        let mut texts: BTreeMap<(usize, i64), Text> = BTreeMap::new();
        let width = usize::try_from(length).unwrap_or(0).max(1);
        for (place, seen) in visible.iter().enumerate().take(count) {
            let (row, column) = (place / width, place % width);
            let number = documents.as_ref().map_or(1, |documents| documents[place]);
            if number < 1 {
                continue;
            }
            let text = texts.entry((row, number)).or_default();
            let position = if documents.is_some() { text.met } else { column as i64 };
            text.met += 1;
            if *seen != 0 {
                text.tokens.push((place as i64, position));
            }
        }
        let mut texts: Vec<Text> = texts.into_values().filter(|text| !text.tokens.is_empty()).collect();
        if texts.is_empty() || texts.iter().all(|text| text.tokens.len() == width) {
            return Ok(None);
        }
        // Stable: rows stay in their order.
        texts.sort_by_key(|text| text.tokens.len());
        let mut groups: Vec<(i64, i64)> = Vec::new();
        for text in &texts {
            let length = text.tokens.len() as i64;
            match groups.last_mut() {
                Some((texts, same)) if *same == length => *texts += 1,
                _ => groups.push((1, length)),
            }
        }
        let (places, positions): (Vec<i64>, Vec<i64>) =
            texts.iter().flat_map(|text| text.tokens.iter().copied()).unzip();
        let mut inverse = vec![None; count];
        for (new, old) in places.iter().enumerate() {
            inverse[*old as usize] = Some(new as i64);
        }
        Ok(Some(Self {
            batch,
            length,
            last: positions.iter().copied().max().unwrap_or(0),
            places: Tensor::f_from_slice(&places)?,
            positions: Tensor::f_from_slice(&positions)?,
            groups,
            inverse,
        }))
    }

    /// Position of each token in its text, `int[1, N]`, and the largest of them.
    pub(crate) fn positions(&self) -> Result<(Tensor, i64)> {
        Ok((self.positions.f_unsqueeze(0)?, self.last))
    }

    /// How many texts of which length follow each other.
    pub(crate) fn groups(&self) -> &[(i64, i64)] {
        &self.groups
    }

    /// What stands at the tokens, `[1, N]`, of a matrix `[B, T]`.
    pub(crate) fn take(&self, matrix: &Tensor) -> Result<Tensor> {
        Ok(matrix.f_reshape([-1])?.f_index_select(0, &self.places)?.f_unsqueeze(0)?)
    }

    /// Values of tokens, `[1, N, ...]`, in rows, `[B, T, ...]`, with zeros for padding.
    pub(crate) fn rows(&self, values: &Tensor) -> Result<Tensor> {
        let rest = &values.size()[2..];
        let options = (values.kind(), values.device());
        let zeros = Tensor::f_zeros([&[self.batch * self.length], rest].concat(), options)?;
        let rows = zeros.f_index_copy(0, &self.places, &values.f_squeeze_dim(0)?)?;
        Ok(rows.f_view([&[self.batch, self.length], rest].concat().as_slice())?)
    }

    /// Flat places b · T + t as places in the layout; none where padding is asked for.
    fn find(&self, places: &Tensor) -> Result<Option<Tensor>> {
        let found: Option<Vec<i64>> = numbers(places)?
            .into_iter()
            .map(|place| usize::try_from(place).ok().and_then(|place| *self.inverse.get(place)?))
            .collect();
        Ok(found.map(|found| Tensor::f_from_slice(&found)).transpose()?)
    }
}

/// A text of a batch while it is laid out.
#[derive(Debug, Default)]
struct Text {
    /// Tokens of its number, hidden ones included.
    met: i64,
    /// Flat place and position of those that are seen.
    tokens: Vec<(i64, i64)>,
}

/// What an encoder gives: states of tokens, in rows or laid out.
#[derive(Debug)]
pub(crate) struct States {
    /// `[B, T, hidden]`, or `[1, N, hidden]` with a layout.
    pub(crate) states: Tensor,
    pub(crate) layout: Option<Layout>,
}

impl States {
    /// `[B, T, hidden]`; padding may be zero.
    pub(crate) fn rows(&self) -> Result<Tensor> {
        self.in_rows(&self.states)
    }

    /// What was computed from the states, token by token, in rows.
    pub(crate) fn in_rows(&self, values: &Tensor) -> Result<Tensor> {
        match &self.layout {
            Some(layout) => layout.rows(values),
            None => Ok(values.shallow_clone()),
        }
    }

    /// States `[M, hidden]` at flat places b · T + t, or of every place where none are given.
    pub(crate) fn at(&self, places: Option<&Tensor>) -> Result<Tensor> {
        let size = *self.states.size().last().unwrap_or(&1);
        let flat = |states: &Tensor| states.f_reshape([-1, size]);
        let Some(places) = places else { return Ok(flat(&self.rows()?)?) };
        if let Some(layout) = &self.layout
            && let Some(found) = layout.find(places)?
        {
            return Ok(flat(&self.states)?.f_index_select(0, &found)?);
        }
        Ok(flat(&self.rows()?)?.f_index_select(0, places)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(tensor: &Tensor) -> Vec<i64> {
        numbers(tensor).unwrap()
    }

    fn layout(mask: Option<&Tensor>, documents: Option<&Tensor>) -> Option<Layout> {
        let like = mask.or(documents).unwrap();
        let ids = Tensor::arange(like.numel() as i64, (Kind::Int64, Device::Cpu)).view_as(like);
        let x = Tokens { ids: &ids, attention_mask: mask, segment_ids: None, document_ids: documents };
        Layout::new(&x).unwrap()
    }

    #[test]
    fn padding_is_left_out_and_texts_of_one_length_are_neighbours() {
        let mask = Tensor::from_slice2(&[[1_i64, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]]);
        let made = layout(Some(&mask), None).unwrap();
        assert_eq!(flat(&made.places), [0, 1, 14, 15, 4, 5, 6, 7]);
        // Padding before a text counts, as in rows.
        assert_eq!(flat(&made.positions), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(made.groups(), [(2, 2), (1, 4)]);
        let numbers = made.take(&(&mask * 7)).unwrap();
        assert_eq!(flat(&made.rows(&numbers.unsqueeze(2)).unwrap()), flat(&(&mask * 7)));
    }

    #[test]
    fn documents_of_a_row_may_be_interleaved() {
        let documents = Tensor::from_slice2(&[[3_i64, 4, 3, 4, 4, 0]]);
        let made = layout(None, Some(&documents)).unwrap();
        assert_eq!(flat(&made.places), [0, 2, 1, 3, 4]);
        assert_eq!(flat(&made.positions), [0, 1, 0, 1, 2]);
        let mask = Tensor::from_slice2(&[[0_i64, 1, 1, 1, 1, 1]]);
        let made = layout(Some(&mask), Some(&documents)).unwrap();
        assert_eq!(flat(&made.places), [2, 1, 3, 4]);
        assert_eq!(flat(&made.positions), [1, 0, 1, 2], "a hidden token keeps its position");
    }

    #[test]
    fn full_rows_and_empty_ones_stay_as_they_are() {
        for value in [0_i64, 1] {
            assert!(layout(Some(&Tensor::full([2, 3], value, (Kind::Int64, Device::Cpu))), None).is_none());
        }
    }

    #[test]
    fn states_of_places_are_found_and_padding_has_zeros() {
        let mask = Tensor::from_slice2(&[[1_i64, 1, 1], [1, 0, 0]]);
        let made = layout(Some(&mask), None).unwrap();
        let states = Tensor::from_slice(&[40.0_f32, 10.0, 20.0, 30.0]).view([1, 4, 1]);
        let states = States { states, layout: Some(made) };
        let at = |places: &[i64]| flat(&states.at(Some(&Tensor::from_slice(places))).unwrap());
        assert_eq!(at(&[2, 0, 3]), [30, 10, 40]);
        assert_eq!(at(&[1, 5]), [20, 0]);
        assert_eq!(flat(&states.at(None).unwrap()), [10, 20, 30, 40, 0, 0]);
    }
}

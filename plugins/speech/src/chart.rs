//! Codes beside what was said.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_plugin::prelude::*;

/// How steady the codes of frames are, with pictures for the report: an utterance's filter banks, and below them a
/// band of colour for each frame's phone and one for its code.
///
/// # Example
/// ```mlm
/// model chart = speech.code_chart(pictures: 2)
/// ```
#[component(
    function,
    name = "speech.code_chart",
    inputs(
        features: "float[B, F, bands]" = "filter banks",
        ids: "int[B, T]" = "the code of each frame",
        phones: "int[B, T]" = "the phone of each frame",
    ),
    outputs(
        steady: "float[B]" = "of neighbours that are of the same phone, the share that have the same code; 1 where there are none",
    ),
    stops_gradient,
)]
pub struct CodeChart {
    /// Utterances of the first batch that are drawn.
    #[param(default = 0, range = "[0, 12]")]
    pub pictures: usize,
}

/// Pixels of a frame from left to right, of a band from top to bottom, and of a band of colour.
const CELL: (usize, usize, usize) = (12, 7, 16);
/// Pixels on the left, for names.
const MARGIN: usize = 52;

impl CodeChart {
    /// The share of steady neighbours, float[B].
    ///
    /// # Errors
    /// libtorch's.
    pub fn steady(ids: &Tensor, phones: &Tensor) -> Result<Tensor> {
        let length = ids.size2()?.1;
        let same = |x: &Tensor| -> Result<Tensor> {
            let others = (length - 1).max(0);
            Ok(x.f_narrow(1, 0, others)?.f_eq_tensor(&x.f_narrow(1, length.min(1), others)?)?)
        };
        let (codes, phones) = (same(ids)?, same(phones)?);
        let sum =
            |x: &Tensor| x.f_to_kind(Kind::Float)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
        let count = sum(&phones)?;
        let share = sum(&codes.f_logical_and(&phones)?)?.f_div(&count.f_clamp_min(1.0)?)?;
        Ok(share.f_masked_fill(&count.f_eq(0)?, 1.0)?)
    }
}

/// A colour that is always the same for a number, and unlike that of its neighbours.
fn colour(number: i64) -> String {
    format!("hsl({},70%,{}%)", number.rem_euclid(997) * 137 % 360, 40 + number.rem_euclid(3) * 15)
}

/// An SVG of one utterance; `features` are frame by frame.
fn picture(features: &[f64], bands: usize, ids: &[i64], phones: &[i64]) -> String {
    let (across, down, colours) = CELL;
    // Frames of sound that a code stands for.
    let frames = features.len() / bands.max(1) / ids.len().max(1);
    let (width, height) = (MARGIN + across * ids.len(), down * bands + 2 * (colours + 4));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let largest = features.iter().fold(1e-9_f64, |largest, x| largest.max(x.abs()));
    for (frame, row) in features.chunks(bands.max(1)).step_by(frames.max(1)).enumerate() {
        for (band, x) in row.iter().enumerate() {
            let grey = (255.0 * (0.5 - 0.5 * x / largest)).round().clamp(0.0, 255.0);
            let (left, top) = (MARGIN + across * frame, down * (bands - 1 - band));
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{across}\" height=\"{down}\" fill=\"rgb({grey},{grey},{grey})\"/>"
            );
        }
    }
    for (number, (name, values)) in [("phones", phones), ("codes", ids)].into_iter().enumerate() {
        let top = down * bands + 4 + number * (colours + 4);
        let _ = writeln!(svg, "<text x=\"2\" y=\"{}\">{name}</text>", top + colours - 4);
        for (frame, value) in values.iter().enumerate() {
            let left = MARGIN + across * frame;
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{across}\" height=\"{colours}\" fill=\"{}\"><title>{value}</title></rect>",
                colour(*value)
            );
        }
    }
    svg + "</svg>"
}

impl Component for CodeChart {
    /// Whether something was drawn.
    type State = AtomicBool;

    fn build(&self, _: &mut Build<'_>) -> Result<AtomicBool> {
        Ok(AtomicBool::new(self.pictures == 0))
    }

    fn call(
        &self,
        drawn: &AtomicBool,
        x: CodeChartInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<CodeChartOutputs> {
        if !drawn.swap(true, Ordering::Relaxed) {
            let row = |x: &Tensor, row: i64| {
                x.f_detach()?.f_select(0, row)?.f_reshape([-1])?.f_to_device(Device::Cpu)
            };
            for number in 0..x.ids.size2()?.0.min(self.pictures as i64) {
                let features = Vec::<f64>::try_from(&row(x.features, number)?.f_to_kind(Kind::Double)?)?;
                let ids = Vec::<i64>::try_from(&row(x.ids, number)?)?;
                let phones = Vec::<i64>::try_from(&row(x.phones, number)?)?;
                let bands = x.features.size3()?.2 as usize;
                let svg = picture(&features, bands, &ids, &phones);
                cx.artifact(&format!("utterance {}", number + 1), "image/svg+xml", svg.as_bytes());
            }
        }
        Ok(CodeChartOutputs { steady: Self::steady(x.ids, x.phones)? })
    }
}

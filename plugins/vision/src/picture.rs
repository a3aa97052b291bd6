//! An image, what was seen of it, and what became of the rest.

use std::fmt::Write;

const SIDE: f64 = 120.0;
const GAP: f64 = 10.0;

/// An SVG of three panels from pixels, row by row, with numbers from 0 (black) to 1.
pub(crate) fn picture(width: usize, right: &[[f64; 3]], hidden: &[bool], filled: &[[f64; 3]]) -> String {
    let width = width.max(1);
    let pixel = SIDE / width as f64;
    let height = pixel * right.len().div_ceil(width) as f64;
    let whole = 3.0 * SIDE + 4.0 * GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole} {0:.1}\" width=\"{whole}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{whole}\" height=\"{0:.1}\" fill=\"white\"/>\n",
        height + 2.0 * GAP + 14.0
    );
    let panels = [("image", right, None), ("seen", right, Some(hidden)), ("predicted", filled, None)];
    for (number, (name, pixels, hidden)) in panels.into_iter().enumerate() {
        let left = GAP + number as f64 * (SIDE + GAP);
        for (place, colour) in pixels.iter().enumerate() {
            let covered = hidden.is_some_and(|hidden| hidden.get(place) == Some(&true));
            let fill = if covered { "#e3a44c".to_owned() } else { hexadecimal(*colour) };
            let (x, y) = (left + (place % width) as f64 * pixel, GAP + (place / width) as f64 * pixel);
            // A little larger than a pixel, so that no seam shows.
            let side = pixel + 0.2;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{side:.2}\" height=\"{side:.2}\" fill=\"{fill}\"/>"
            );
        }
        let (middle, below) = (left + SIDE / 2.0, GAP + height + 16.0);
        let _ =
            writeln!(svg, "<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{name}</text>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn hexadecimal(colour: [f64; 3]) -> String {
    let [red, green, blue] = colour.map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

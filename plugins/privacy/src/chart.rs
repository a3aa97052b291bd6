//! A line chart.

use std::fmt::Write;

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Colours that people tell apart whatever their sight (Okabe and Ito, 2008).
const COLOURS: [&str; 4] = ["#000000", "#0072b2", "#d55e00", "#009e73"];
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
/// Left, top, right, bottom.
const MARGINS: [f64; 4] = [52.0, 34.0, 90.0, 40.0];

/// An SVG with all curves over common axes from 0, names at their ends.
pub(crate) fn chart(title: &str, x_name: &str, y_name: &str, curves: &[Curve]) -> String {
    let largest = |of: fn(&(f64, f64)) -> f64| {
        curves.iter().flat_map(|curve| &curve.points).map(of).fold(1e-9, f64::max)
    };
    let (x_top, y_top) = (largest(|p| p.0), largest(|p| p.1) * 1.05);
    let [left, top, right, bottom] = MARGINS;
    let x = |value: f64| left + value / x_top * (WIDTH - left - right);
    let y = |value: f64| HEIGHT - bottom - value / y_top * (HEIGHT - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"18\" font-size=\"12\">{title}</text>\n"
    );
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (tx, ty) = (x(share * x_top), y(share * y_top));
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{ty:.1}\" y2=\"{ty:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.2}</text>\
             <text x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            WIDTH - right,
            left - 6.0,
            ty + 4.0,
            share * y_top,
            HEIGHT - bottom + 16.0,
            share * x_top
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\
         <text x=\"14\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {:.1})\">{y_name}</text>",
        f64::midpoint(left, WIDTH - right),
        HEIGHT - 8.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0
    );
    // Names keep a line's height between each other.
    let mut ends: Vec<(usize, f64)> = curves
        .iter()
        .enumerate()
        .filter_map(|(place, curve)| Some((place, y(curve.points.last()?.1) + 4.0)))
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    for place in 1..ends.len() {
        ends[place].1 = ends[place].1.max(ends[place - 1].1 + 12.0);
    }
    for (place, label) in ends {
        let (curve, colour) = (&curves[place], COLOURS[place % COLOURS.len()]);
        let points: Vec<String> =
            curve.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{:.1}\" y=\"{label:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            WIDTH - right + 6.0,
            curve.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

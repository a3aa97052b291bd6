//! Line charts as inline SVG.

use super::text::{Form, digits, escape, large};
use std::fmt::Write;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 34.0;
/// Fewer points than this are drawn as points too, with their numbers.
const FEW: usize = 45;
/// Largest over smallest value from which a logarithmic axis shows more.
const LOGARITHMIC: f64 = 80.0;
/// Arms after this many share colours.
pub(super) const COLOURS: usize = 8;

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) seeds: usize,
}

/// A line with its spread.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Number of its colour.
    pub(super) colour: usize,
    /// Finite, in order of x.
    pub(super) points: Vec<Point>,
    /// Where values are not finite.
    pub(super) lost: Vec<f64>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) x_label: String,
    pub(super) form: Form,
    pub(super) lines: Vec<Line>,
}

/// A scale from values to places.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    fn place(&self, value: f64) -> f64 {
        let map = |v: f64| if self.logarithmic { v.max(f64::MIN_POSITIVE).ln() } else { v };
        let share = (map(value) - map(self.low)) / (map(self.high) - map(self.low));
        // Far outside is cut off anyway; endless numbers are no numbers to a reader of SVG.
        self.from + share.clamp(-20.0, 20.0) * (self.to - self.from)
    }

    fn ticks(&self, about: usize) -> Vec<f64> {
        if self.logarithmic {
            decades(self.low, self.high)
        } else {
            round_numbers(self.low, self.high, about)
        }
    }
}

/// Round numbers between two values, about so many.
pub(super) fn round_numbers(low: f64, high: f64, about: usize) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let raw = span / about.max(1) as f64;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|s| s * magnitude >= raw * 0.999).unwrap_or(10.0)
        * magnitude;
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
    (0..=count).map(|index| (first + index as f64) * step).collect()
}

fn decades(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let stride = ((last - first) as usize).div_ceil(6).max(1);
    let factors: &[f64] = if last - first <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (first..=last)
        .step_by(stride)
        .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
        .filter(|tick| (low * 0.999..=high * 1.001).contains(tick))
        .collect()
}

impl Chart {
    fn y_scale(&self) -> Option<Scale> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for point in points() {
            (low, high) = (low.min(point.mean), high.max(point.mean));
        }
        if !(low.is_finite() && high.is_finite()) {
            return None;
        }
        // One seed's outlier may leave the picture; what most of a band covers may not.
        let mut ends: Vec<f64> = points().flat_map(|point| [point.low, point.high]).collect();
        ends.sort_by(f64::total_cmp);
        let quantile = |share: f64| ends[((ends.len() - 1) as f64 * share).round() as usize];
        (low, high) = (low.min(quantile(0.02)), high.max(quantile(0.98)));
        let logarithmic = low > 0.0 && high / low > LOGARITHMIC;
        let (low, high) = if logarithmic {
            (low / 1.15, high * 1.15)
        } else {
            let span = high - low;
            let padding = if span > 0.0 { span * 0.06 } else { low.abs().max(1e-9) * 0.1 };
            // A quantity that cannot be negative is not drawn as if it could.
            let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
            ((low - padding).max(floor), high + padding)
        };
        Some(Scale { low, high, from: HEIGHT - BOTTOM, to: TOP, logarithmic })
    }

    fn x_scale(&self) -> Option<Scale> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for line in &self.lines {
            for x in line.points.iter().map(|point| point.x).chain(line.lost.iter().copied()) {
                (low, high) = (low.min(x), high.max(x));
            }
        }
        if !(low.is_finite() && high.is_finite()) {
            return None;
        }
        // Curves of a training begin at its beginning.
        let low = if low >= 0.0 && low < high * 0.25 { 0.0 } else { low };
        let high = if high > low { high } else { low + 1.0 };
        Some(Scale { low, high, from: LEFT, to: WIDTH - RIGHT, logarithmic: false })
    }

    /// A figure; nothing where there is nothing finite to show.
    pub(super) fn figure(&self, id: usize) -> String {
        let (Some(x), Some(y)) = (self.x_scale(), self.y_scale()) else {
            return self.empty();
        };
        let mut html = String::from("<figure>\n");
        self.caption(&mut html, &y);
        let _ = writeln!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n\
             <clipPath id=\"clip{id}\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/></clipPath>",
            escape(&format!("{}: {}", self.title, self.in_words())),
            WIDTH - LEFT - RIGHT,
            HEIGHT - TOP - BOTTOM
        );
        self.axes(&mut html, &x, &y);
        let _ = writeln!(html, "<g clip-path=\"url(#clip{id})\">");
        for line in &self.lines {
            band(&mut html, line, &x, &y);
        }
        for line in &self.lines {
            curve(&mut html, line, &x, &y);
        }
        html.push_str("</g>\n");
        for line in &self.lines {
            self.points(&mut html, line, &x, &y);
        }
        html.push_str("</svg>\n</figure>\n");
        html
    }

    fn caption(&self, html: &mut String, y: &Scale) {
        let mut note = self.note.clone();
        if y.logarithmic {
            note.push_str(if note.is_empty() { "logarithmic" } else { ", logarithmic" });
        }
        let _ = write!(html, "<figcaption>{}", escape(&self.title));
        if !note.is_empty() {
            let _ = write!(html, " <span class=\"faint\">{}</span>", escape(&note));
        }
        html.push_str("<br><span class=\"faint\">");
        let resolution = if y.logarithmic { None } else { Some((y.high - y.low) / 200.0) };
        for line in &self.lines {
            let Some(last) = line.points.last() else { continue };
            let value = match resolution {
                Some(resolution) => self.form.number(last.mean, resolution),
                None => self.form.short(last.mean),
            };
            let _ = write!(
                html,
                "<span class=\"c{}\" title=\"{} at the end\"><span class=\"key\"></span>{value}</span>&ensp; ",
                line.colour % COLOURS,
                escape(&line.name)
            );
        }
        html.push_str("</span></figcaption>\n");
    }

    fn in_words(&self) -> String {
        let ends: Vec<String> = self
            .lines
            .iter()
            .filter_map(|line| {
                Some(format!("{} ends at {}", line.name, self.form.short(line.points.last()?.mean)))
            })
            .collect();
        ends.join(", ")
    }

    fn empty(&self) -> String {
        format!(
            "<figure>\n<figcaption>{} <span class=\"faint\">{}</span></figcaption>\n\
             <p class=\"caption\">No value is finite.</p>\n</figure>\n",
            escape(&self.title),
            escape(&self.note)
        )
    }

    fn axes(&self, html: &mut String, x: &Scale, y: &Scale) {
        let ticks = y.ticks(5);
        let step = match ticks.as_slice() {
            [first, second, ..] if !y.logarithmic => (second - first).abs(),
            _ => 0.0,
        };
        for tick in &ticks {
            let place = y.place(*tick);
            let text = if step > 0.0 {
                let text = digits(tick * self.form.factor(), step * self.form.factor() * 1.01);
                if tick.abs() >= 1e5 { large(*tick) } else { text }
            } else {
                let scaled = tick * self.form.factor();
                if scaled >= 1e5 { large(scaled) } else { digits(scaled, scaled.abs()) }
            };
            let unit = if self.form == Form::Plain { "" } else { self.form.unit() };
            let _ = writeln!(
                html,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{place:.1}\" y2=\"{place:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}{unit}</text>",
                WIDTH - RIGHT,
                LEFT - 7.0,
                place + 4.0
            );
        }
        let bottom = HEIGHT - BOTTOM;
        let _ = writeln!(
            html,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{bottom}\" y2=\"{bottom}\"/>",
            WIDTH - RIGHT
        );
        for tick in x.ticks(6) {
            let place = x.place(tick);
            let text = if tick >= 10_000.0 { large(tick) } else { digits(tick, 1.0) };
            // A whole thousand needs no decimals.
            let text = text.replace(".00 ", " ").replace(".0 ", " ");
            let _ = writeln!(
                html,
                "<line class=\"axis\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 4.0,
                bottom + 17.0
            );
        }
        let _ = writeln!(
            html,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 3.0,
            escape(&self.x_label)
        );
    }

    /// Single values of short curves, and where a line has none.
    fn points(&self, html: &mut String, line: &Line, x: &Scale, y: &Scale) {
        let colour = line.colour % COLOURS;
        if line.points.len() <= FEW {
            for point in &line.points {
                let spread = if point.seeds > 1 {
                    format!(
                        " ({} to {}, {} seeds)",
                        self.form.short(point.low),
                        self.form.short(point.high),
                        point.seeds
                    )
                } else {
                    String::new()
                };
                let _ = writeln!(
                    html,
                    "<circle class=\"point c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\"><title>{}</title></circle>",
                    x.place(point.x),
                    y.place(point.mean),
                    escape(&format!(
                        "{}, {} {}: {}{spread}",
                        line.name,
                        self.x_label,
                        digits(point.x, 1.0),
                        self.form.short(point.mean)
                    ))
                );
            }
        }
        let at = HEIGHT - BOTTOM - 6.0;
        for place in line.lost.iter().map(|lost| x.place(*lost)) {
            let _ = writeln!(
                html,
                "<path class=\"lost c{colour}\" d=\"M{:.1} {:.1}l6 6m0 -6l-6 6\"><title>{}</title></path>",
                place - 3.0,
                at - 3.0,
                escape(&format!("{}: not a finite number", line.name))
            );
        }
    }
}

fn band(html: &mut String, line: &Line, x: &Scale, y: &Scale) {
    if !line.points.iter().any(|point| point.high > point.low) {
        return;
    }
    let mut path = String::new();
    for point in &line.points {
        let _ = write!(path, "{:.1},{:.1} ", x.place(point.x), y.place(point.high));
    }
    for point in line.points.iter().rev() {
        let _ = write!(path, "{:.1},{:.1} ", x.place(point.x), y.place(point.low));
    }
    let _ =
        writeln!(html, "<polygon class=\"band c{}\" points=\"{}\"/>", line.colour % COLOURS, path.trim_end());
}

fn curve(html: &mut String, line: &Line, x: &Scale, y: &Scale) {
    let mut path = String::new();
    for point in &line.points {
        let _ = write!(path, "{:.1},{:.1} ", x.place(point.x), y.place(point.mean));
    }
    let _ = writeln!(
        html,
        "<polyline class=\"mean c{}\" points=\"{}\"><title>{}</title></polyline>",
        line.colour % COLOURS,
        path.trim_end(),
        escape(&line.name)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(round_numbers(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(round_numbers(-0.3, 0.3, 3), [-0.2, 0.0, 0.2]);
        assert_eq!(round_numbers(3.0, 3.0, 5), [3.0]);
        assert_eq!(decades(0.001, 10.0), [0.001, 0.01, 0.1, 1.0, 10.0]);
        assert_eq!(decades(1.0, 50.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert!(round_numbers(f64::NAN, 1.0, 5).len() == 1);
    }

    fn chart(values: &[f64]) -> Chart {
        let point = |(index, mean): (usize, &f64)| Point {
            x: index as f64,
            mean: *mean,
            low: *mean,
            high: *mean,
            seeds: 1,
        };
        let line = Line {
            name: "a".into(),
            colour: 0,
            points: values.iter().enumerate().map(point).collect(),
            lost: Vec::new(),
        };
        Chart {
            title: "t".into(),
            note: String::new(),
            x_label: "update".into(),
            form: Form::Plain,
            lines: vec![line],
        }
    }

    #[test]
    fn the_axis_is_logarithmic_where_that_shows_more() {
        assert!(chart(&[100.0, 10.0, 0.5]).y_scale().unwrap().logarithmic);
        assert!(!chart(&[10.0, 2.0]).y_scale().unwrap().logarithmic);
        assert!(!chart(&[100.0, 0.0]).y_scale().unwrap().logarithmic);
        assert!(chart(&[100.0, 10.0, 0.5]).figure(0).contains("logarithmic"));
    }

    #[test]
    fn constant_and_empty_curves_are_drawn_too() {
        let constant = chart(&[0.5, 0.5]).figure(0);
        assert!(constant.contains("polyline") && !constant.contains("NaN"));
        assert!(!chart(&[1e300, -1e300]).figure(0).contains("NaN"));
        assert!(chart(&[]).figure(0).contains("No value is finite"));
    }
}

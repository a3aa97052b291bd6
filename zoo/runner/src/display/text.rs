//! Numbers and times as people read them.

/// `1h 05m`, `2m 05s`, `12s`, `0.4s`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

/// `1.2 MB`, in powers of ten.
pub(crate) fn bytes(count: f64) -> String {
    scaled(count, &["B", "kB", "MB", "GB", "TB"])
}

/// `14M`, `1.3k`.
pub(crate) fn count(count: f64) -> String {
    scaled(count, &["", "k", "M", "B", "T"]).replace(' ', "")
}

/// `3.2 PFLOP`
pub(crate) fn operations(count: f64) -> String {
    scaled(count, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"])
}

fn scaled(count: f64, units: &[&str]) -> String {
    let mut value = count;
    let mut unit = 0;
    while value.abs() >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let number = if unit == 0 { format!("{value:.0}") } else { significant(value, 3) };
    format!("{number} {}", units[unit]).trim_end().to_owned()
}

/// So many significant digits, without an exponent where that is readable.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let places = (digits as f64 - 1.0 - magnitude).max(0.0) as usize;
    format!("{value:.places$}")
}

/// A value as its metric is read: shares as percentages.
pub(crate) fn value(value: f64, percent: bool) -> String {
    if percent { format!("{:.1}%", value * 100.0) } else { significant(value, 4) }
}

/// A difference of values: shares in points.
pub(crate) fn difference(value: f64, percent: bool) -> String {
    let (text, unit) =
        if percent { (format!("{:.1}", value * 100.0), " pt") } else { (significant(value, 4), "") };
    format!("{}{unit}", text.replace('-', "−"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(duration(0.44), "0.4s");
        assert_eq!(duration(59.7), "1m 00s");
        assert_eq!(duration(125.0), "2m 05s");
        assert_eq!(duration(3900.0), "1h 05m");
        assert_eq!(duration(f64::INFINITY), "?");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1_234_567.0), "1.23 MB");
        assert_eq!(count(14_123_456.0), "14.1M");
        assert_eq!(operations(3.2e15), "3.20 PFLOP");
    }

    #[test]
    fn numbers() {
        assert_eq!(significant(123.456, 4), "123.5");
        assert_eq!(significant(0.001234, 3), "0.00123");
        assert_eq!(significant(5e-7, 3), "5.00e-7");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(value(0.8125, true), "81.2%");
        assert_eq!(difference(-0.213, true), "−21.3 pt");
        assert_eq!(difference(-2.5, false), "−2.500");
    }
}

//! Values of expressions, their units, and their one conversion to the type that is asked for.

use serde_json::Value as Json;
use zoo_schema::ParameterType;
use zoo_schema::experiment::Schedule;

/// A unit as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `15%`
    Percent,
    /// `1 pt`: one percentage point.
    Points,
    /// `32 tok`
    Tokens,
    /// `128 seq`
    Sequences,
    /// `10k steps`
    Steps,
    /// `2 epochs`
    Epochs,
    /// `5 seeds`
    Seeds,
    /// `2 GiB`, in bytes.
    Size,
    /// `4 h`, in seconds.
    Duration,
}

impl Unit {
    /// The unit of that spelling, with the factor to its base.
    pub fn of(text: &str) -> Option<(Self, f64)> {
        Some(match text {
            "%" => (Self::Percent, 0.01),
            "pt" => (Self::Points, 0.01),
            "tok" => (Self::Tokens, 1.0),
            "seq" => (Self::Sequences, 1.0),
            "steps" => (Self::Steps, 1.0),
            "epochs" => (Self::Epochs, 1.0),
            "seeds" => (Self::Seeds, 1.0),
            "KiB" => (Self::Size, 1024.0),
            "MiB" => (Self::Size, 1024.0 * 1024.0),
            "GiB" => (Self::Size, 1024.0 * 1024.0 * 1024.0),
            "ms" => (Self::Duration, 1e-3),
            "s" => (Self::Duration, 1.0),
            "min" => (Self::Duration, 60.0),
            "h" => (Self::Duration, 3600.0),
            _ => return None,
        })
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Percent => "a percentage",
            Self::Points => "percentage points",
            Self::Tokens => "a number of tokens",
            Self::Sequences => "a number of sequences",
            Self::Steps => "a number of steps",
            Self::Epochs => "a number of epochs",
            Self::Seeds => "a number of seeds",
            Self::Size => "an amount of memory",
            Self::Duration => "a time",
        }
    }
}

/// What an expression is worth. Numbers are in base units.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true`, `false`
    Bool(bool),
    /// A number with the unit it was written with, if any.
    Number(f64, Option<Unit>),
    /// A string.
    Text(String),
    /// `asset("…")`
    Asset(String),
    /// A list.
    List(Vec<Value>),
    /// A component, by the name of its instance.
    Component {
        /// The instance.
        name: String,
        /// Its kind.
        kind: String,
    },
    /// `ramp(…)`, `cosine(…)`, `exponential(…)`, `steps_at(…)`
    Schedule(Schedule),
    /// `none`: not given, where something else would be in force.
    None,
    /// Wrong somewhere else: no further message.
    Unknown,
}

impl Value {
    /// A number without unit.
    pub fn number(value: f64) -> Self {
        Self::Number(value, None)
    }

    /// As a recipe would write it; none for what has no short form.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(value, unit) => written(*value, *unit),
            Self::Text(text) => Json::from(text.as_str()).to_string(),
            Self::Asset(uri) => format!("asset({})", Json::from(uri.as_str())),
            Self::List(items) => {
                let items: Option<Vec<String>> = items.iter().map(Self::text).collect();
                format!("[{}]", items?.join(", "))
            }
            Self::None => "none".to_owned(),
            Self::Component { .. } | Self::Schedule(_) | Self::Unknown => return None,
        })
    }

    /// In words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Bool(value) => format!("`{value}`"),
            Self::Number(value, None) => format!("the plain number {}", plain(*value)),
            Self::Number(value, Some(unit)) => format!("{} ({})", written(*value, Some(*unit)), unit.name()),
            Self::Text(text) => format!("the string \"{text}\""),
            Self::Asset(uri) => format!("the asset \"{uri}\""),
            Self::List(_) => "a list".to_owned(),
            Self::Component { name, kind } => format!("`{name}`, which is of kind {kind}"),
            Self::Schedule(_) => "a schedule".to_owned(),
            Self::None => "`none`".to_owned(),
            Self::Unknown => "an unknown value".to_owned(),
        }
    }
}

/// A number without needless digits.
pub fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e15) {
        format!("{value:e}")
    } else {
        // Through a short decimal, so that 0.15 * 100 is no 15.000000000000002.
        let text = format!("{value:.10}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// A number in base units as a recipe would write it.
pub fn written(value: f64, unit: Option<Unit>) -> String {
    match unit {
        None => plain(value),
        Some(Unit::Percent) => format!("{}%", plain(value * 100.0)),
        Some(Unit::Points) => format!("{} pt", plain(value * 100.0)),
        Some(Unit::Tokens) => format!("{} tok", plain(value)),
        Some(Unit::Sequences) => format!("{} seq", plain(value)),
        Some(Unit::Steps) => format!("{} steps", plain(value)),
        Some(Unit::Epochs) => format!("{} epochs", plain(value)),
        Some(Unit::Seeds) => format!("{} seeds", plain(value)),
        Some(Unit::Size) => [("GiB", 1073741824.0), ("MiB", 1048576.0)]
            .iter()
            .find(|(_, factor)| value >= *factor && value % factor == 0.0)
            .map_or_else(
                || format!("{} KiB", plain(value / 1024.0)),
                |(unit, f)| format!("{} {unit}", plain(value / f)),
            ),
        Some(Unit::Duration) => format!("{} s", plain(value)),
    }
}

/// The unit in which values of a type are written.
pub fn unit_of(kind: &ParameterType) -> Option<Unit> {
    match kind {
        ParameterType::Fraction => Some(Unit::Percent),
        ParameterType::Points => Some(Unit::Points),
        ParameterType::Tokens => Some(Unit::Tokens),
        ParameterType::Size => Some(Unit::Size),
        ParameterType::Duration => Some(Unit::Duration),
        _ => None,
    }
}

/// Why a value is none of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// A unit is missing; the text to be added after the number, and what it then means.
    MissingUnit(String),
    /// A unit that does not belong there.
    WrongUnit(Unit),
    /// Not a whole number.
    NotWhole(f64),
    /// Below zero.
    Negative(f64),
    /// No such choice.
    NoChoice(String),
    /// A component of another kind.
    OtherKind {
        /// The one that is there.
        kind: String,
        /// The one that is wanted.
        wanted: String,
    },
    /// Something else altogether.
    OtherType,
}

/// Whether a component of `kind` may stand where `wanted` is asked for.
pub fn kind_fits(kind: &str, wanted: &str) -> bool {
    kind == wanted
        || wanted == "any"
        || wanted == "model" && matches!(kind, "architecture" | "head" | "pooler")
}

/// Converts to JSON in base units.
pub fn convert(value: &Value, kind: &ParameterType) -> Result<Json, Mismatch> {
    use ParameterType as T;
    let whole = |number: f64| -> Result<Json, Mismatch> {
        // Products of shares, `hidden * 25%`, are whole up to rounding.
        let rounded = number.round();
        if (number - rounded).abs() > 1e-6 * rounded.abs().max(1.0) || rounded.abs() > 9e15 {
            return Err(Mismatch::NotWhole(number));
        }
        Ok(Json::from(rounded as i64))
    };
    match (kind, value) {
        (_, Value::Unknown) => Ok(Json::Null),
        (T::Bool, Value::Bool(value)) => Ok(Json::from(*value)),
        (T::Int, Value::Number(number, None)) => whole(*number),
        (T::Int, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Real, Value::Number(number, None | Some(Unit::Percent))) => Ok(Json::from(*number)),
        (T::Real, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Count, Value::Number(number, unit)) => match unit {
            None | Some(Unit::Sequences | Unit::Steps | Unit::Seeds | Unit::Tokens | Unit::Epochs) => {
                if *number < 0.0 {
                    return Err(Mismatch::Negative(*number));
                }
                whole(*number)
            }
            Some(unit) => Err(Mismatch::WrongUnit(*unit)),
        },
        (T::Tokens, Value::Number(number, None | Some(Unit::Tokens))) => {
            if *number < 0.0 {
                return Err(Mismatch::Negative(*number));
            }
            whole(*number)
        }
        (T::Tokens, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Fraction, Value::Number(number, Some(Unit::Percent))) => Ok(Json::from(*number)),
        (T::Fraction, Value::Number(number, None)) if *number == 0.0 => Ok(Json::from(0.0)),
        (T::Fraction, Value::Number(_, None)) => Err(Mismatch::MissingUnit("%".to_owned())),
        (T::Fraction, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Points, Value::Number(number, Some(Unit::Points))) => Ok(Json::from(*number)),
        (T::Points, Value::Number(number, None)) if *number == 0.0 => Ok(Json::from(0.0)),
        (T::Points, Value::Number(_, None)) => Err(Mismatch::MissingUnit(" pt".to_owned())),
        (T::Points, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Duration, Value::Number(number, Some(Unit::Duration))) => Ok(Json::from(*number)),
        (T::Duration, Value::Number(_, None)) => Err(Mismatch::MissingUnit(" s".to_owned())),
        (T::Duration, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Size, Value::Number(number, Some(Unit::Size))) => whole(*number),
        (T::Size, Value::Number(_, None)) => Err(Mismatch::MissingUnit(" MiB".to_owned())),
        (T::Size, Value::Number(_, Some(unit))) => Err(Mismatch::WrongUnit(*unit)),
        (T::Text | T::Path, Value::Text(text)) => Ok(Json::from(text.as_str())),
        (T::Asset, Value::Asset(uri)) => Ok(Json::from(uri.as_str())),
        (T::Asset, Value::Text(path)) => Ok(Json::from(format!("file:{path}"))),
        (T::OneOf(choices), Value::Text(text)) => {
            if choices.contains(text) {
                Ok(Json::from(text.as_str()))
            } else {
                Err(Mismatch::NoChoice(text.clone()))
            }
        }
        (T::List(inner), Value::List(items)) => {
            items.iter().map(|item| convert(item, inner)).collect::<Result<Vec<_>, _>>().map(Json::from)
        }
        (T::Component(wanted), Value::Component { name, kind }) => {
            if kind_fits(kind, wanted) {
                Ok(serde_json::json!({ "$instance": name }))
            } else {
                Err(Mismatch::OtherKind { kind: kind.clone(), wanted: wanted.clone() })
            }
        }
        _ => Err(Mismatch::OtherType),
    }
}

/// The value that JSON in base units stands for.
pub fn from_json(json: &Json, kind: &ParameterType) -> Value {
    match (json, kind) {
        (Json::Bool(value), _) => Value::Bool(*value),
        (Json::Number(number), _) => Value::Number(number.as_f64().unwrap_or(f64::NAN), unit_of(kind)),
        (Json::String(text), ParameterType::Asset) => Value::Asset(text.clone()),
        (Json::String(text), _) => Value::Text(text.clone()),
        (Json::Array(items), ParameterType::List(inner)) => {
            Value::List(items.iter().map(|item| from_json(item, inner)).collect())
        }
        _ => Value::Unknown,
    }
}

/// A value in base units as a recipe would write it.
pub fn json_text(json: &Json, kind: &ParameterType) -> String {
    match (json, kind) {
        (Json::Array(items), ParameterType::List(inner)) => {
            let items: Vec<String> = items.iter().map(|item| json_text(item, inner)).collect();
            format!("[{}]", items.join(", "))
        }
        (Json::Object(object), _) => match object.get("$instance") {
            Some(Json::String(name)) => name.clone(),
            _ => json.to_string(),
        },
        (Json::Number(number), _) => written(number.as_f64().unwrap_or(f64::NAN), unit_of(kind)),
        (Json::String(text), ParameterType::Asset) => format!("asset({})", Json::from(text.as_str())),
        _ => json.to_string(),
    }
}

/// A parsed range: `(0, 50%]`, `>= 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Bound below, and whether the bound itself is allowed.
    pub low: Option<(f64, bool)>,
    /// Bound above, and whether the bound itself is allowed.
    pub high: Option<(f64, bool)>,
}

impl Range {
    /// Reads a schema's range.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| -> Option<f64> {
            let text = text.trim();
            match text.strip_suffix('%') {
                Some(share) => Some(share.trim().parse::<f64>().ok()? / 100.0),
                None => text.parse().ok(),
            }
        };
        let text = text.trim();
        for (sign, low, inclusive) in
            [(">=", true, true), ("<=", false, true), (">", true, false), ("<", false, false)]
        {
            if let Some(rest) = text.strip_prefix(sign) {
                let bound = Some((number(rest)?, inclusive));
                return Some(if low {
                    Self { low: bound, high: None }
                } else {
                    Self { low: None, high: bound }
                });
            }
        }
        let open = text.chars().next()?;
        let close = text.chars().last()?;
        let (low, high) = text.get(1..text.len() - 1)?.split_once(',')?;
        Some(Self { low: Some((number(low)?, open == '[')), high: Some((number(high)?, close == ']')) })
    }

    /// Whether the number, in base units, is inside.
    pub fn contains(&self, value: f64) -> bool {
        let above = self.low.is_none_or(|(bound, inclusive)| value > bound || inclusive && value == bound);
        let below = self.high.is_none_or(|(bound, inclusive)| value < bound || inclusive && value == bound);
        above && below
    }

    /// In words: `between 0% and 50%`, `at least 1`.
    pub fn describe(&self, unit: Option<Unit>) -> String {
        match (self.low, self.high) {
            (Some((low, _)), Some((high, _))) => {
                format!("between {} and {}", written(low, unit), written(high, unit))
            }
            (Some((low, true)), None) => format!("at least {}", written(low, unit)),
            (Some((low, false)), None) => format!("above {}", written(low, unit)),
            (None, Some((high, true))) => format!("at most {}", written(high, unit)),
            (None, Some((high, false))) => format!("below {}", written(high, unit)),
            (None, None) => "any number".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_is_no_fraction() {
        let fraction = ParameterType::Fraction;
        assert_eq!(convert(&Value::number(15.0), &fraction), Err(Mismatch::MissingUnit("%".into())));
        assert_eq!(convert(&Value::Number(0.15, Some(Unit::Percent)), &fraction), Ok(Json::from(0.15)));
        assert_eq!(
            convert(&Value::Number(0.15, Some(Unit::Points)), &fraction),
            Err(Mismatch::WrongUnit(Unit::Points))
        );
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(convert(&Value::number(64.0000000001), &ParameterType::Count), Ok(Json::from(64)));
        assert_eq!(convert(&Value::number(64.5), &ParameterType::Count), Err(Mismatch::NotWhole(64.5)));
        assert_eq!(convert(&Value::number(-1.0), &ParameterType::Count), Err(Mismatch::Negative(-1.0)));
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        assert_eq!(written(0.15, Some(Unit::Percent)), "15%");
        assert_eq!(written(0.035, Some(Unit::Points)), "3.5 pt");
        assert_eq!(plain(5e-5), "5e-5");
        assert_eq!(plain(1_000_000.0), "1000000");
        assert_eq!(written(2147483648.0, Some(Unit::Size)), "2 GiB");
    }

    #[test]
    fn ranges() {
        let range = Range::parse("(0, 50%]").unwrap();
        assert!(!range.contains(0.0) && range.contains(0.5) && !range.contains(0.51));
        assert!(Range::parse(">= 1").unwrap().contains(1.0));
        assert!(Range::parse("sometimes").is_none());
    }
}

//! Arithmetic over parameter and dimension names: defaults that depend on other parameters, and the
//! cost of a call (`2 * B * T * hidden * vocabulary`).

use std::fmt;

/// A formula that cannot be read or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// Not a formula.
    #[error("`{text}` is no formula: {reason}, at character {at}")]
    Syntax {
        /// The whole text.
        text: String,
        /// What is wrong.
        reason: &'static str,
        /// Byte offset.
        at: usize,
    },
    /// A name that stands for nothing here.
    #[error("`{0}` is neither a parameter nor a dimension here")]
    UnknownName(String),
}

/// A parsed formula: `+ - * /`, parentheses, numbers, names, `min(a, b)`, `max(a, b)`.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// A number.
    Number(f64),
    /// A name.
    Name(String),
    /// An operation: one of `+ - * /`, `<` for min, `>` for max.
    Binary(char, Box<Formula>, Box<Formula>),
    /// A negated formula.
    Negative(Box<Formula>),
}

const DEPTH_LIMIT: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, FormulaError> {
        Err(FormulaError::Syntax { text: self.text.to_owned(), reason, at: self.at })
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn sum(&mut self, depth: usize) -> Result<Formula, FormulaError> {
        let mut left = self.product(depth)?;
        while let Some(op @ (b'+' | b'-')) = self.peek() {
            self.at += 1;
            left = Formula::Binary(op.into(), Box::new(left), Box::new(self.product(depth)?));
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result<Formula, FormulaError> {
        let mut left = self.atom(depth)?;
        while let Some(op @ (b'*' | b'/')) = self.peek() {
            self.at += 1;
            left = Formula::Binary(op.into(), Box::new(left), Box::new(self.atom(depth)?));
        }
        Ok(left)
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), FormulaError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.fail(reason)
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Formula, FormulaError> {
        if depth > DEPTH_LIMIT {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                let inner = self.sum(depth + 1)?;
                self.expect(b')', "`)` is missing")?;
                Ok(inner)
            }
            Some(b'-') => {
                self.at += 1;
                Ok(Formula::Negative(Box::new(self.atom(depth + 1)?)))
            }
            Some(b) if b.is_ascii_digit() => {
                let start = self.at;
                let bytes = self.text.as_bytes();
                while bytes.get(self.at).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
                    self.at += 1;
                }
                match self.text[start..self.at].parse() {
                    Ok(number) => Ok(Formula::Number(number)),
                    Err(_) => self.fail("no number"),
                }
            }
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => {
                let start = self.at;
                let bytes = self.text.as_bytes();
                while bytes.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                    self.at += 1;
                }
                let name = self.text[start..self.at].to_owned();
                if self.peek() != Some(b'(') {
                    return Ok(Formula::Name(name));
                }
                let op = match name.as_str() {
                    "min" => '<',
                    "max" => '>',
                    _ => return self.fail("only `min` and `max` are functions"),
                };
                self.at += 1;
                let left = self.sum(depth + 1)?;
                self.expect(b',', "`,` is missing")?;
                let right = self.sum(depth + 1)?;
                self.expect(b')', "`)` is missing")?;
                Ok(Formula::Binary(op, Box::new(left), Box::new(right)))
            }
            _ => self.fail("a number, a name or `(` is expected"),
        }
    }
}

impl Formula {
    /// Reads a formula.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        let mut parser = Parser { text, at: 0 };
        let formula = parser.sum(0)?;
        match parser.peek() {
            None => Ok(formula),
            Some(_) => parser.fail("nothing more was expected"),
        }
    }

    /// The value, with names looked up by `value_of`.
    pub fn evaluate(&self, value_of: &dyn Fn(&str) -> Option<f64>) -> Result<f64, FormulaError> {
        Ok(match self {
            Self::Number(number) => *number,
            Self::Name(name) => value_of(name).ok_or_else(|| FormulaError::UnknownName(name.clone()))?,
            Self::Negative(inner) => -inner.evaluate(value_of)?,
            Self::Binary(op, left, right) => {
                let (left, right) = (left.evaluate(value_of)?, right.evaluate(value_of)?);
                match op {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    '/' => left / right,
                    '<' => left.min(right),
                    _ => left.max(right),
                }
            }
        })
    }

    /// The names in it, in order, repeats included.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Name(name) => vec![name],
            Self::Negative(inner) => inner.names(),
            Self::Binary(_, left, right) => {
                let mut names = left.names();
                names.extend(right.names());
                names
            }
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
            Self::Negative(inner) => write!(f, "-({inner})"),
            Self::Binary('<', left, right) => write!(f, "min({left}, {right})"),
            Self::Binary('>', left, right) => write!(f, "max({left}, {right})"),
            Self::Binary(op, left, right) => write!(f, "({left} {op} {right})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        Formula::parse(text).unwrap().evaluate(&|n| (n == "hidden").then_some(8.0)).unwrap()
    }

    #[test]
    fn precedence_and_functions() {
        assert_eq!(value("1 + 2 * hidden"), 17.0);
        assert_eq!(value("(1 + 2) * -hidden / 4"), -6.0);
        assert_eq!(value("8 - 4 - 2"), 2.0);
        assert_eq!(value("max(hidden, 3) + min(1, 2)"), 9.0);
    }

    #[test]
    fn errors_are_errors() {
        for text in ["", "1 +", "(1", "1 2", "sin(1)", "min(1)", "#"] {
            assert!(Formula::parse(text).is_err(), "{text}");
        }
        assert!(Formula::parse(&"(".repeat(100_000)).is_err());
        assert!(Formula::parse(&"-".repeat(100_000)).is_err());
        assert_eq!(
            Formula::parse("x").unwrap().evaluate(&|_| None),
            Err(FormulaError::UnknownName("x".into()))
        );
    }
}

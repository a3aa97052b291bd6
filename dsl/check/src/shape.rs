//! Symbolic shapes: unification along the wires of a step.

use std::collections::HashMap;
use zoo_schema::{Dim, Dtype, PortType};

/// A dimension in a step: a size, an unknown that further wires may fix, or arithmetic on such.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// Known; may be fractional where it is an expected value (`B * T * rate`).
    Known(f64),
    /// Unknown number `n` of the step.
    Unknown(usize),
    /// A product.
    Product(Box<Size>, Box<Size>),
    /// A quotient.
    Quotient(Box<Size>, Box<Size>),
}

/// The type of a value in a step. `None` as shape: unknown, unifies with everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Option<Vec<Size>>,
}

/// The unknown dimensions of a step.
#[derive(Clone, Debug, Default)]
pub struct Unknowns {
    names: Vec<String>,
    bound: Vec<Option<Size>>,
}

/// Two shapes that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShapeMismatch {
    /// Numbers of dimensions differ.
    Rank,
    /// Dimension `0` differs.
    Dimension(usize),
}

impl Unknowns {
    /// A new unknown; `name` is what messages call it.
    pub fn fresh(&mut self, name: &str) -> Size {
        self.names.push(name.to_owned());
        self.bound.push(None);
        Size::Unknown(self.names.len() - 1)
    }

    /// The size with everything known put in.
    pub fn resolve(&self, size: &Size) -> Size {
        match size {
            Size::Known(_) => size.clone(),
            Size::Unknown(n) => match self.bound.get(*n) {
                Some(Some(bound)) => self.resolve(bound),
                _ => size.clone(),
            },
            Size::Product(a, b) => match (self.resolve(a), self.resolve(b)) {
                (Size::Known(a), Size::Known(b)) => Size::Known(a * b),
                (a, b) => Size::Product(Box::new(a), Box::new(b)),
            },
            Size::Quotient(a, b) => match (self.resolve(a), self.resolve(b)) {
                (Size::Known(a), Size::Known(b)) if b != 0.0 => Size::Known(a / b),
                (a, b) => Size::Quotient(Box::new(a), Box::new(b)),
            },
        }
    }

    /// The number, where it is known.
    pub fn value(&self, size: &Size) -> Option<f64> {
        match self.resolve(size) {
            Size::Known(value) => Some(value),
            _ => None,
        }
    }

    fn occurs(&self, n: usize, size: &Size) -> bool {
        match size {
            Size::Known(_) => false,
            Size::Unknown(m) => *m == n,
            Size::Product(a, b) | Size::Quotient(a, b) => self.occurs(n, a) || self.occurs(n, b),
        }
    }

    /// Makes two sizes equal, if they can be.
    pub fn unify(&mut self, left: &Size, right: &Size) -> bool {
        let (left, right) = (self.resolve(left), self.resolve(right));
        if left == right {
            return true;
        }
        match (&left, &right) {
            (Size::Unknown(n), other) | (other, Size::Unknown(n)) => {
                if !self.occurs(*n, other) {
                    self.bound[*n] = Some(other.clone());
                }
                true
            }
            (Size::Known(a), Size::Known(b)) => (a - b).abs() < 1e-9,
            // Arithmetic on unknowns may come out equal: nothing is claimed.
            _ => true,
        }
    }

    /// Makes two shapes equal, if they can be.
    pub fn unify_shapes(&mut self, left: &[Size], right: &[Size]) -> Result<(), ShapeMismatch> {
        if left.len() != right.len() {
            return Err(ShapeMismatch::Rank);
        }
        for (i, (left, right)) in left.iter().zip(right).enumerate() {
            if !self.unify(left, right) {
                return Err(ShapeMismatch::Dimension(i));
            }
        }
        Ok(())
    }

    /// As messages show it: `float[B, T, 256]`.
    pub fn show(&self, kind: &Type) -> String {
        if !kind.dtype.has_shape() {
            return kind.dtype.name().to_owned();
        }
        let Some(shape) = &kind.shape else { return format!("{}[?]", kind.dtype.name()) };
        let dims: Vec<String> = shape.iter().map(|size| self.show_size(size)).collect();
        format!("{}[{}]", kind.dtype.name(), dims.join(", "))
    }

    fn show_size(&self, size: &Size) -> String {
        match self.resolve(size) {
            Size::Known(value) => crate::value::plain(value),
            Size::Unknown(n) => self.names.get(n).cloned().unwrap_or_default(),
            Size::Product(a, b) => format!("{}*{}", self.show_size(&a), self.show_size(&b)),
            Size::Quotient(a, b) => format!("{}/{}", self.show_size(&a), self.show_size(&b)),
        }
    }
}

/// Dimension names of one call: parameters with their values, and free names made unknown once.
#[derive(Debug, Default)]
pub struct Names {
    sizes: HashMap<String, Size>,
}

impl Names {
    /// With the numeric parameters of the instance.
    pub fn new(parameters: impl IntoIterator<Item = (String, f64)>) -> Self {
        Self { sizes: parameters.into_iter().map(|(name, value)| (name, Size::Known(value))).collect() }
    }

    /// The size of a name.
    pub fn get(&self, name: &str) -> Option<&Size> {
        self.sizes.get(name)
    }

    /// Every name with its size.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Size)> {
        self.sizes.iter()
    }

    fn size(&mut self, dim: &Dim, unknowns: &mut Unknowns) -> Size {
        match dim {
            Dim::Size(size) => Size::Known(*size as f64),
            Dim::Name(name) => self.sizes.entry(name.clone()).or_insert_with(|| unknowns.fresh(name)).clone(),
            Dim::Product(a, b) => {
                Size::Product(Box::new(self.size(a, unknowns)), Box::new(self.size(b, unknowns)))
            }
            Dim::Quotient(a, b) => {
                Size::Quotient(Box::new(self.size(a, unknowns)), Box::new(self.size(b, unknowns)))
            }
            Dim::Rest => unknowns.fresh("..."),
        }
    }

    /// The type of a port in this call. A shape with `...` matches any number of leading
    /// dimensions: those of `given` where it is known.
    pub fn instantiate(&mut self, port: &PortType, given: Option<&[Size]>, unknowns: &mut Unknowns) -> Type {
        if port.shape.first() == Some(&Dim::Rest) {
            let tail: Vec<Size> = port.shape[1..].iter().map(|dim| self.size(dim, unknowns)).collect();
            let shape = match (given, self.sizes.contains_key("...")) {
                (Some(given), _) if given.len() >= tail.len() => {
                    let mut shape = given[..given.len() - tail.len()].to_vec();
                    shape.extend(tail);
                    Some(shape)
                }
                _ => None,
            };
            return Type { dtype: port.dtype, shape };
        }
        let shape = port.shape.iter().map(|dim| self.size(dim, unknowns)).collect();
        Type { dtype: port.dtype, shape: Some(shape) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> PortType {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_parameters_are_their_values() {
        let mut unknowns = Unknowns::default();
        let mut names = Names::new([("hidden".to_owned(), 256.0)]);
        let kind = names.instantiate(&port("float[B, T, hidden/2]"), None, &mut unknowns);
        assert_eq!(unknowns.show(&kind), "float[B, T, 128]");
    }

    #[test]
    fn unification_goes_both_ways_and_through_chains() {
        let mut unknowns = Unknowns::default();
        let (a, b) = (unknowns.fresh("B"), unknowns.fresh("N"));
        assert!(unknowns.unify(&a, &b));
        assert!(unknowns.unify(&b, &Size::Known(8.0)));
        assert_eq!(unknowns.value(&a), Some(8.0));
        assert!(!unknowns.unify(&a, &Size::Known(9.0)));
        let product = Size::Product(Box::new(a.clone()), Box::new(Size::Known(2.0)));
        assert_eq!(unknowns.value(&product), Some(16.0));
    }

    #[test]
    fn a_size_inside_itself_is_left_alone() {
        let mut unknowns = Unknowns::default();
        let a = unknowns.fresh("B");
        let twice = Size::Product(Box::new(a.clone()), Box::new(Size::Known(2.0)));
        assert!(unknowns.unify(&a, &twice));
        assert_eq!(unknowns.value(&a), None);
    }

    #[test]
    fn any_leading_dimensions() {
        let mut unknowns = Unknowns::default();
        let mut names = Names::default();
        let given = [Size::Known(2.0), Size::Known(3.0), Size::Known(4.0)];
        let kind = names.instantiate(&port("float[..., H]"), Some(&given), &mut unknowns);
        assert_eq!(kind.shape.unwrap().len(), 3);
    }
}

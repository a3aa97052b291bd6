//! Arithmetic of steps: on tensors with broadcasting, and on plain numbers.

use crate::{EngineError, Result};
use tch::{Kind, Scalar, Tensor};
use zoo_schema::experiment::Operator;

/// An operand or a result.
#[derive(Debug)]
pub(crate) enum Operand {
    /// A tensor.
    Tensor(Tensor),
    /// A number.
    Number(f64),
}

impl Operand {
    /// The tensor, made on that device where it is a number.
    pub(crate) fn into_tensor(self, device: tch::Device) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Number(number) => Ok(Tensor::f_full([0_i64; 0], number, (Kind::Float, device))?),
        }
    }
}

/// The result on numbers; truth values are 1 and 0.
pub(crate) fn on_numbers(operator: Operator, operands: &[f64]) -> Result<f64> {
    let truth = |yes: bool| f64::from(u8::from(yes));
    Ok(match (operator, operands) {
        (Operator::Add, [a, b]) => a + b,
        (Operator::Subtract, [a, b]) => a - b,
        (Operator::Multiply, [a, b]) => a * b,
        (Operator::Divide, [a, b]) => a / b,
        (Operator::Negate, [a]) => -a,
        (Operator::Equal, [a, b]) => truth(a == b),
        (Operator::NotEqual, [a, b]) => truth(a != b),
        (Operator::Less, [a, b]) => truth(a < b),
        (Operator::Greater, [a, b]) => truth(a > b),
        (Operator::And, [a, b]) => truth(*a != 0.0 && *b != 0.0),
        (Operator::Or, [a, b]) => truth(*a != 0.0 || *b != 0.0),
        (Operator::Not, [a]) => truth(*a == 0.0),
        _ => return Err(wrong_number(operator, operands.len())),
    })
}

fn wrong_number(operator: Operator, count: usize) -> EngineError {
    EngineError::Experiment(format!("{operator:?} does not take {count} operands"))
}

/// Truth values are numbers in arithmetic: `(a == b) + (c == d)` is at most 2.
fn counted(tensor: &Tensor) -> Result<Tensor> {
    match tensor.f_kind()? {
        Kind::Bool => Ok(tensor.f_to_kind(Kind::Float)?),
        _ => Ok(tensor.shallow_clone()),
    }
}

/// A number as libtorch takes it: a whole one does not make a tensor of integers one of floats.
fn scalar(number: f64) -> Scalar {
    if number.fract() == 0.0 && number.abs() < 9e15 { (number as i64).into() } else { number.into() }
}

/// The result on tensors and numbers.
pub(crate) fn apply(operator: Operator, operands: &[Operand]) -> Result<Operand> {
    use Operand::{Number, Tensor as Of};
    use Operator as Op;
    if let Some(numbers) = operands
        .iter()
        .map(|o| match o {
            Number(number) => Some(*number),
            Of(_) => None,
        })
        .collect::<Option<Vec<f64>>>()
    {
        return on_numbers(operator, &numbers).map(Number);
    }
    let made = match (operator, operands) {
        (Op::Negate, [Of(a)]) => counted(a)?.f_neg()?,
        (Op::Not, [Of(a)]) => a.f_logical_not()?,
        (Op::Add, [Of(a), Of(b)]) => counted(a)?.f_add(&counted(b)?)?,
        (Op::Add, [Of(a), Number(b)] | [Number(b), Of(a)]) => counted(a)?.f_add_scalar(scalar(*b))?,
        (Op::Subtract, [Of(a), Of(b)]) => counted(a)?.f_sub(&counted(b)?)?,
        (Op::Subtract, [Of(a), Number(b)]) => counted(a)?.f_sub_scalar(scalar(*b))?,
        (Op::Subtract, [Number(a), Of(b)]) => counted(b)?.f_neg()?.f_add_scalar(scalar(*a))?,
        (Op::Multiply, [Of(a), Of(b)]) => counted(a)?.f_mul(&counted(b)?)?,
        (Op::Multiply, [Of(a), Number(b)] | [Number(b), Of(a)]) => counted(a)?.f_mul_scalar(scalar(*b))?,
        (Op::Divide, [Of(a), Of(b)]) => counted(a)?.f_div(&counted(b)?)?,
        (Op::Divide, [Of(a), Number(b)]) => counted(a)?.f_div_scalar(scalar(*b))?,
        (Op::Divide, [Number(a), Of(b)]) => {
            let b = counted(b)?;
            // A reciprocal in float: of integers it is none.
            let b = if b.f_is_floating_point()? { b } else { b.f_to_kind(Kind::Float)? };
            b.f_reciprocal()?.f_mul_scalar(scalar(*a))?
        }
        (Op::Equal, [Of(a), Of(b)]) => a.f_eq_tensor(b)?,
        (Op::Equal, [Of(a), Number(b)] | [Number(b), Of(a)]) => a.f_eq(scalar(*b))?,
        (Op::NotEqual, [Of(a), Of(b)]) => a.f_ne_tensor(b)?,
        (Op::NotEqual, [Of(a), Number(b)] | [Number(b), Of(a)]) => a.f_ne(scalar(*b))?,
        (Op::Less, [Of(a), Of(b)]) => a.f_lt_tensor(b)?,
        (Op::Less, [Of(a), Number(b)]) | (Op::Greater, [Number(b), Of(a)]) => a.f_lt(scalar(*b))?,
        (Op::Greater, [Of(a), Of(b)]) => a.f_gt_tensor(b)?,
        (Op::Greater, [Of(a), Number(b)]) | (Op::Less, [Number(b), Of(a)]) => a.f_gt(scalar(*b))?,
        (Op::And, [Of(a), Of(b)]) => a.f_logical_and(b)?,
        (Op::Or, [Of(a), Of(b)]) => a.f_logical_or(b)?,
        (Op::And, [Of(a), Number(b)] | [Number(b), Of(a)]) => {
            a.f_logical_and(&Tensor::f_full_like(a, scalar(*b))?)?
        }
        (Op::Or, [Of(a), Number(b)] | [Number(b), Of(a)]) => {
            a.f_logical_or(&Tensor::f_full_like(a, scalar(*b))?)?
        }
        _ => return Err(wrong_number(operator, operands.len())),
    };
    Ok(Of(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(operand: Operand) -> Vec<f64> {
        match operand {
            Operand::Tensor(tensor) => Vec::try_from(tensor.to_kind(Kind::Double)).unwrap(),
            Operand::Number(number) => vec![number],
        }
    }

    /// Every operator on tensor and tensor, tensor and number, number and tensor, number and number
    /// gives what numbers give.
    #[test]
    fn tensors_and_numbers_agree() {
        use Operator as Op;
        let all = [
            Op::Add,
            Op::Subtract,
            Op::Multiply,
            Op::Divide,
            Op::Equal,
            Op::NotEqual,
            Op::Less,
            Op::Greater,
            Op::And,
            Op::Or,
        ];
        for operator in all {
            for (a, b) in [(1.5, 2.0), (2.0, 2.0), (-3.0, 0.5), (1.0, -4.0)] {
                let expected = on_numbers(operator, &[a, b]).unwrap();
                let tensor = |v: f64| Operand::Tensor(Tensor::from_slice(&[v]));
                for operands in
                    [[tensor(a), tensor(b)], [tensor(a), Operand::Number(b)], [Operand::Number(a), tensor(b)]]
                {
                    let made = values(apply(operator, &operands).unwrap());
                    assert!((made[0] - expected).abs() < 1e-12, "{operator:?} {a} {b}: {made:?}");
                }
            }
        }
        for operator in [Op::Negate, Op::Not] {
            let made = apply(operator, &[Operand::Tensor(Tensor::from_slice(&[3.0]))]).unwrap();
            assert_eq!(values(made)[0], on_numbers(operator, &[3.0]).unwrap());
        }
        assert!(apply(Op::Not, &[]).is_err());
    }

    #[test]
    fn truth_values_count_and_integers_stay_whole() {
        let truth = || Operand::Tensor(Tensor::from_slice(&[true, false]));
        assert_eq!(values(apply(Operator::Add, &[truth(), truth()]).unwrap()), [2.0, 0.0]);
        let ids = || Operand::Tensor(Tensor::from_slice(&[3_i64, 4]));
        match apply(Operator::Add, &[ids(), Operand::Number(1.0)]).unwrap() {
            Operand::Tensor(t) => assert_eq!(t.kind(), Kind::Int64),
            Operand::Number(_) => panic!("a tensor was expected"),
        }
        assert_eq!(values(apply(Operator::Divide, &[Operand::Number(6.0), ids()]).unwrap()), [2.0, 1.5]);
    }
}

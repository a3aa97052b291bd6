//! Gradients against finite differences, along random directions.

use crate::component::{Subject, is_float};
use crate::inputs::Inputs;
use crate::report::{Result, failed, skipped};
use crate::splits::{collect, forget_gradients, leaves, precise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};
use zoo_host::{InstanceId, Value, World};

/// One number that all differentiable outputs take part in, each element with its own weight.
fn scalar(subject: &Subject<'_>, world: &World, id: InstanceId, inputs: &Inputs) -> Result<Option<Tensor>> {
    let outputs = subject.call(world, id, &Subject::scope(false, true), inputs)?;
    let mut sum: Option<Tensor> = None;
    for (_, value) in outputs {
        let Some(Value::Tensor(output)) = value else { continue };
        if !is_float(&output) || !output.requires_grad() {
            continue;
        }
        let weights = Tensor::arange(output.numel() as i64, (output.kind(), output.device()))
            .f_mul_scalar(0.7)?
            .f_cos()?
            .f_view(output.size().as_slice())?;
        let term = output.f_mul(&weights)?.f_sum(None)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&term)?,
            None => term,
        });
    }
    Ok(sum)
}

pub(crate) fn check(subject: &Subject<'_>) -> Result<()> {
    let schema = subject.schema;
    if schema.effects.stops_gradient {
        return skipped("it says that no gradient flows through it");
    }
    let objective = schema.kind == "objective";
    let floats = schema.inputs.iter().any(crate::component::differentiable);
    if schema.effects.loader || !(floats || schema.effects.parameters) {
        return if objective {
            failed("an objective has an input with a gradient")
        } else {
            skipped("nothing flows through it")
        };
    }
    precise(subject, &subject.sized(&[]), 9, |world, id, inputs, kind| {
        along_directions(subject, world, id, inputs, kind, objective)
    })
}

fn along_directions(
    subject: &Subject<'_>,
    world: &World,
    id: InstanceId,
    inputs: &Inputs,
    kind: Kind,
    objective: bool,
) -> Result<()> {
    forget_gradients(world);
    let (inputs, leaves) = leaves(subject.schema, inputs)?;
    let Some(value) = scalar(subject, world, id, &inputs)? else {
        return if objective {
            failed("its loss has no gradient")
        } else {
            skipped("its outputs have no gradient")
        };
    };
    value.f_backward()?;
    let gradients = collect(world, &leaves);
    let mut tensors: Vec<Tensor> = leaves.iter().map(|(_, leaf)| leaf.shallow_clone()).collect();
    let parameters = world.parameters();
    tensors.extend(
        parameters
            .iter()
            .filter(|p| p.shared.is_none() && p.tensor.requires_grad())
            .map(|p| p.tensor.shallow_clone()),
    );
    // What computes in single precision inside is measured with a longer step, and less exactly. Layer norms over
    // vectors that start small (embeddings of deviation 0.02) curve within 1e-5, so that a shorter step is tried too.
    let measures: &[(f64, f64)] = if kind == Kind::Double {
        &[(1e-5, 1e-5), (1e-6, 1e-5), (1e-3, 1e-2)]
    } else {
        &[(1e-3, 2e-2), (1e-2, 2e-2)]
    };
    let mut random = ChaCha8Rng::seed_from_u64(subject.seed());
    // Each tensor along one direction, then all of them at once.
    let groups: Vec<Vec<usize>> =
        (0..tensors.len()).map(|i| vec![i]).chain([(0..tensors.len()).collect()]).collect();
    for group in groups {
        let mut expected = 0.0;
        let mut directions = Vec::new();
        for i in &group {
            let count = tensors[*i].numel();
            let values: Vec<f64> = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
            let direction = Tensor::from_slice(&values)
                .f_view(tensors[*i].size().as_slice())?
                .f_to_kind(tensors[*i].kind())?;
            expected += gradients[*i].1.f_mul(&direction)?.f_sum(Kind::Double)?.f_double_value(&[])?;
            directions.push(direction);
        }
        let shifted = |by: f64| -> Result<f64> {
            let _quiet = tch::no_grad_guard();
            for (i, direction) in group.iter().zip(&directions) {
                let _ = tensors[*i].detach().f_add_(&direction.f_mul_scalar(by)?)?;
            }
            drop(_quiet);
            let value = scalar(subject, world, id, &inputs)?;
            let _quiet = tch::no_grad_guard();
            for (i, direction) in group.iter().zip(&directions) {
                let _ = tensors[*i].detach().f_sub_(&direction.f_mul_scalar(by)?)?;
            }
            match value {
                Some(value) => Ok(value.f_double_value(&[])?),
                None => failed("its outputs lost their gradient"),
            }
        };
        let mut measured = 0.0;
        let mut fits = false;
        for (step, tolerance) in measures {
            measured = (shifted(*step)? - shifted(-*step)?) / (2.0 * step);
            let gap = (measured - expected).abs() / expected.abs().max(measured.abs()).max(1e-2);
            fits |= gap <= *tolerance;
        }
        if !fits {
            let names: Vec<&str> = group.iter().map(|i| gradients[*i].0.as_str()).collect();
            let what =
                if names.len() == 1 { format!("`{}`", names[0]) } else { "everything at once".to_owned() };
            return failed(format!(
                "the gradient with respect to {what} is {expected:.6e} along a direction where differences give {measured:.6e}"
            ));
        }
    }
    Ok(())
}

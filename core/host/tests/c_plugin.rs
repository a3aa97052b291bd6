//! A plugin in C, built by `cc`, does real work: the proof that the ABI is one of C.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{c_plugin, elements, instance, ramp, registry, scope, seeded};
use serde_json::json;
use tch::Tensor;
use zoo_host::Value;

fn squares(path: std::path::PathBuf) {
    let registry = registry(&[path]).unwrap();
    let world = seeded(&registry, 1);
    let objective = world.create(&instance("fit", "c.scaled_squares", json!({ "start": 2.5 }))).unwrap();
    let predicted = ramp(&[3, 2]).set_requires_grad(true);
    let wanted = Tensor::from_slice(&[1.0_f32, -1.0, 0.5, 3.0, 9.0, 0.0]).view([3, 2]);
    let inputs = (Value::Tensor(predicted.shallow_clone()), Value::Tensor(wanted.shallow_clone()));
    let ports = [("predicted", &inputs.0), ("wanted", &inputs.1)];
    let loss = world.call(objective, &scope("loss", 0), &ports).unwrap().take_tensor("loss").unwrap();

    // By hand: differences −1, 2, 1.5, 0, −5, 5, the sum of whose squares is 57.25.
    assert_eq!(loss.double_value(&[]), 2.5 * 57.25);
    assert_eq!(world.count(objective, &scope("loss", 0), &ports).unwrap(), 6.0);
    loss.backward();
    assert_eq!(elements(&predicted.grad()), [-5.0, 10.0, 7.5, 0.0, -25.0, 25.0]);
    let parameters = world.parameters();
    assert_eq!(parameters.len(), 1);
    assert_eq!(parameters[0].name, "fit.factor");
    assert_eq!(elements(&parameters[0].tensor.grad()), [57.25]);

    // Without gradients the guard switches them off for it, too.
    let quiet = zoo_host::CallScope { gradients: false, ..scope("loss", 1) };
    let loss = world.call(objective, &quiet, &ports).unwrap().take_tensor("loss").unwrap();
    assert!(!loss.requires_grad());
}

#[test]
fn a_plugin_in_c_computes_a_loss_with_exact_gradients() {
    squares(c_plugin());
}

/// The same source, built when ABI 1.0 was new: old files stay good.
#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn a_file_built_for_abi_1_0_is_still_loaded() {
    squares(common::repository("tests/plugins/c/abi-1.0-x86_64/libzoo_c.so"));
}

#[test]
fn its_errors_name_plugin_component_and_parameter() {
    let registry = registry(&[c_plugin()]).unwrap();
    let world = seeded(&registry, 1);
    let error = world.create(&instance("fit", "c.scaled_squares", json!({ "start": -1.0 }))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fit` (c.scaled_squares of plugin zoo-c), create: the factor must be positive (at `start`)"
    );
    assert!(world.parameters().is_empty());

    let objective = world.create(&instance("fit", "c.scaled_squares", json!({}))).unwrap();
    // libtorch's own functions refuse what cannot be broadcast; ours see it before.
    let (three, two) = (Value::Tensor(ramp(&[2, 3])), Value::Tensor(ramp(&[2, 2])));
    let error =
        world.call(objective, &scope("loss", 7), &[("predicted", &three), ("wanted", &two)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`fit` (c.scaled_squares of plugin zoo-c), step `fit`, `loss`, update 7, call: input `wanted` is a tensor of \
         Float [2, 2] (2 where `N` is 3); its schema says `float[B, N]`"
    );
}

#[test]
fn its_file_needs_no_libtorch_and_exports_one_symbol() {
    let linkage = zoo_discovery::linkage(&c_plugin()).unwrap();
    assert_eq!(linkage.exported, ["zoo_plugin_v1_zoo_c"]);
    assert_eq!(linkage.needed, ["libc.so.6"]);
    assert!(linkage.run_paths.is_empty());
}

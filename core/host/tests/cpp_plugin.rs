//! A plugin in C++ with libtorch's own headers, built by `c++`.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{elements, foreign_plugin, instance, registry, scope, seeded};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, Outputs, Value, World};

fn hide(world: &World, ids: &Tensor, scope: &CallScope) -> Outputs {
    let ids = Value::Tensor(ids.shallow_clone());
    world.call(world.instance("hide").unwrap(), scope, &[("ids", &ids)]).unwrap()
}

#[test]
fn a_plugin_in_cpp_masks_the_same_however_a_batch_is_split() {
    let path = foreign_plugin("cpp");
    let linkage = zoo_discovery::linkage(&path).unwrap();
    assert_eq!(linkage.exported, ["zoo_plugin_v1_zoo_cpp"]);
    assert!(linkage.needed.iter().any(|n| n == "libstdc++.so.6"));

    let registry = registry(&[path]).unwrap();
    let world = seeded(&registry, 3);
    let rate = json!({ "$schedule": { "shape": "ramp", "from": 0.0, "to": 0.5, "over": 10 } });
    world.create(&instance("hide", "cpp.hide", json!({ "rate": rate, "mask": 99 }))).unwrap();
    let ids = Tensor::arange(64 * 50, (Kind::Int64, Device::Cpu)).remainder(90).view([64, 50]);

    // Nothing at first, half of the tokens later: the rate varies in time.
    let none = hide(&world, &ids, &scope("mask", 0)).take_tensor("hidden").unwrap();
    assert_eq!(none.sum(Kind::Int64).int64_value(&[]), 0);
    let mut whole = hide(&world, &ids, &scope("mask", 10));
    let (masked, hidden) = (whole.take_tensor("ids").unwrap(), whole.take_tensor("hidden").unwrap());
    let share = hidden.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    assert!((share - 0.5).abs() < 0.05, "{share}");
    assert!(masked.eq_tensor(&ids.masked_fill(&hidden, 99)).all().int64_value(&[]) == 1);
    let (positions, labels) = (whole.take_tensor("positions").unwrap(), whole.take_tensor("labels").unwrap());
    assert_eq!(elements(&positions), elements(&hidden.flatten(0, -1).nonzero().squeeze_dim(1)));
    assert_eq!(elements(&labels), elements(&ids.masked_select(&hidden)));

    let mut parts = Vec::new();
    for (start, length) in [(0, 7), (7, 1), (8, 56)] {
        let scope = CallScope { row_offset: start as u64, ..scope("mask", 10) };
        parts.push(hide(&world, &ids.narrow(0, start, length), &scope).take_tensor("ids").unwrap());
    }
    assert_eq!(elements(&Tensor::cat(&parts, 0)), elements(&masked));

    // libtorch's exception arrives as an error with one line.
    let wrong = Value::Tensor(Tensor::zeros([2, 2, 2], (Kind::Int64, Device::Cpu)));
    let text = world
        .call(world.instance("hide").unwrap(), &scope("mask", 1), &[("ids", &wrong)])
        .unwrap_err()
        .to_string();
    assert!(text.contains("its schema says `int[B, T]`"), "{text}");
}

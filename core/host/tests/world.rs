//! What a world does for well-behaved components: parameters, sharing, sites, streams of randomness,
//! schedules, references, state, data, threads.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{call, elements, instance, probe, ramp, scope, seeded};
use serde_json::json;
use std::sync::Arc;
use tch::{Kind, Tensor};
use zoo_host::{CallScope, InstanceId, Value, World};
use zoo_schema::experiment::{Share, Sites};

fn projection(world: &World, name: &str) -> InstanceId {
    world.create(&instance(name, "probe.projection", json!({ "size": 4, "layers": 2 }))).unwrap()
}

fn by_name(world: &World) -> Vec<(String, Vec<f64>)> {
    let mut all: Vec<_> = world.parameters().iter().map(|p| (p.name.clone(), elements(&p.tensor))).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

#[test]
fn initial_values_depend_on_seed_and_name_alone() {
    let registry = probe();
    let first = seeded(&registry, 7);
    projection(&first, "a");
    projection(&first, "b");
    let second = seeded(&registry, 7);
    projection(&second, "b");
    second.create(&instance("noise", "probe.noise", json!({}))).unwrap();
    projection(&second, "a");
    assert_eq!(by_name(&first), by_name(&second), "the order of creation matters");
    let third = seeded(&registry, 8);
    projection(&third, "a");
    let value = |world: &World, name: &str| {
        by_name(world).into_iter().find(|(n, _)| n == name).map(|(_, values)| values).unwrap()
    };
    let name = "a.net.layers.0.map.weight";
    assert_ne!(value(&first, name), value(&third, name), "the seed does not matter");
    assert_ne!(value(&first, name), value(&first, "b.net.layers.0.map.weight"), "the name does not matter");
    assert_eq!(value(&first, "a.net.layers.0.map.bias"), [0.0; 4]);
}

#[test]
fn what_is_trained_is_chosen_by_name() {
    let world = seeded(&probe(), 1);
    projection(&world, "a");
    let frozen = zoo_schema::experiment::Instance {
        frozen: true,
        ..instance("b", "probe.projection", json!({ "layers": 1 }))
    };
    world.create(&frozen).unwrap();
    let trained = |names: &[&str]| -> Vec<String> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        world.train_only(&names).unwrap().into_iter().map(|p| p.name).collect()
    };
    assert_eq!(trained(&["a.net.layers.1"]), ["a.net.layers.1.map.weight", "a.net.layers.1.map.bias"]);
    assert!(world.parameters().iter().all(|p| p.tensor.requires_grad() == p.name.contains("a.net.layers.1")));
    assert_eq!(trained(&["a", "b"]).len(), 4, "what is frozen and buffers stay as they are");
    assert!(trained(&["b"]).is_empty());
    let error = world.train_only(&["a.net.layer.1".to_owned()]).unwrap_err().to_string();
    assert!(
        error.starts_with("nothing to train is named `a.net.layer.1`; did you mean `a.net.layers.1"),
        "{error}"
    );
}

#[test]
fn shared_parameters_are_the_same_tensors() {
    let world = seeded(&probe(), 1);
    projection(&world, "a");
    let share =
        |prefix: &str, from: &str| vec![Share { prefix: prefix.to_owned(), instance: from.to_owned() }];
    let mut second = instance("b", "probe.projection", json!({ "size": 4, "layers": 2 }));
    second.share = share("net.layers.0", "a");
    let second = world.create(&second).unwrap();
    let x = ramp(&[1, 4]);
    call(&world, second, &scope("n", 0), &x, "y").unwrap().sum(Kind::Float).backward();
    let parameter = |name: &str| world.parameters().into_iter().find(|p| p.name == name).unwrap();
    let (owner, other) = (parameter("a.net.layers.0.map.weight"), parameter("b.net.layers.0.map.weight"));
    assert_eq!(other.shared.as_deref(), Some("a.net.layers.0.map.weight"));
    assert!(owner.tensor.grad().defined(), "the gradient arrives at the owner");
    assert!(owner.tensor.data_ptr() == other.tensor.data_ptr());
    assert_eq!(world.state().len(), 5 + 3, "a shared tensor is saved once");
    // Of two phases, each may train it under its own name; it is trained once.
    let trained = world.train_only(&["a".to_owned(), "b".to_owned()]).unwrap();
    assert_eq!(trained.len(), 6);

    let fails = |instance: &zoo_schema::experiment::Instance| world.create(instance).unwrap_err().to_string();
    let mut wrong = instance("c", "probe.projection", json!({ "size": 3, "layers": 1 }));
    wrong.share = share("net.layers.0", "a");
    assert_eq!(
        fails(&wrong),
        "`c` (probe.projection of plugin zoo-probe), create: parameter `net.layers.0.map.weight`: it has the shape \
         [3, 3] of Float here, and [4, 4] of Float in `a`, with which it is shared"
    );
    let mut wrong = instance("c", "probe.projection", json!({ "size": 4, "layers": 3 }));
    wrong.share = share("net", "a");
    assert!(
        fails(&wrong).contains("it is shared with `a`, which has no parameter of that name; did you mean")
    );
    wrong.share = share("body", "a");
    assert!(
        fails(&wrong)
            .ends_with("`share` names `body`, but it has no parameter of that name or below it (at `share`)")
    );
    // A failed creation leaves nothing behind.
    assert_eq!(world.state().len(), 8);
    assert!(world.instance("c").is_none());
}

#[test]
fn state_goes_back_in_place_or_not_at_all() {
    let registry = probe();
    let (first, second) = (seeded(&registry, 1), seeded(&registry, 2));
    let (a, b) = (projection(&first, "m"), projection(&second, "m"));
    let x = ramp(&[2, 4]);
    let out = |world: &World, id| elements(&call(world, id, &scope("n", 0), &x, "y").unwrap());
    let before = out(&second, b);
    assert_ne!(out(&first, a), before);
    let state = first.state();
    type State = Vec<(String, Tensor)>;
    let spoilt = |change: &dyn Fn(&mut State)| {
        let mut state: State = state.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect();
        change(&mut state);
        second.load_state(&state).unwrap_err().to_string()
    };
    assert_eq!(spoilt(&|s| drop(s.pop())), "the saved state lacks `m.net.steps`");
    let text = spoilt(&|s| s[0].0 = "m.net.layers.0.map.weigth".to_owned());
    assert!(
        text.starts_with(
            "the saved state has `m.net.layers.0.map.weigth`, which no component asks for; did you mean"
        ),
        "{text}"
    );
    let text = spoilt(&|s| s[0].1 = ramp(&[2, 2]));
    assert_eq!(
        text,
        "`m.net.layers.0.map.weight` is [2, 2] of Float in the saved state and [4, 4] of Float in the model"
    );
    assert!(
        spoilt(&|s| s[0].1 = ramp(&[4, 4]).to_kind(Kind::Double)).contains("of Double in the saved state")
    );
    assert_eq!(out(&second, b), before, "a refused state changes nothing");
    second.load_state(&state).unwrap();
    assert_eq!(out(&first, a), out(&second, b));
}

fn adapter(name: &str, model: &str, sites: &[&str], shift: f64) -> zoo_schema::experiment::Instance {
    let mut made = instance(name, "probe.low_rank", json!({ "rank": 2, "shift": shift }));
    let names = sites.iter().map(|s| (*s).to_owned()).collect();
    made.on = Some(Sites { instance: model.to_owned(), names });
    made
}

#[test]
fn adapters_act_on_their_sites_in_order() {
    let world = seeded(&probe(), 1);
    let net = world.create(&instance("net", "probe.projection", json!({ "size": 4, "layers": 2 }))).unwrap();
    let x = ramp(&[2, 4]);
    let plain = call(&world, net, &scope("n", 0), &x, "y").unwrap();
    world.create(&adapter("low", "net", &["layers.0.map", "layers.1.map"], 0.0)).unwrap();
    let same = call(&world, net, &scope("n", 0), &x, "y").unwrap();
    assert_eq!(elements(&plain), elements(&same), "a fresh adapter changes nothing");
    let names: Vec<String> = world.parameters_of("low").into_iter().map(|p| p.name).collect();
    assert_eq!(
        names,
        ["low.layers.0.map.down", "low.layers.0.map.up", "low.layers.1.map.down", "low.layers.1.map.up"],
        "each site has parameters of its own"
    );
    // The last one sees what the ones before made of it.
    world.create(&adapter("shift", "net", &["layers.1.map"], 0.5)).unwrap();
    let shifted = call(&world, net, &scope("n", 0), &x, "y").unwrap();
    let difference = &shifted - &plain;
    assert!(elements(&difference).iter().all(|d| (d - 0.5).abs() < 1e-6));
    shifted.sum(Kind::Float).backward();
    for parameter in world.parameters_of("low").iter().filter(|p| p.name.ends_with("up")) {
        assert!(parameter.tensor.grad().defined(), "{} has no gradient", parameter.name);
    }
}

#[test]
fn sites_that_do_not_exist_are_named() {
    let world = seeded(&probe(), 1);
    let net = world
        .create(&instance("net", "probe.projection", json!({ "size": 4, "layers": 2, "silent": 1 })))
        .unwrap();
    let text = world.create(&adapter("low", "net", &["layers.2.map"], 0.0)).unwrap_err().to_string();
    assert_eq!(
        text,
        "`low` (probe.low_rank of plugin zoo-probe), create: model `net` has no site `layers.2.map`; did you mean \
         `layers.0.map`?"
    );
    let text = world.create(&adapter("low", "nat", &["layers.0.map"], 0.0)).unwrap_err().to_string();
    assert!(text.ends_with("it acts on `nat`, which is not there yet"), "{text}");
    // One that the model's schema promises and its code does not come by.
    world.create(&adapter("low", "net", &["layers.1.map"], 0.0)).unwrap();
    let text = call(&world, net, &scope("n", 0), &ramp(&[1, 4]), "y").unwrap_err().to_string();
    assert!(
        text.ends_with("an adapter acts on the site `layers.1.map`, which the model did not come by"),
        "{text}"
    );
    let low = world.instance("low").unwrap();
    let x = Value::Tensor(ramp(&[1, 4]));
    let text = world.call(low, &scope("n", 0), &[("x", &x), ("y", &x)]).unwrap_err().to_string();
    assert!(text.contains("an adapter is called by the model it acts on"), "{text}");
}

#[test]
fn random_numbers_depend_on_the_place_in_the_update_alone() {
    let registry = probe();
    let draw = |world: &World, name: &str, scope: &CallScope, rows: i64, output: &str| {
        let id = world.instance(name).unwrap();
        elements(&call(world, id, scope, &ramp(&[rows, 3]), output).unwrap())
    };
    let world = seeded(&registry, 1);
    for name in ["a", "b"] {
        world.create(&instance(name, "probe.noise", json!({}))).unwrap();
    }
    let whole = draw(&world, "a", &scope("n", 3), 8, "rows");
    let mut parts = Vec::new();
    for (row_offset, rows) in [(0, 1), (1, 4), (5, 3)] {
        parts.extend(draw(&world, "a", &CallScope { row_offset, ..scope("n", 3) }, rows, "rows"));
    }
    assert_eq!(parts, whole, "how an update is split is not semantics");
    assert_eq!(draw(&world, "a", &scope("n", 3), 8, "rows"), whole, "a second call draws the same");
    for (other, what) in [
        (draw(&world, "a", &scope("n", 4), 8, "rows"), "update"),
        (draw(&world, "a", &scope("m", 3), 8, "rows"), "node"),
        (draw(&world, "b", &scope("n", 3), 8, "rows"), "instance"),
    ] {
        assert_ne!(other, whole, "the {what} does not matter");
    }
    let second = seeded(&registry, 2);
    second.create(&instance("a", "probe.noise", json!({}))).unwrap();
    assert_ne!(draw(&second, "a", &scope("n", 3), 8, "rows"), whole, "the seed does not matter");

    // libtorch's generator is one for the process; no component's draws depend on another's.
    let alone = draw(&world, "a", &scope("n", 3), 4, "device");
    draw(&world, "b", &scope("other", 0), 7, "device");
    tch::manual_seed(99);
    assert_eq!(draw(&world, "a", &scope("n", 3), 4, "device"), alone);
    assert_ne!(draw(&world, "a", &CallScope { micro: 1, ..scope("n", 3) }, 4, "device"), alone);
}

#[test]
fn worlds_side_by_side_draw_what_they_draw_alone() {
    let registry = probe();
    let draws = |seed| -> Vec<Vec<f64>> {
        let world = seeded(&registry, seed);
        let noise = world.create(&instance("a", "probe.noise", json!({}))).unwrap();
        let input = ramp(&[64, 3]);
        (0..200).map(|n| elements(&call(&world, noise, &scope("n", n), &input, "device").unwrap())).collect()
    };
    let alone: Vec<_> = (0..4).map(draws).collect();
    std::thread::scope(|threads| {
        let all: Vec<_> = (0..4).map(|seed| threads.spawn(move || draws(seed))).collect();
        for (thread, alone) in all.into_iter().zip(alone) {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[test]
fn numbers_vary_in_time() {
    let world = seeded(&probe(), 1);
    let ramp_up = json!({ "$schedule": { "shape": "ramp", "from": 1.0, "to": 3.0, "over": 4 } });
    let fade = world.create(&instance("fade", "probe.fade", json!({ "factor": ramp_up }))).unwrap();
    let plain = world.create(&instance("plain", "probe.fade", json!({ "factor": 0.5 }))).unwrap();
    let x = Tensor::from_slice(&[2.0_f32]);
    for (update, expected) in [(0, 2.0), (1, 3.0), (2, 4.0), (4, 6.0), (100, 6.0)] {
        assert_eq!(elements(&call(&world, fade, &scope("n", update), &x, "y").unwrap()), [expected]);
        assert_eq!(elements(&call(&world, plain, &scope("n", update), &x, "y").unwrap()), [1.0]);
    }
    // It is the phase's own update that counts.
    let later = CallScope { phase_update: 2, ..scope("n", 1002) };
    assert_eq!(elements(&call(&world, fade, &later, &x, "y").unwrap()), [4.0]);
    let text = world.create(&instance("bad", "probe.fade", json!({ "factor": { "$schedule": {} } })));
    assert!(text.unwrap_err().to_string().contains("its schedule cannot be read"));
}

#[test]
fn components_call_each_other() {
    let world = seeded(&probe(), 1);
    let net = projection(&world, "net");
    let relay = |name: &str, to: &str, times: u64| {
        let to = json!({ "$instance": to });
        world.create(&instance(name, "probe.relay", json!({ "to": to, "times": times })))
    };
    let twice = relay("twice", "net", 2).unwrap();
    let x = ramp(&[2, 4]).set_requires_grad(true);
    let once = call(&world, net, &scope("n", 0), &x, "y").unwrap();
    let sum = call(&world, twice, &scope("n", 0), &x, "y").unwrap();
    assert_eq!(elements(&sum), elements(&(&once * 2.0)));
    sum.sum(Kind::Float).backward();
    assert!(x.grad().defined() && world.parameters()[0].tensor.grad().defined());
    // Two calls of one random component within a call draw differently, and the same each time.
    world.create(&instance("noise", "probe.noise", json!({}))).unwrap();
    let noisy = relay("noisy", "noise", 2).unwrap();
    let first = elements(&call(&world, noisy, &scope("n", 0), &x, "y").unwrap());
    assert_eq!(elements(&call(&world, noisy, &scope("n", 0), &x, "y").unwrap()), first);
    let single = relay("single", "noise", 1).unwrap();
    let one = elements(&call(&world, single, &scope("n", 0), &x, "y").unwrap());
    assert_ne!(one.iter().map(|v| v * 2.0).collect::<Vec<_>>(), first);

    let text = relay("lost", "nobody", 1).unwrap_err().to_string();
    assert!(text.ends_with("it refers to `nobody`, which is not there yet (at `to`)"), "{text}");
    // An error of the inner one names both.
    let narrow = ramp(&[2, 3]);
    let text = call(&world, twice, &scope("n", 5), &narrow, "y").unwrap_err().to_string();
    assert!(
        text.starts_with("`twice` (probe.relay of plugin zoo-probe), step `fit`, `n`, update 5, call: `net`")
    );
    assert!(text.contains("3 where `size` is 4"), "{text}");
}

#[test]
fn a_handle_that_was_not_given_is_refused() {
    let world = seeded(&probe(), 1);
    for depth in [0, 1, 7] {
        let name = format!("circle{depth}");
        let circle = world.create(&instance(&name, "probe.circle", json!({ "depth": depth }))).unwrap();
        let text = call(&world, circle, &scope("n", 0), &ramp(&[1, 1]), "y").unwrap_err().to_string();
        assert!(text.ends_with(&format!("handle {depth} is none of its references")), "{text}");
    }
}

#[test]
fn chains_of_calls_have_an_end() {
    let world = seeded(&probe(), 1);
    projection(&world, "r0");
    for i in 1..=40 {
        let to = json!({ "$instance": format!("r{}", i - 1) });
        world.create(&instance(&format!("r{i}"), "probe.relay", json!({ "to": to, "times": 1 }))).unwrap();
    }
    let x = ramp(&[1, 4]);
    drop(call(&world, world.instance("r20").unwrap(), &scope("n", 0), &x, "y").unwrap());
    let text = call(&world, world.instance("r40").unwrap(), &scope("n", 0), &x, "y").unwrap_err().to_string();
    assert!(text.ends_with("components call each other more than 32 deep"), "{text}");
}

#[test]
fn state_is_saved_and_taken_back() {
    let registry = probe();
    let world = seeded(&registry, 1);
    let mean = world.create(&instance("mean", "probe.counter", json!({}))).unwrap();
    let add = |world: &World, id, values: &[f32]| {
        let x = Value::Tensor(Tensor::from_slice(values));
        world.call(id, &scope("n", 0), &[("x", &x)]).unwrap();
    };
    let text = world.finish(mean, &scope("n", 0)).unwrap_err().to_string();
    assert!(text.ends_with("finish: there was nothing to measure"), "{text}");
    add(&world, mean, &[1.0, 2.0, 6.0]);
    assert_eq!(world.finish(mean, &scope("n", 0)).unwrap(), 3.0);
    let saved = world.save(mean).unwrap().unwrap();
    let other = seeded(&registry, 2);
    let resumed = other.create(&instance("mean", "probe.counter", json!({}))).unwrap();
    other.load(resumed, &saved).unwrap();
    for (world, id) in [(&world, mean), (&other, resumed)] {
        add(world, id, &[7.0]);
        assert_eq!(world.finish(id, &scope("n", 0)).unwrap(), 4.0);
        world.reset(id).unwrap();
        assert!(world.finish(id, &scope("n", 0)).is_err());
    }
    let text = other.load(resumed, b"{").unwrap_err().to_string();
    assert!(text.contains("`mean` (probe.counter of plugin zoo-probe), load: "), "{text}");
}

#[test]
fn data_is_read_by_index() {
    let world = seeded(&probe(), 1);
    let numbers = world.create(&instance("numbers", "probe.numbers", json!({ "count": 20 }))).unwrap();
    assert_eq!(world.length(numbers).unwrap(), 20);
    let columns = world.read(numbers, &scope("data", 0), &[3, 0, 3]).unwrap();
    assert_eq!(columns[0].0, "number");
    assert_eq!(elements(columns[0].1.tensor().unwrap()), [3.0, 0.0, 3.0]);
    assert!(matches!(&columns[1], (name, Value::Texts(t)) if name == "word" && t == &["3", "0", "3"]));
    let text = world.read(numbers, &scope("data", 2), &[20]).unwrap_err().to_string();
    assert!(text.contains("update 2, read: there is no example 20"), "{text}");
    // Columns of the recipe's choice; made once from other data.
    let parameters = json!({ "columns": ["left", "right"], "words": { "$instance": "numbers" } });
    let table = world.create(&instance("table", "probe.table", parameters)).unwrap();
    assert_eq!(&*world.columns(table).unwrap(), ["left", "right"]);
    let columns = world.read(table, &scope("data", 0), &[1]).unwrap();
    assert!(matches!(&columns[1], (name, Value::Texts(t)) if name == "right" && t == &["right 1"]));
}

#[test]
fn equal_content_has_equal_keys() {
    let registry = probe();
    let key = |seed: u64, count: u64, component: &str| {
        let world = seeded(&registry, seed);
        let parameters = if component == "probe.numbers" { json!({ "count": count }) } else { json!({}) };
        let id = world.create(&instance("any", component, parameters)).unwrap();
        world.content_key(id).unwrap()
    };
    assert_eq!(key(1, 5, "probe.numbers"), key(2, 5, "probe.numbers"), "what draws nothing has no seed");
    assert_ne!(key(1, 5, "probe.numbers"), key(1, 6, "probe.numbers"));
    assert_ne!(key(1, 0, "probe.noise"), key(2, 0, "probe.noise"));
}

/// Loader threads read side by side while the main thread computes with gradients.
#[test]
fn threads_do_not_disturb_each_other() {
    let world = Arc::new(seeded(&probe(), 1));
    let numbers = world.create(&instance("numbers", "probe.numbers", json!({ "count": 1000 }))).unwrap();
    let fade = world.create(&instance("fade", "probe.fade", json!({}))).unwrap();
    let mean = world.create(&instance("mean", "probe.counter", json!({}))).unwrap();
    assert!(world.concurrent(numbers).unwrap() && !world.concurrent(mean).unwrap());
    std::thread::scope(|threads| {
        for thread in 0..4_i64 {
            let world = &world;
            threads.spawn(move || {
                for i in 0..50 {
                    let columns = world.read(numbers, &scope("data", 0), &[thread * 50 + i]).unwrap();
                    assert_eq!(elements(columns[0].1.tensor().unwrap()), [(thread * 50 + i) as f64]);
                    // A fresh thread starts with gradients on; the scope decides.
                    let x = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
                    let inputs = Value::Tensor(x);
                    for gradients in [true, false] {
                        let scope = CallScope { gradients, ..scope("n", 0) };
                        let outputs = world.call(fade, &scope, &[("x", &inputs)]).unwrap();
                        let expected = i64::from(gradients);
                        assert!(matches!(outputs.get("gradients"), Some(Value::Int(g)) if *g == expected));
                    }
                    // Not concurrent: its calls wait for each other, and none is lost.
                    let one = Value::Tensor(Tensor::from_slice(&[1.0_f32, 3.0]));
                    world.call(mean, &scope("n", 0), &[("x", &one)]).unwrap();
                }
            });
        }
    });
    assert_eq!(world.finish(mean, &scope("n", 0)).unwrap(), 2.0);
    let saved = world.save(mean).unwrap().unwrap();
    assert_eq!(String::from_utf8(saved).unwrap(), "[800.0,400.0]");
}

#[test]
fn mistakes_of_the_caller_are_named() {
    let world = seeded(&probe(), 1);
    let net = projection(&world, "net");
    let x = Value::Tensor(ramp(&[1, 4]));
    let fails = |inputs: &[(&str, &Value)]| world.call(net, &scope("n", 0), inputs).unwrap_err().to_string();
    assert!(fails(&[]).ends_with("call: input `x` is missing"));
    assert!(fails(&[("x", &x), ("mask", &x)]).ends_with("there is no input `mask`"));
    assert!(
        fails(&[("x", &Value::Real(1.0))])
            .ends_with("input `x` is a number; its schema says `float[B, size]`")
    );
    let text = world.create(&instance("net", "probe.noise", json!({}))).unwrap_err().to_string();
    assert_eq!(text, "there are two instances of the name `net`");
    let text = world.create(&instance("n", "probe.nose", json!({}))).unwrap_err().to_string();
    assert!(
        text.starts_with("instance `n`: there is no component `probe.nose`; did you mean `probe.noise`"),
        "{text}"
    );
    let text =
        world.create(&instance("n", "probe.projection", json!({ "sizes": 3 }))).unwrap_err().to_string();
    assert!(text.ends_with("it has no parameter `sizes`; did you mean `size`? (at `sizes`)"), "{text}");
    let text = world.create(&instance("n", "probe.relay", json!({}))).unwrap_err().to_string();
    assert!(text.ends_with("its parameter `to` has no value (at `to`)"), "{text}");
    let text = world.count(net, &scope("n", 0), &[("x", &x)]).unwrap_err().to_string();
    assert!(text.contains("count: it has no such function: this component has no count"), "{text}");
}

/// A library stays in the process when everything that used it is gone.
#[test]
fn libraries_are_never_unmapped() {
    let registry = probe();
    let world = seeded(&registry, 1);
    let net = projection(&world, "net");
    let y = call(&world, net, &scope("n", 0), &ramp(&[1, 4]), "y").unwrap();
    drop((world, registry));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.lines().any(|l| l.ends_with("libzoo_probe.so") && l.contains(" r-xp ")));
    // What came out of it outlives it, history included.
    y.sum(Kind::Float).backward();
}

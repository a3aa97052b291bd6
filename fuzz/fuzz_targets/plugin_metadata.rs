#![no_main]

use libfuzzer_sys::fuzz_target;
use zoo_discovery::{Here, Limits, read_bytes};
use zoo_schema::formula::Formula;

#[path = "../../core/discovery/tests/common/mod.rs"]
mod common;

fuzz_target!(|data: &[u8]| {
    let (here, limits) = (Here::default(), Limits::default());
    let _ = read_bytes(data, &here, &limits);
    let facts = common::facts("zoo-fuzz").to_string().into_bytes();
    let framed = std::str::from_utf8(data).map(zoo_discovery::frame).unwrap_or_default();
    for (meta, schema) in [(data, data), (&facts, data), (&facts, &framed)] {
        let file = common::elf(&[(".zoo_meta", meta.to_vec()), (".zoo_schema", schema.to_vec())]);
        let Ok(content) = read_bytes(file.as_slice(), &here, &limits) else { continue };
        for component in &content.components {
            for text in [&component.cost.flops, &component.cost.parameters].into_iter().flatten() {
                if let Ok(formula) = Formula::parse(text) {
                    let _ = formula.evaluate(&|name| Some(name.len() as f64));
                }
            }
        }
    }
});

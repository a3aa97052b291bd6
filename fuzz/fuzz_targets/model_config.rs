#![no_main]

use libfuzzer_sys::fuzz_target;
use zoo_checkpoints::{Config, families};

/// Most layers that a configuration makes before it is refused, a thousand bytes or so each.
const LAYERS: usize = 100_000;

fuzz_target!(|text: &str| {
    let Ok(config) = Config::parse(text) else { return };
    if let Ok(specification) = families::text(&config) {
        assert!(specification.layers.len() <= LAYERS);
        assert!(specification.hidden > 0);
    }
    if let Ok(pair) = families::pair(&config) {
        assert!(pair.encoder.layers.len().max(pair.decoder.layers.len()) <= LAYERS);
    }
    let _ = families::vision(&config);
    let _ = config.of_class(&["ForMaskedLM", "Model"], Some(3));
});

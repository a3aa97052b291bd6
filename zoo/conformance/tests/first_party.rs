//! Every first-party plugin passes the suite, and so will the next one: they are found by their
//! folders.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::path::{Path, PathBuf};
use zoo_conformance::{Options, Outcome, Report, test};

/// Where cargo puts the libraries that tests depend on.
fn built(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    folder.join(format!("lib{}.so", name.replace('-', "_")))
}

/// Names of the crates under `plugins/` that export a plugin.
fn first_party() -> Vec<String> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(plugins).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        if !std::fs::read_to_string(folder.join("src/lib.rs")).unwrap().contains("export_plugin!") {
            continue;
        }
        let name = text.lines().find_map(|l| l.strip_prefix("name = \"")).unwrap();
        names.push(name.trim_end_matches('"').to_owned());
    }
    names.sort();
    names
}

/// What stands for the names in examples, and the plugins that have it; files under the names that
/// examples give them.
fn options(folder: &Path) -> Options {
    let corpus = include_str!("corpus.txt");
    for name in ["corpus.txt", "sentences.txt"] {
        std::fs::write(folder.join(name), corpus).unwrap();
    }
    std::fs::write(folder.join("tagged.conll"), "Peter B-PER\nsleeps O\n\nMary B-PER\ntoo O\n").unwrap();
    for name in ["books", "speeches"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for (i, line) in corpus.lines().enumerate() {
            std::fs::write(folder.join(name).join(format!("{i}.txt")), line.repeat(4)).unwrap();
        }
    }
    let (mut pairs, mut reviews) = ("left\tright\tscore\n".to_owned(), String::new());
    for (i, line) in corpus.lines().enumerate() {
        pairs += &format!("{line}\t{line}\t0.{i}\n");
        reviews += &format!("{}\n", serde_json::json!({ "text": line, "stars": i }));
    }
    std::fs::write(folder.join("pairs.tsv"), pairs).unwrap();
    std::fs::write(folder.join("reviews.jsonl"), reviews).unwrap();
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let photographs = plugins.join("vision/tests/photographs.parquet");
    std::fs::copy(photographs, folder.join("photographs.parquet")).unwrap();
    std::fs::create_dir_all(folder.join("recordings")).unwrap();
    // A second of a WAV file, 16 bits, 16 kHz.
    let mut sound =
        b"RIFF\x24\x7d\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\x7d\0\0"
            .to_vec();
    sound.extend((0..16_000_i32).flat_map(|n| ((n * 331 % 20_000) as i16 - 10_000).to_le_bytes()));
    for name in ["a", "b", "c"] {
        std::fs::write(folder.join(format!("recordings/{name}.wav")), &sound).unwrap();
    }
    let models = plugins.join("checkpoints/tests/golden");
    for (model, name) in [
        ("bert_mlm", "bert"),
        ("gpt2_clm", "gpt2"),
        ("electra_discriminator", "electra"),
        ("t5_seq2seq", "t5"),
        ("clip_vision", "clip_vision"),
        ("vit_cls", "vit"),
        ("vit_mae", "vit_mae"),
        ("wav2vec2_bert_ctc", "wav2vec2_bert"),
        ("llava_clm", "llava"),
    ] {
        let text = std::fs::read_to_string(models.join(model).join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        // The vector of a token that pads is not trained, which differences of the loss know nothing of.
        config["pad_token_id"] = serde_json::Value::Null;
        if model == "wav2vec2_bert_ctc" {
            // Frames may be hidden, and no layer is left out.
            config["apply_spec_augment"] = true.into();
            config["layerdrop"] = 0.into();
        }
        std::fs::write(folder.join(format!("{name}.json")), config.to_string()).unwrap();
    }
    Options {
        plugins: first_party().iter().map(|n| built(n)).collect(),
        surroundings: include_str!("surroundings.mlm").to_owned(),
        assets: Some(folder.to_owned()),
        sizes: ["vision_encoder", "image_classifier", "masked_image"]
            .map(|head| {
                let image = [("C", 3), ("H", 16), ("W", 16)].map(|(name, size)| (name.to_owned(), size));
                (format!("checkpoint.{head}"), image.into())
            })
            .into_iter()
            .chain(["speech_encoder", "ctc"].map(|head| {
                // N counts frames, which a family that takes them has as many of as T.
                let sound = [("T", 6), ("N", 6), ("F", 16)].map(|(name, size)| (name.to_owned(), size));
                (format!("checkpoint.{head}"), sound.into())
            }))
            // Rows of a few tokens leave nothing to draw.
            .chain([("masking.input_tokens".to_owned(), [("T".to_owned(), 16)].into())])
            // Enough examples that other negatives are drawn.
            .chain([("contrastive.info_nce".to_owned(), [("B".to_owned(), 16)].into())])
            // Frames are halved; a filter bank takes longer sounds than a few samples.
            .chain([("speech.frame_encoder".to_owned(), [("T".to_owned(), 8)].into())])
            .chain([("speech.log_mel".to_owned(), [("S".to_owned(), 900)].into())])
            // As many scores as the tokenizer has words.
            .chain([("text.verbalizer".to_owned(), [("V".to_owned(), 400)].into())])
            .collect(),
        ..Options::default()
    }
}

/// Components whose examples need files that are not made here, or whose inputs must fit each other: tokens of images
/// as many as there are patches, masks as many as told. Their plugins' own tests have them.
const NEEDS_FILES: [&str; 5] = [
    "checkpoint.vision_language",
    "tabular.labelled_vectors",
    "text.mask_places",
    "text.parquet",
    "text.pretrained_tokenizer",
];

fn report(name: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = built(name);
    assert!(
        path.exists(),
        "{name} was not built: name the plugin under [dev-dependencies] of zoo-conformance, so that it is tested"
    );
    let report = test(&path, &options(folder.path()));
    println!("{report}");
    report
}

/// Whatever reads tokens is really tried with several documents in a row, and so are objectives on them.
const PACKED: [&str; 10] = [
    "checkpoint.encoder",
    "checkpoint.masked_lm",
    "checkpoint.replaced_token",
    "checkpoint.token_classifier",
    "transformer.encoder",
    "transformer.masked_lm",
    "transformer.electra_generator",
    "transformer.electra_discriminator",
    "language_modelling.all_tokens_cross_entropy",
    "language_modelling.replaced_token_detection",
];

#[test]
fn every_first_party_plugin_conforms() {
    let mut wrong = String::new();
    let mut packed = Vec::new();
    for name in first_party() {
        let report = report(&name);
        for failure in report.failures() {
            wrong += &format!("{name}: {failure:?}\n");
        }
        packed.extend(
            report
                .checks
                .iter()
                .filter(|c| c.check == "packing" && c.outcome == Outcome::Passed)
                .filter_map(|c| c.component.clone()),
        );
        // An objective that was not really tried has not passed.
        for check in report.checks.iter().filter(|c| matches!(c.check, "splits" | "create" | "shapes")) {
            if let Outcome::Skipped(reason) = &check.outcome
                // Keys and values that are made up are refused; the plugin's own tests have real ones.
                && !reason.contains("the cache has")
                && !check.component.as_deref().is_some_and(|c| NEEDS_FILES.contains(&c))
            {
                wrong +=
                    &format!("{name}: {:?} was skipped in `{}`: {reason}\n", check.component, check.check);
            }
        }
    }
    for component in PACKED.iter().filter(|c| !packed.iter().any(|p| p == *c)) {
        wrong += &format!("{component} was not tried with packed documents\n");
    }
    println!("{} components give the same packed and padded: {}", packed.len(), packed.join(", "));
    assert!(wrong.is_empty(), "{wrong}");
}

/// The suite finds what is wrong: each dishonest objective fails the check that is meant for it.
#[test]
fn dishonest_components_are_found_out() {
    let report = test(&built("zoo-misbehaving"), &Options::default());
    println!("{report}");
    for (component, check, words) in [
        ("misbehaving.mean_loss", "splits", "a loss is the sum over its targets"),
        ("misbehaving.wrong_gradient", "gradients", "the gradient with respect to `x` is"),
        ("misbehaving.unmasked", "padding", "of a document with padding differs"),
        ("misbehaving.drifting", "same seed", "differs in a second call of the same update"),
        ("misbehaving.sleeper", "same seed", "another seed changes nothing"),
        ("misbehaving.not_a_number", "empty mask", "has NaN where everything is hidden"),
        ("misbehaving.neighbour", "rows alone", "of rows alone differs"),
        ("misbehaving.unrestarted", "packing", "output `y` of a document in a packed row differs"),
        (
            "misbehaving.across_documents",
            "packing",
            "the gradient of `x` from documents in a packed row differs",
        ),
    ] {
        match report.outcome(Some(component), check) {
            Some(Outcome::Failed(reason)) => assert!(reason.contains(words), "{component}: {reason}"),
            other => panic!("{component}, {check}: {other:?}"),
        }
    }
    // What is sound in them is not blamed.
    for (component, check) in [
        ("misbehaving.mean_loss", "gradients"),
        ("misbehaving.unmasked", "gradients"),
        ("misbehaving.unrestarted", "gradients"),
        ("misbehaving.sdk", "state"),
    ] {
        assert_eq!(report.outcome(Some(component), check), Some(&Outcome::Passed), "{component}, {check}");
    }
}

#[test]
fn the_well_behaved_test_plugin_conforms() {
    let report = test(&built("zoo-probe"), &Options::default());
    let failures: Vec<_> =
        report.failures().filter(|c| c.component.as_deref() != Some("probe.circle")).collect();
    assert!(failures.is_empty(), "{report}");
}

/// Plugins bind libtorch by its name, record the version in its headers, and share its C++ library.
#[test]
fn linkage_of_every_plugin_is_as_it_should_be() {
    for name in first_party() {
        let path = built(&name);
        let linkage = zoo_discovery::linkage(&path).unwrap();
        let entry = format!("zoo_plugin_v1_{}", name.replace('-', "_"));
        assert_eq!(linkage.exported, [entry.as_str()], "{name}");
        assert!(linkage.needed.iter().any(|n| n.starts_with("libtorch")), "{name}: {:?}", linkage.needed);
        assert!(linkage.needed.iter().any(|n| n == "libstdc++.so.6"), "{name}: {:?}", linkage.needed);
        assert!(linkage.needed.iter().all(|n| !n.contains('/')), "{name}: {:?}", linkage.needed);
        let limits = zoo_discovery::Limits::default();
        let content = zoo_discovery::read_file(&path, &zoo_discovery::Here::default(), &limits).unwrap();
        assert_eq!(content.build.libtorch.as_deref(), Some(zoo_host::LIBTORCH), "{name}");
    }
}

/// The host exports nothing of its own or of tch that a plugin could bind to instead.
#[test]
fn symbols_of_the_host_are_its_own() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains("libtorch_cpu.so"), "the host brings libtorch");
    // A program that exports its symbols has `tch_…` among its dynamic ones.
    use object::{Object, ObjectSymbol};
    let file = object::File::parse(&*program).unwrap();
    let exported: Vec<String> = file
        .dynamic_symbols()
        .filter(|s| s.is_definition())
        .filter_map(|s| s.name().ok().map(str::to_owned))
        .filter(|n| n.starts_with("tch_") || n.starts_with("at_") || n.starts_with("zoo_"))
        .collect();
    assert!(exported.is_empty(), "{exported:?}");
}

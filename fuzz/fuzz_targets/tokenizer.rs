#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;
use zoo_inference::Texts;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // Panics of the tokenizers library are caught and become errors; a hook would end the process before.
    std::panic::set_hook(Box::new(|_| {}));
    let folder = std::env::temp_dir().join(format!("zoo-fuzz-tokenizer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
});

const SOUND: &str = include_str!("../../tests/inference/words/tokenizer.json");

fn open(tokenizer: &str, settings: &str) {
    std::fs::write(FOLDER.join("tokenizer.json"), tokenizer).expect("the file is written");
    std::fs::write(FOLDER.join("tokenizer_config.json"), settings).expect("the file is written");
    let Ok(mut texts) = Texts::open(&FOLDER, &serde_json::Map::new()) else { return };
    let _ = texts.cut(Some(16));
    let _ = texts.encode(vec!["a walk, in ROME [MASK] \u{1f600}"], true);
    let _ = texts.decode(&[1, 5, 90, -1, i64::MAX]);
    let _ = (texts.special("mask_token"), texts.ends(), texts.token(1 << 40));
}

fuzz_target!(|text: &str| {
    open(text, "{}");
    open(SOUND, text);
});

#![no_main]

use libfuzzer_sys::fuzz_target;
use zoo_syntax::{FileId, parse, parse_setting};

fuzz_target!(|text: &str| {
    let parse = parse(FileId(0), text);
    let mut at = 0;
    for token in &parse.tree.tokens {
        assert_eq!(token.range().start, at, "a gap between tokens");
        at = token.range().end;
    }
    assert_eq!(at, text.len(), "bytes without a token");
    for diagnostic in &parse.diagnostics {
        assert!(!diagnostic.labels.is_empty(), "{diagnostic:?}");
        for label in &diagnostic.labels {
            assert!(text.get(label.span.range()).is_some(), "{diagnostic:?}");
        }
        for help in &diagnostic.helps {
            assert!(zoo_diagnostics::apply_edits(FileId(0), text, &help.edits).is_ok(), "{diagnostic:?}");
        }
    }
    match parse_setting(FileId(0), text, 0..text.len()) {
        Ok(setting) => assert!(text.get(setting.span.range()).is_some()),
        Err(errors) => assert!(!errors.is_empty(), "refused without a reason"),
    }
});

//! Tables of numbers: what is read, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::Write;
use zoo_tabular::LabelledVectors;

fn source(width: usize) -> LabelledVectors {
    LabelledVectors {
        file: String::new(),
        width,
        label_field: None,
        scale: 2.0,
        shuffled: false,
        skip: 0,
        limit: None,
    }
}

fn refused(source: &LabelledVectors, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    source.table(&path).unwrap_err().message
}

#[test]
fn plain_and_gzipped_tables_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("a.csv"), folder.path().join("a.csv.gz"));
    let text = "1,2,0\n3,4,1\n5,6,2\n";
    std::fs::write(&plain, text).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(
        std::fs::File::create(&packed).unwrap(),
        flate2::Compression::default(),
    );
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
    for path in [plain.clone(), packed] {
        let table = source(2).table(&path).unwrap();
        assert_eq!(table.features, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!(table.labels, [0, 1, 2]);
    }
    let part = LabelledVectors { skip: 1, limit: Some(1), label_field: Some(0), ..source(2) };
    let table = part.table(&plain).unwrap();
    assert_eq!(table.features, [2.0, 0.5]);
    assert_eq!(table.labels, [3]);
}

#[test]
fn wrong_tables_are_named_with_their_line() {
    assert!(refused(&source(2), "1,2,0\n1,2\n").contains("line 2: 2 fields"));
    assert!(refused(&source(2), "1,x,0\n").contains("line 1: field 1 holds `x`"));
    assert!(refused(&source(2), "1,2,0.5\n").contains("no whole number"));
    assert!(refused(&LabelledVectors { skip: 3, ..source(2) }, "1,2,0\n").contains("no row is left"));
}

#[test]
fn mixed_rows_keep_together_and_parts_do_not_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text: String = (0..40).map(|row| format!("{row},{row},{row}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let all = LabelledVectors { shuffled: true, scale: 1.0, ..source(2) };
    let first = LabelledVectors { limit: Some(30), ..all.clone() }.table(&path).unwrap();
    let rest = LabelledVectors { skip: 30, ..all }.table(&path).unwrap();
    assert!(!first.labels.is_sorted());
    for (row, label) in first.labels.iter().enumerate() {
        assert_eq!(first.features[2 * row], *label as f32);
    }
    let mut both: Vec<i64> = first.labels.into_iter().chain(rest.labels).collect();
    both.sort_unstable();
    assert_eq!(both, (0..40).collect::<Vec<_>>());
}

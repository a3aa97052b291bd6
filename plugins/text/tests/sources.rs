//! Sources through the host: what comes out of files, good and broken.

#![allow(clippy::unwrap_used, reason = "a test may")]

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use zoo_host::{CallScope, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn world(folder: &Path) -> World {
    let built = std::env::current_exe().unwrap().parent().unwrap().join("libzoo_text.so");
    let registry = Arc::new(Registry::load(&[PluginPath { path: built, hash: None }]).unwrap());
    let environment = Arc::new(LocalEnvironment { folder: folder.join("stages") });
    World::new(registry, environment, WorldOptions::default())
}

fn instance(name: &str, component: &str, parameters: Json) -> Instance {
    let Json::Object(parameters) = parameters else { panic!("parameters are an object") };
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    }
}

/// Columns of rows as JSON, or the error's text.
fn read(component: &str, parameters: Json, indices: &[i64]) -> Result<Json, String> {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let id = world.create(&instance("data", component, parameters)).map_err(|e| e.to_string())?;
    let columns = world.read(id, &CallScope::default(), indices).map_err(|e| e.to_string())?;
    let mut object = Map::new();
    object.insert("rows".to_owned(), json!(world.length(id).unwrap()));
    for (name, value) in columns {
        let values = match value {
            Value::Texts(texts) => json!(texts),
            Value::Tensor(t) if t.kind() == tch::Kind::Int64 => json!(Vec::<i64>::try_from(t).unwrap()),
            Value::Tensor(t) => json!(Vec::<f64>::try_from(t.to_kind(tch::Kind::Double)).unwrap()),
            other => panic!("{other:?}"),
        };
        object.insert(name, values);
    }
    Ok(Json::Object(object))
}

fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn lines_are_rows() {
    let (_folder, path) = file("a.txt", "one\r\n\ntwo\n  \nthree".as_bytes());
    let got = read("text.lines", json!({ "file": path }), &[2, 0]).unwrap();
    assert_eq!(got, json!({ "rows": 3, "text": ["three", "one"] }));
    let got = read("text.lines", json!({ "file": path, "skip_empty": false, "limit": 2 }), &[1]).unwrap();
    assert_eq!(got, json!({ "rows": 2, "text": [""] }));
    let (_folder, path) = file("b.txt", b"good\nb\xffd\n");
    let error = read("text.lines", json!({ "file": path }), &[1]).unwrap_err();
    assert!(error.contains("line 2, byte 2: 0xff is no UTF-8"), "{error}");
    let error = read("text.lines", json!({ "file": "/nowhere/c.txt" }), &[0]).unwrap_err();
    assert!(error.contains("/nowhere/c.txt"), "{error}");
}

#[test]
fn parts_of_lines_are_disjoint() {
    let text: String = (0..100).map(|i| format!("line {i}\n")).collect();
    let (_folder, path) = file("a.txt", text.as_bytes());
    let part = |part: &str, count: i64| {
        let parameters = json!({ "file": path, "part": part, "held_out": 0.2 });
        let got = read("text.lines", parameters, &(0..count).collect::<Vec<_>>()).unwrap();
        assert_eq!(got["rows"], count);
        got["text"].as_array().unwrap().clone()
    };
    let (train, held_out) = (part("train", 80), part("held_out", 20));
    assert!(held_out.iter().all(|line| !train.contains(line)));
}

#[test]
fn fields_of_json_lines_are_columns() {
    let text = "{\"a\": {\"text\": \"x\"}, \"n\": 1.5, \"k\": true}\n\n{\"a\": {\"text\": \"y\"}, \"n\": 2, \"k\": 0}\n{broken\n";
    let (_folder, path) = file("a.jsonl", text.as_bytes());
    let all = json!({ "file": path, "columns": ["a.text"], "numbers": ["n"], "integers": ["k"] });
    let got = read("text.jsonl", all.clone(), &[1, 0]).unwrap();
    assert_eq!(got, json!({ "rows": 3, "a.text": ["y", "x"], "n": [2.0, 1.5], "k": [0, 1] }));
    let error = read("text.jsonl", all, &[2]).unwrap_err();
    assert!(error.contains("line 4: this is no JSON"), "{error}");
    let error = read("text.jsonl", json!({ "file": path, "integers": ["n"] }), &[0]).unwrap_err();
    assert!(error.contains("line 1: column `n` holds 1.5, which is no whole number"), "{error}");
    let error = read("text.jsonl", json!({ "file": path, "columns": ["b"] }), &[0]).unwrap_err();
    assert!(error.contains("line 1: there is no column `b`"), "{error}");
    let error = read("text.jsonl", json!({ "file": path }), &[0]).unwrap_err();
    assert!(error.contains("no column is chosen"), "{error}");
}

#[test]
fn tables_have_quotes_names_and_places_of_errors() {
    let text = "id,text,score\n1,\"two, with\na break\",0.5\n2,plain,1\n3,short\n";
    let (_folder, path) = file("a.csv", text.as_bytes());
    let all = json!({ "file": path, "columns": ["text"], "numbers": ["score"], "integers": ["id"] });
    let got = read("text.csv", all.clone(), &[0, 1]).unwrap();
    assert_eq!(got["text"], json!(["two, with\na break", "plain"]));
    assert_eq!((&got["score"], &got["id"], &got["rows"]), (&json!([0.5, 1.0]), &json!([1, 2]), &json!(3)));
    let error = read("text.csv", all, &[2]).unwrap_err();
    assert!(error.contains("line 5: the record has 2 fields and none for column `score`"), "{error}");
    let error = read("text.csv", json!({ "file": path, "columns": ["txt"] }), &[0]).unwrap_err();
    assert!(error.contains("there is no column `txt`"), "{error}");
    // Without quotes and names, with tabs: records may be longer than the names.
    let (_folder, path) = file("b.tsv", b"x\t\"y\t5\textra\nz\tw\tfive\n");
    let tabs = json!({ "file": path, "separator": "\t", "quotes": false, "names": ["a", "b", "n"],
        "columns": ["b"], "numbers": ["n"] });
    assert_eq!(read("text.csv", tabs.clone(), &[0]).unwrap(), json!({ "rows": 2, "b": ["\"y"], "n": [5.0] }));
    let error = read("text.csv", tabs, &[1]).unwrap_err();
    assert!(error.contains("line 2: column `n` holds `five`, which is no number"), "{error}");
}

fn parquet(path: &Path, from: i32, groups: usize) {
    let schema =
        "message rows { REQUIRED BYTE_ARRAY text (UTF8); REQUIRED INT32 id; OPTIONAL DOUBLE score; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let out = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(WriterProperties::default())).unwrap();
    for group in 0..groups as i32 {
        let ids = [from + 2 * group, from + 2 * group + 1];
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let texts: Vec<ByteArray> =
            ids.iter().map(|i| ByteArray::from(format!("text {i}").as_str())).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[0.5], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn parquet_is_read_by_index_over_groups_and_files() {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("b.parquet"), 100, 1);
    parquet(&folder.path().join("a.parquet"), 0, 7);
    let all = json!({ "file": folder.path(), "columns": ["text"], "integers": ["id"] });
    let got = read("text.parquet", all, &[15, 0, 13, 6]).unwrap();
    assert_eq!(
        got,
        json!({ "rows": 16, "text": ["text 101", "text 0", "text 13", "text 6"], "id": [101, 0, 13, 6] })
    );
    let one = folder.path().join("b.parquet");
    let error = read("text.parquet", json!({ "file": one, "numbers": ["score"] }), &[1]).unwrap_err();
    assert!(error.contains("row 1: column `score` holds nothing, which is no number"), "{error}");
    let error = read("text.parquet", json!({ "file": one, "columns": ["txt"] }), &[0]).unwrap_err();
    assert!(error.contains("there is no column `txt`"), "{error}");
    let (_folder, path) = file("c.parquet", b"no parquet");
    let error = read("text.parquet", json!({ "file": path, "columns": ["text"] }), &[0]).unwrap_err();
    assert!(error.contains("c.parquet cannot be read"), "{error}");
}

#[test]
fn labels_pass_through_tokenizing() {
    let (folder, path) =
        file("a.jsonl", b"{\"text\": \"peace and war\", \"label\": 3}\n{\"text\": \"war\", \"label\": 4}\n");
    let world = world(folder.path());
    let columns = json!({ "file": path, "columns": ["text"], "integers": ["label"] });
    world.create(&instance("data", "text.jsonl", columns)).unwrap();
    let corpus = json!({ "corpus": { "$instance": "data" }, "vocabulary": 40, "minimum_frequency": 1 });
    world.create(&instance("wordpiece", "text.wordpiece", corpus)).unwrap();
    let rows = json!({ "source": { "$instance": "data" }, "tokenizer": { "$instance": "wordpiece" }, "length": 4, "keep": ["label"] });
    let id = world.create(&instance("rows", "text.tokenized", rows)).unwrap();
    let columns = world.read(id, &CallScope::default(), &[1, 0]).unwrap();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ids", "attention_mask", "segment_ids", "label"]);
    let values = |i: usize| Vec::<i64>::try_from(columns[i].1.tensor().unwrap().reshape([-1])).unwrap();
    assert_eq!(values(3), [4, 3]);
    assert_eq!(values(1), [1, 1, 1, 0, 1, 1, 1, 1]);
    assert_eq!((values(0)[0], values(0)[2], values(0)[7]), (2, 3, 3), "long texts keep their end");
    let exported = world.export(world.instance("wordpiece").unwrap()).unwrap();
    assert!(serde_json::from_slice::<Json>(&exported).unwrap()["model"]["vocab"]["[MASK]"] == 4);
}

#[test]
fn isolated_texts_share_rows_and_keep_what_each_has_alone() {
    let texts = ["peace and war", "war", "peace peace and war and peace", "and"];
    let (folder, path) = file("a.txt", texts.join("\n").as_bytes());
    let world = world(folder.path());
    world.create(&instance("data", "text.lines", json!({ "file": path }))).unwrap();
    let corpus = json!({ "corpus": { "$instance": "data" }, "vocabulary": 40, "minimum_frequency": 1 });
    world.create(&instance("wordpiece", "text.wordpiece", corpus)).unwrap();
    let rows = |name: &str, component: &str, more: Json| {
        let mut all = json!({ "source": { "$instance": "data" }, "tokenizer": { "$instance": "wordpiece" } });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = world.create(&instance(name, component, all)).map_err(|e| e.to_string())?;
        let all: Vec<i64> = (0..world.length(id).unwrap() as i64).collect();
        let columns = world.read(id, &CallScope::default(), &all).unwrap();
        let columns = columns.iter().map(|(name, value)| {
            let tensor = value.tensor().unwrap().reshape([-1]);
            (name.clone(), Vec::<i64>::try_from(tensor).unwrap())
        });
        Ok::<_, String>(columns.collect::<std::collections::BTreeMap<_, _>>())
    };
    let length = 64;
    let packed = rows("packed", "text.packed", json!({ "length": length, "isolate_texts": true })).unwrap();
    let alone = rows("alone", "text.tokenized", json!({ "length": length })).unwrap();
    let shared = packed["ids"].len() / length;
    assert!(shared < texts.len(), "{shared} rows");
    // Texts one after the other, with their numbers, are the padded rows without padding.
    let tokens = |columns: &std::collections::BTreeMap<String, Vec<i64>>| -> Vec<i64> {
        columns["ids"]
            .iter()
            .zip(&columns["attention_mask"])
            .filter(|(_, m)| **m == 1)
            .map(|(t, _)| *t)
            .collect()
    };
    assert_eq!(tokens(&packed), tokens(&alone));
    let count = packed["document_ids"].iter().max().unwrap();
    assert_eq!((shared, *count), (1, texts.len() as i64));
    for (number, row) in alone["attention_mask"].chunks(length).enumerate() {
        let same = packed["document_ids"].iter().filter(|d| **d == number as i64 + 1).count() as i64;
        assert_eq!(same, row.iter().sum::<i64>(), "text {number}");
    }
    let joined = rows("joined", "text.packed", json!({ "length": 8 })).unwrap();
    assert_eq!(joined["document_ids"], joined["attention_mask"]);
    let both = json!({ "length": 8, "isolate_texts": true, "across_texts": false });
    let error = rows("both", "text.packed", both).unwrap_err();
    assert!(error.contains("there is nothing to isolate"), "{error}");
}

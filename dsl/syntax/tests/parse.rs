//! Whole recipes through the parser.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use zoo_diagnostics::{Sources, codes, render};
use zoo_syntax::ast::{
    BlockItem, ClaimStatement, Expr, ExprKind, Item, Range, Segment, Statement, UnaryOperator,
};
use zoo_syntax::tree::NodeKind;
use zoo_syntax::{FileId, Parse, parse, parse_setting};

fn recipes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mlm"))
        .collect();
    files.extend([Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all.mlm")]);
    files
}

fn messages(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("recipe.mlm", text);
    render::one_line(&parse(file, text).diagnostics, &sources)
}

/// Every byte is in one token, and the nodes are nested as their order says.
fn is_sound(parse: &Parse, text: &str) {
    let mut at = 0;
    for token in &parse.tree.tokens {
        assert_eq!(token.range().start, at);
        assert!(token.len > 0 && text.get(token.range()).is_some());
        at = token.range().end;
    }
    assert_eq!(at, text.len());
    let nodes = &parse.tree.nodes;
    assert_eq!((nodes[0].kind, nodes[0].end as usize), (NodeKind::Recipe, nodes.len()));
    for (index, node) in nodes.iter().enumerate() {
        let mut before = node.tokens.start;
        for child in parse.tree.children(index) {
            let child = &nodes[child];
            assert!(
                before <= child.tokens.start && child.tokens.end <= node.tokens.end,
                "{node:?} {child:?}"
            );
            assert!(child.end <= node.end);
            before = child.tokens.end;
        }
        if index > 0 {
            let tokens = &parse.tree.tokens[node.tokens.start as usize..node.tokens.end as usize];
            assert!(!tokens[0].kind.is_trivia() && !tokens[tokens.len() - 1].kind.is_trivia(), "{node:?}");
        }
    }
}

#[test]
fn every_recipe_parses() {
    for path in recipes() {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(messages(&text), "", "{}", path.display());
        is_sound(&parse(FileId(0), &text), &text);
    }
}

#[test]
fn four_errors_cost_four_statements() {
    let text = "mlm 1\nparam mask_rate : fraction = 15%\nparm steps : count = 10\n\
                model disc = transformer.encoder(layers: 12, hidden: 256\n\
                masker mask = masking.uniform(rate: mask_rate)\nphase pretrain {\n  steps = 100 steps\n\
                \x20 this line is wrong\n  batch = 8 seq\n}\nmodels foo {\n  a = 1\n}\nprofile paper {}\n";
    let result = parse(FileId(0), text);
    let found: Vec<_> = result.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(
        found,
        [codes::MISSPELT_KEYWORD, codes::UNCLOSED_BRACKET, codes::MISSING_EQUALS, codes::UNKNOWN_BLOCK],
        "{}",
        messages(text)
    );
    let names: Vec<_> =
        result.recipe.items.iter().filter_map(|item| Some(item.name()?.text.as_str())).collect();
    assert_eq!(names, ["mask_rate", "steps", "disc", "mask", "pretrain", "foo", "paper"]);
    let Item::Stage(stage) = &result.recipe.items[5] else { panic!("no phase") };
    assert_eq!(stage.body.iter().filter(|item| matches!(item, BlockItem::Setting(_))).count(), 2);
    is_sound(&result, text);
}

fn value(text: &str) -> Expr {
    let text = format!("mlm 1\nstep s(b) {{\n  loss = {text}\n}}\n");
    let result = parse(FileId(0), &text);
    assert!(result.diagnostics.is_empty(), "{}", messages(&text));
    let Item::Step(step) = &result.recipe.items[1] else { panic!("no step") };
    let Statement::Loss { value, .. } = &step.body[0] else { panic!("no loss") };
    value.clone()
}

/// The value with parentheses everywhere.
fn shown(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(number) => number.base().to_string(),
        ExprKind::Text(text) => format!("{:?}", text.value),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Name(name) => name.clone(),
        ExprKind::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        ExprKind::Record(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{}:{}", field.name, shown(&field.value))).collect();
            format!("{{{}}}", fields.join(" "))
        }
        ExprKind::Call { callee, arguments } => {
            let arguments: Vec<_> = arguments
                .iter()
                .map(|argument| match &argument.name {
                    Some(name) => format!("{name}:{}", shown(&argument.value)),
                    None => shown(&argument.value),
                })
                .collect();
            format!("{}({})", shown(callee), arguments.join(" "))
        }
        ExprKind::Member { of, name } => format!("{}.{name}", shown(of)),
        ExprKind::Index { of, index } => {
            format!("{}[{}]", shown(of), index.as_ref().map_or("*".to_owned(), |index| shown(index)))
        }
        ExprKind::Unary { operator: UnaryOperator::Not, operand } => format!("(not {})", shown(operand)),
        ExprKind::Unary { operand, .. } => format!("(-{})", shown(operand)),
        ExprKind::Binary { operator, left, right, .. } => {
            format!("({} {} {})", shown(left), operator.as_str(), shown(right))
        }
        ExprKind::If { condition, then, otherwise } => {
            format!("(if {} {} {})", shown(condition), shown(then), shown(otherwise))
        }
    }
}

#[test]
fn operators_bind_as_they_should() {
    for (text, wanted) in [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("-a * b", "((-a) * b)"),
        ("a - -b", "(a - (-b))"),
        ("not a == b and c or d", "(((not (a == b)) and c) or d)"),
        ("a or b and not c", "(a or (b and (not c)))"),
        ("a / b / c", "((a / b) / c)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("a + 1 > b * 2", "((a + 1) > (b * 2))"),
        ("if a > b then c + 1 else d + 2", "(if (a > b) (c + 1) (d + 2))"),
        ("x.mean() * 2", "(x.mean() * 2)"),
        ("f(a, b: -1, c: [1, 2,],)[0].y", "f(a b:(-1) c:[1 2])[0].y"),
        ("layers[*].attn", "layers[*].attn"),
        ("{a: 1, b: {c: true}}", "{a:1 b:{c:true}}"),
        ("not_a + android", "(not_a + android)"),
        ("15% + 1.5k steps", "(0.15 + 1500)"),
        ("128tok", "128"),
        ("if a then 15%else 10%", "(if a 0.15 0.1)"),
        ("\"a\\n\\\"\\\\\"", "\"a\\n\\\"\\\\\""),
        ("f(\n  a, // first\n  b,\n)", "f(a b)"),
    ] {
        assert_eq!(shown(&value(text)), wanted, "{text}");
    }
}

#[test]
fn spans_are_what_is_written() {
    let text = "mlm 1\nclaim \"c\" {\n  require (a(x) - b(y)) > (1 pt)  // why\n}\n";
    let result = parse(FileId(0), text);
    let Item::Claim(claim) = &result.recipe.items[1] else { panic!("no claim") };
    let ClaimStatement::Require { condition, span } = &claim.body[0] else { panic!("no require") };
    assert_eq!(&text[condition.span.range()], "(a(x) - b(y)) > (1 pt)");
    assert_eq!(&text[span.range()], "require (a(x) - b(y)) > (1 pt)");
    let ExprKind::Binary { left, right, .. } = &condition.kind else { panic!("no comparison") };
    assert_eq!(&text[left.span.range()], "a(x) - b(y)");
    assert_eq!(&text[right.span.range()], "1 pt");
}

#[test]
fn statements_mean_what_they_say() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all.mlm")).unwrap();
    let recipe = parse(FileId(0), &text).recipe;
    let item =
        |name: &str| recipe.items.iter().find(|item| item.name().is_some_and(|n| n.text == name)).unwrap();
    let Item::Param(rate) = item("mask_rate") else { panic!() };
    assert_eq!(rate.docs.text, "Share of the tokens.\n\nTwo paragraphs.");
    assert!(matches!(rate.range, Some(Range::Interval { low_open: true, high_open: false, .. })));
    let Item::Param(pool) = item("pool") else { panic!() };
    assert_eq!(pool.type_expression.to_string(), "one_of(\"mean\", \"cls\")");
    let Item::Binding(lora) = item("lora") else { panic!() };
    let on = lora.on.as_ref().unwrap();
    assert_eq!(&text[on.span.range()], "lm.layers[*].attn.{q, v}");
    assert!(matches!(on.segments.as_slice(), [Segment::All(_), Segment::Name(_), Segment::Choice(_)]));
    let Item::Stage(tune) = item("tune") else { panic!() };
    assert_eq!(tune.after.as_ref().unwrap().text, "warm");
    let Item::Arm(plain) = item("plain") else { panic!() };
    assert_eq!(plain.role.as_ref().unwrap().text, "baseline");
    assert_eq!(plain.title.as_ref().unwrap().value, "as it comes");
    let claim =
        recipe.items.iter().find_map(|item| if let Item::Claim(claim) = item { Some(claim) } else { None });
    let body = &claim.unwrap().body;
    assert!(matches!(&body[0], ClaimStatement::Require { .. }));
    assert!(
        matches!(&body[1], ClaimStatement::Over { paired: Some(_), confidence: Some(n), .. } if n.value == 95.0)
    );
    assert!(matches!(&body[2], ClaimStatement::Holding { within: Some(_), .. }));
    assert!(matches!(&body[3], ClaimStatement::StopWhenDecided { .. }));
    assert!(matches!(&body[4], ClaimStatement::Setting(_)));
}

#[test]
fn the_command_line_sets_one_thing() {
    let line = "--set disc.layers=2 --set rate = 15%";
    let setting = parse_setting(FileId(3), line, 6..19).unwrap();
    assert_eq!((setting.path.to_string().as_str(), setting.value.span.start), ("disc.layers", 18));
    assert_eq!(setting.value.span.file, 3);
    for wrong in ["", "a", "a=", "=1", "a=1 b", "a=(", "a={", "a=1\u{e9}", "}", "a = 1, b = 2", "a=b}"] {
        let errors = parse_setting(FileId(0), wrong, 0..wrong.len()).unwrap_err();
        assert!(!errors.is_empty(), "{wrong}");
    }
}

#[test]
fn files_of_windows_are_the_same() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all.mlm")).unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(messages(&windows), "");
    assert_eq!(parse(FileId(0), &windows).recipe.items.len(), parse(FileId(0), &text).recipe.items.len());
}

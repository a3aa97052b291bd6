//! Where a value comes from: the layers that set it, weakest first.

use crate::definitions::{Layer, settings};
use crate::evaluate::ArmChecker;
use crate::place;
use crate::value::Value;
use zoo_diagnostics::Span;
use zoo_schema::experiment::Place;
use zoo_syntax::ast::{Expr, ExprKind};

/// One layer's word on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `discriminator.hidden`
    pub path: String,
    /// `used file`, `recipe`, `profile`, `arm NAME`, `command line`.
    pub layer: String,
    /// As written.
    pub text: String,
    /// Where.
    pub place: Place,
    /// Whether this one counts.
    pub in_force: bool,
    /// What the path is worth in the end, as a recipe would write it, where it was computed.
    pub value: Option<String>,
}

/// Every setting of an arm, with the layers behind it.
pub(crate) fn origins(checker: &ArmChecker<'_>, arm: usize) -> Vec<Origin> {
    let (definitions, sources) = (checker.definitions, checker.sources);
    let mut all: Vec<(String, Layer, String, Span)> = Vec::new();
    let mut add = |path: String, layer: Layer, name: String, span: Span| all.push((path, layer, name, span));
    let base = |scope: &str| if scope.is_empty() { Layer::Recipe } else { Layer::UsedFile };
    let title = |layer: Layer| match layer {
        Layer::UsedFile => "used file",
        Layer::Recipe => "recipe",
        Layer::Profile => "profile",
        Layer::Arm => "arm",
        Layer::CommandLine => "command line",
    };
    for (name, param) in &definitions.params {
        if let Some(value) = &param.item.value {
            add(name.clone(), base(param.scope), title(base(param.scope)).to_owned(), value.span);
        }
    }
    for (name, binding) in &definitions.bindings {
        let layer = base(binding.scope);
        add(name.clone(), layer, title(layer).to_owned(), binding.item.value.span);
        for (part, value) in arguments(&binding.item.value) {
            add(format!("{name}.{part}"), layer, title(layer).to_owned(), value);
        }
    }
    for (name, stage) in &definitions.stages {
        let layer = base(stage.scope);
        for setting in settings(&stage.item.body) {
            let path = format!("{name}.{}", setting.path);
            add(path.clone(), layer, title(layer).to_owned(), setting.value.span);
            for (part, value) in arguments(&setting.value) {
                add(format!("{path}.{part}"), layer, title(layer).to_owned(), value);
            }
        }
    }
    for o in &definitions.overrides {
        let name = match (o.layer, o.arm.and_then(|a| definitions.arms.get(a))) {
            (Layer::Arm, Some(arm)) => format!("arm {}", arm.name.text),
            (layer, _) => title(layer).to_owned(),
        };
        add(o.path.clone(), o.layer, name, o.setting.value.span);
    }
    let mut origins: Vec<Origin> = all
        .iter()
        .map(|(path, _, layer, span)| Origin {
            path: path.clone(),
            layer: layer.clone(),
            text: sources.slice(*span).to_owned(),
            place: place(sources, *span),
            in_force: match definitions.overriding(path, arm) {
                Some(o) => o.setting.value.span == *span,
                None => !definitions.overrides.iter().any(|o| o.setting.value.span == *span),
            },
            value: checker.computed(path).and_then(Value::text),
        })
        .collect();
    origins.sort_by(|a, b| a.path.cmp(&b.path));
    origins
}

fn arguments(expression: &Expr) -> Vec<(String, Span)> {
    match &expression.kind {
        ExprKind::Call { arguments, .. } => {
            arguments.iter().filter_map(|a| Some((a.name.as_ref()?.text.clone(), a.value.span))).collect()
        }
        _ => Vec::new(),
    }
}

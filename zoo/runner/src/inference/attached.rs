//! Components that the command line brings to a model: adapters that act on it, a tool that it calls, rewards of
//! what it writes.

use crate::arguments::AttachedArguments;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use tch::Tensor;
use zoo_diagnostics::render;
use zoo_host::{CallScope, InstanceId, Outputs, Registry, Value, Wanted};
use zoo_inference::generation::Protocol;
use zoo_inference::{Head, Model};
use zoo_schema::Component as Schema;
use zoo_schema::experiment::{Instance, Place, Sites};
use zoo_schema::types::Dtype;

/// What the model is called where the components are checked.
const MODEL: &str = "writer";

/// A reward with the name that it is told under.
struct Reward {
    name: String,
    instance: InstanceId,
}

/// A tool, and how its calls are written.
pub(super) struct Tool {
    instance: InstanceId,
    pub(super) protocol: Protocol,
}

/// What was brought, in the model's world.
pub(super) struct Attached {
    rewards: Vec<Reward>,
    pub(super) tool: Option<Tool>,
}

/// What stands beside a prompt in its line.
pub(super) type Columns = Map<String, Json>;

/// A written text, for rewards.
pub(super) struct Told<'t> {
    pub(super) text: String,
    pub(super) prompt: String,
    /// New tokens.
    pub(super) tokens: usize,
    /// Calls that were answered.
    pub(super) calls: usize,
    pub(super) columns: &'t Columns,
}

/// The sizes of the model's sites, which adapters need, as parameters of its component; none without adapters.
pub(super) fn sizes(
    folder: &Path,
    head: Option<Head>,
    given: &AttachedArguments,
) -> Result<Map<String, Json>> {
    // What reads one text and writes another announces no sites.
    let adapts = !given.adapter.is_empty() || !given.adapter_of_run.is_empty();
    if !adapts || head == Some(Head::Seq2Seq) {
        return Ok(Map::new());
    }
    let config = zoo_checkpoints::Config::read(&folder.join("config.json"))?;
    let sizes = zoo_checkpoints::families::text(&config)?.sizes();
    Ok(sizes.into_iter().map(|(name, size)| (name.to_owned(), size.into())).collect())
}

/// An adapter as a run has left it: `config.json` says what it is and where it acts.
fn of_run(folder: &Path, name: &str) -> Result<Instance> {
    let path = folder.join("config.json");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let config: Json =
        serde_json::from_str(&text).with_context(|| format!("`{}` is damaged", path.display()))?;
    let part = |key: &str| config.get("zoo").and_then(|zoo| zoo.get(key)).cloned().unwrap_or_default();
    let on: Option<Sites> = serde_json::from_value(part("on")).unwrap_or_default();
    match (part("component"), part("parameters"), on) {
        (Json::String(component), Json::Object(parameters), Some(sites)) => Ok(Instance {
            name: name.to_owned(),
            component,
            kind: "adapter".to_owned(),
            parameters,
            share: Vec::new(),
            weights: Some(folder.display().to_string()),
            frozen: true,
            on: Some(Sites { instance: "model".to_owned(), ..sites }),
            place: Place::default(),
            parameter_places: Map::new(),
        }),
        _ => bail!(
            "`{}` is no adapter that a run has left: its config.json does not say which component it is and on which \
             sites; one is in RUN_DIR/checkpoints/ARM/SEED/final/ADAPTER",
            folder.display()
        ),
    }
}

/// Every component complete, those that others refer to first.
fn instances(registry: &Registry, model: &Model, given: &AttachedArguments) -> Result<Vec<Instance>> {
    let mut made = Vec::new();
    if !given.bindings.is_empty() {
        let config = model.folder().join("config.json").display().to_string();
        let mut arguments = format!("config: {}", json!(format!("file:{config}")));
        for (name, size) in model.sizes() {
            let _ = write!(arguments, ", {name}: {size}");
        }
        let component = model.head().component();
        let text = format!("mlm 1\n\nmodel {MODEL} = {component}({arguments})\n{}", given.bindings);
        let bound = zoo_check::bindings("the command line", &text, &zoo_conformance::catalogue(registry));
        let Some(instances) = bound.instances else {
            let text = render::one_line(&bound.diagnostics, &bound.sources);
            bail!("{}", text.trim_end());
        };
        for mut instance in instances.into_iter().filter(|instance| instance.name != MODEL) {
            if let Some(sites) = &mut instance.on {
                "model".clone_into(&mut sites.instance);
            }
            instance.parameters.values_mut().for_each(renamed);
            let weights = given.adapter_weights.iter().find(|(name, _)| *name == instance.name);
            instance.weights = weights.map(|(_, path)| path.clone()).or(instance.weights);
            made.push(instance);
        }
    }
    for (number, folder) in (1..).zip(&given.adapter_of_run) {
        made.push(of_run(folder, &format!("adapter_of_run_{number}"))?);
    }
    Ok(made)
}

/// References to the model by the name that it has in its world.
fn renamed(value: &mut Json) {
    match value {
        Json::Object(map) => match map.get_mut("$instance") {
            Some(Json::String(name)) if name == MODEL => "model".clone_into(name),
            _ => map.values_mut().for_each(renamed),
        },
        Json::Array(values) => values.iter_mut().for_each(renamed),
        _ => {}
    }
}

/// Tensors in the weights that no site asked for: an adapter that was trained on more is not the one meant.
fn nothing_left(model: &Model, instance: &Instance) -> Result<()> {
    let Some(weights) = &instance.weights else { return Ok(()) };
    let known: BTreeSet<String> =
        model.world().parameters_of(&instance.name).iter().map(|p| p.local_name().to_owned()).collect();
    let shapes =
        zoo_host::weight_shapes(Path::new(weights)).map_err(|fault| anyhow!("`{weights}`: {fault}"))?;
    let left: Vec<String> = shapes.into_keys().filter(|name| !known.contains(name)).collect();
    match left.first() {
        Some(first) => bail!(
            "`{weights}` has `{first}`, which `{}` does not ask for on these sites ({} tensors in all): name the sites \
             that it was trained on",
            instance.component,
            left.len()
        ),
        None => Ok(()),
    }
}

impl Attached {
    /// Makes everything in the model's world.
    pub(super) fn new(registry: &Registry, model: &Model, given: &AttachedArguments) -> Result<Self> {
        let mut attached = Self { rewards: Vec::new(), tool: None };
        for instance in instances(registry, model, given)? {
            let id = model.world().create(&instance)?;
            let schema = model.world().schema(id)?;
            let gives = |name: &str| match schema.output(name) {
                Some(_) => Ok(()),
                None => Err(anyhow!("`{}` gives no `{name}`, as a {} does", schema.name, schema.kind)),
            };
            if schema.kind == "adapter" {
                nothing_left(model, &instance)?;
            }
            if let Some((_, told)) = given.reward.iter().find(|(name, _)| *name == instance.name) {
                gives("score")?;
                attached.rewards.push(Reward { name: told.clone(), instance: id });
            }
            if given.tool.as_ref() == Some(&instance.name) {
                gives("text")?;
                let protocol = Protocol {
                    call_open: given.call_open.clone(),
                    call_close: given.call_close.clone(),
                    result_open: given.result_open.clone(),
                    result_close: given.result_close.clone(),
                    maximum_calls: given.maximum_calls,
                };
                if protocol.call_open.trim().is_empty() || protocol.call_close.trim().is_empty() {
                    bail!("a call begins with `--call-open` and ends with `--call-close`, and one is empty");
                }
                attached.tool = Some(Tool { instance: id, protocol });
            }
        }
        Ok(attached)
    }

    /// Whether anything reads what stands beside a prompt.
    pub(super) fn reads_columns(&self) -> bool {
        !self.rewards.is_empty() || self.tool.is_some()
    }

    /// The scores of texts: for each reward its name, and a score for each text.
    pub(super) fn scores(&self, model: &Model, texts: &[Told<'_>]) -> Result<Vec<(&str, Vec<f64>)>> {
        self.rewards.iter().map(|reward| Ok((reward.name.as_str(), score(model, reward, texts)?))).collect()
    }
}

/// The inputs of a component: what it has of its own, by name, and what stands beside the prompts.
fn inputs<'s>(
    schema: &'s Schema,
    columns: &[&Columns],
    own: impl Fn(&str) -> Result<Option<Value>>,
) -> Result<Vec<(&'s str, Value)>> {
    let mut inputs = Vec::new();
    for port in &schema.inputs {
        let value = match own(&port.name)? {
            Some(value) => Some(value),
            None => column(&port.name, port.kind.dtype, columns)?,
        };
        match value {
            Some(value) => inputs.push((port.name.as_str(), value)),
            None if port.optional => {}
            None => bail!(
                "`{}` reads `{}`, which a line does not have; lines are JSON then: {}",
                schema.name,
                port.name,
                json!({ "prompt": "…", port.name.as_str(): "…" })
            ),
        }
    }
    Ok(inputs)
}

/// Calls a component outside of training, for one of its outputs.
fn called(model: &Model, id: InstanceId, inputs: &[(&str, Value)], wanted: &str) -> Result<Outputs> {
    let inputs: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
    let scope = CallScope { wanted: Wanted::Only(vec![wanted.to_owned()].into()), ..CallScope::default() };
    Ok(model.world().call(id, &scope, &inputs)?)
}

impl Tool {
    /// What it says to a query.
    pub(super) fn answer(&self, model: &Model, query: &str, columns: &Columns) -> Result<String> {
        let schema = model.world().schema(self.instance)?;
        let own = |name: &str| -> Result<Option<Value>> {
            Ok((name == "text").then(|| Value::Texts(vec![query.to_owned()])))
        };
        let inputs = inputs(&schema, &[columns], own)?;
        match called(model, self.instance, &inputs, "text")?.take("text") {
            Some(Value::Texts(mut texts)) if texts.len() == 1 => Ok(texts.remove(0)),
            _ => bail!("`{}` gave no text", schema.name),
        }
    }
}

fn score(model: &Model, reward: &Reward, texts: &[Told<'_>]) -> Result<Vec<f64>> {
    let schema = model.world().schema(reward.instance)?;
    let columns: Vec<&Columns> = texts.iter().map(|told| told.columns).collect();
    let of = |part: for<'a> fn(&'a Told<'a>) -> &'a String| {
        Value::Texts(texts.iter().map(|told| part(told).clone()).collect())
    };
    let own = |name: &str| -> Result<Option<Value>> {
        Ok(Some(match name {
            "text" => of(|told| &told.text),
            "prompt" => of(|told| &told.prompt),
            "lengths" => {
                let lengths: Vec<i64> = texts.iter().map(|told| told.tokens as i64).collect();
                Value::Tensor(Tensor::f_from_slice(&lengths)?)
            }
            "calls" => {
                let calls: Vec<f32> = texts.iter().map(|told| told.calls as f32).collect();
                Value::Tensor(Tensor::f_from_slice(&calls)?)
            }
            _ => return Ok(None),
        }))
    };
    let inputs = inputs(&schema, &columns, own)?;
    let mut outputs = called(model, reward.instance, &inputs, "score")?;
    let scores = outputs.take_tensor("score").ok_or_else(|| anyhow!("`{}` gave no scores", schema.name))?;
    let scores = scores.f_to_kind(tch::Kind::Double)?.f_to_device(tch::Device::Cpu)?.f_reshape([-1])?;
    let scores: Vec<f64> = Vec::try_from(scores)?;
    if scores.len() != texts.len() {
        bail!("`{}` gave {} scores of {} texts", schema.name, scores.len(), texts.len());
    }
    Ok(scores)
}

/// What stands beside the prompts under that name; none, where a line lacks it.
fn column(name: &str, dtype: Dtype, columns: &[&Columns]) -> Result<Option<Value>> {
    let Some(values) = columns.iter().map(|columns| columns.get(name)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let wrong = |what: &str| anyhow!("`{name}` of a line is no {what}");
    Ok(Some(match dtype {
        Dtype::Text => {
            let texts =
                values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong("text")));
            Value::Texts(texts.collect::<Result<_>>()?)
        }
        Dtype::Int => {
            let numbers = values.iter().map(|value| value.as_i64().ok_or_else(|| wrong("whole number")));
            Value::Tensor(Tensor::f_from_slice(&numbers.collect::<Result<Vec<i64>>>()?)?)
        }
        Dtype::Float | Dtype::Any => {
            let numbers =
                values.iter().map(|value| value.as_f64().map(|n| n as f32).ok_or_else(|| wrong("number")));
            Value::Tensor(Tensor::f_from_slice(&numbers.collect::<Result<Vec<f32>>>()?)?)
        }
        other => bail!("`{name}` is {}, which a line cannot give", other.name()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_the_model_get_its_name_in_its_world() {
        let mut value =
            json!([{ "$instance": MODEL }, { "a": { "$instance": MODEL } }, { "$instance": "b" }, MODEL]);
        renamed(&mut value);
        let wanted =
            json!([{ "$instance": "model" }, { "a": { "$instance": "model" } }, { "$instance": "b" }, MODEL]);
        assert_eq!(value, wanted);
    }

    #[test]
    fn what_stands_beside_prompts_becomes_inputs_of_their_types() {
        let line = |json: Json| json.as_object().unwrap().clone();
        let lines = [
            line(json!({ "wanted": "a", "level": 2, "share": 0.5 })),
            line(json!({ "wanted": "b", "level": 3 })),
        ];
        let lines: Vec<&Columns> = lines.iter().collect();
        let Some(Value::Texts(texts)) = column("wanted", Dtype::Text, &lines).unwrap() else { panic!() };
        assert_eq!(texts, ["a", "b"]);
        let Some(Value::Tensor(levels)) = column("level", Dtype::Int, &lines).unwrap() else { panic!() };
        assert_eq!(Vec::<i64>::try_from(levels).unwrap(), [2, 3]);
        // Not every line has it.
        assert!(column("share", Dtype::Float, &lines).unwrap().is_none());
        let wrong = column("wanted", Dtype::Int, &lines).unwrap_err();
        assert_eq!(wrong.to_string(), "`wanted` of a line is no whole number");
    }
}

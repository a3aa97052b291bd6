//! An instance of a component, and what the host does for it while it is created or called.

use crate::call::{self, Invocation};
use crate::error::{Action, Error, Fault, nearest};
use crate::functions::{Failure, failure_of};
use crate::initial::Initial;
use crate::loader::LoadedComponent;
use crate::parameters::Request;
use crate::raw::{Said, Slot};
use crate::scope::{CallScope, Stage};
use crate::seed::{Part, seed};
use crate::value::Value;
use crate::weights::Checkpoint;
use crate::world::Shared;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Kind, Tensor};
use zoo_schema::experiment::{Schedule, Share};
use zoo_schema::formula::Formula;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place in a model that an adapter's instance acts on.
#[derive(Clone, Debug)]
pub(crate) struct SitePlace {
    pub(crate) name: String,
    pub(crate) input: Option<i64>,
    pub(crate) output: Option<i64>,
}

/// An instance.
pub(crate) struct Cell {
    pub(crate) id: usize,
    pub(crate) name: Arc<str>,
    pub(crate) loaded: Arc<LoadedComponent>,
    /// The plugin's side; null until created, and for an adapter that stands for its sites.
    pub(crate) object: AtomicPtr<zoo_abi::Instance>,
    /// Serialises calls of components that are not concurrent.
    pub(crate) serial: Mutex<()>,
    pub(crate) poisoned: AtomicBool,
    /// Parameters as the plugin sees them: references are handles.
    pub(crate) parameters: Map<String, Json>,
    /// Whole numbers among them, for shapes.
    pub(crate) sizes: Vec<(String, i64)>,
    pub(crate) schedules: BTreeMap<String, Schedule>,
    /// Instances that it may call, by handle.
    pub(crate) references: BTreeSet<u64>,
    /// Names of the outputs; of data, of the columns.
    pub(crate) columns: Arc<[String]>,
    pub(crate) outputs: Arc<[String]>,
    pub(crate) site: Option<SitePlace>,
    /// For an adapter: its instances, one a site.
    pub(crate) parts: Vec<usize>,
    /// Hash over all that the instance depends on.
    pub(crate) key: Mutex<String>,
}

impl Drop for Cell {
    fn drop(&mut self) {
        let object = *self.object.get_mut();
        if !object.is_null() {
            // SAFETY: made by the same table's `create`, dropped once, with no call in progress since
            // calls hold the cell.
            unsafe { (self.loaded.table.0.drop)(object) }
        }
        crate::guard::drain_torch_error();
    }
}

impl Cell {
    pub(crate) fn schema(&self) -> &zoo_schema::Component {
        &self.loaded.schema
    }

    pub(crate) fn concurrent(&self) -> bool {
        self.loaded.table.0.flags & zoo_abi::flag::CONCURRENT != 0
    }
}

/// What a component may do only while it is created.
pub(crate) struct Creating {
    pub(crate) share: Vec<Share>,
    pub(crate) frozen: bool,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// URI and content of every asset it used.
    pub(crate) assets: Vec<(String, String)>,
    /// Component, plugin, parameters, and keys of references.
    pub(crate) base: String,
}

impl Creating {
    /// The key of the instance so far.
    pub(crate) fn key(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.base.as_bytes());
        for (uri, content) in &self.assets {
            hasher.update(json!([uri, content]).to_string().as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// An error of the host's own, which comes back through the plugin as a text.
pub(crate) struct Raised {
    message: String,
    fault: Fault,
}

/// One create or call in progress.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cell: Arc<Cell>,
    pub(crate) scope: CallScope,
    /// Tells calls of one component within another's call apart.
    pub(crate) turn: u64,
    pub(crate) nested: AtomicU64,
    pub(crate) creating: Option<Mutex<Creating>>,
    pub(crate) visited: Mutex<BTreeSet<String>>,
    pub(crate) raised: Mutex<Option<Raised>>,
}

/// Runs the plugin's function that writes a stage's file.
pub(crate) type StageCall<'a> = dyn FnMut(&str) -> (i32, Said) + 'a;

impl Running {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        cell: &Arc<Cell>,
        scope: CallScope,
        turn: u64,
        creating: Option<Creating>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            cell: Arc::clone(cell),
            scope,
            turn,
            nested: AtomicU64::new(0),
            creating: creating.map(Mutex::new),
            visited: Mutex::default(),
            raised: Mutex::default(),
        }
    }

    pub(crate) fn plugin_name(&self) -> Arc<str> {
        self.cell.loaded.plugin.build.name.as_str().into()
    }

    /// Keeps the fault itself, for when its text comes back as the plugin's error.
    fn raise(&self, fault: Fault) -> Failure {
        let failure = match &fault {
            Fault::Inner(inner) => failure_of(inner),
            other => Failure::from(other.to_string()),
        };
        *lock(&self.raised) = Some(Raised { message: failure.message.clone(), fault });
        failure
    }

    /// The fault behind a plugin's message, where it is one of the host's own.
    pub(crate) fn fault_behind(&self, message: &str) -> Option<Fault> {
        let raised = lock(&self.raised).take()?;
        message.contains(&raised.message).then_some(raised.fault)
    }

    fn creating(&self, what: &str) -> Result<MutexGuard<'_, Creating>, Failure> {
        let creating = self.creating.as_ref();
        creating.map(lock).ok_or_else(|| format!("{what} only while an instance is created").into())
    }

    pub(crate) fn parameter(
        &self,
        name: &str,
        shape: &[i64],
        spec: &zoo_abi::ParamSpec,
    ) -> Result<Tensor, Failure> {
        let mut creating = self.creating("parameters can be asked for")?;
        let name = match &self.cell.site {
            Some(site) => format!("{}.{name}", site.name),
            None => name.to_owned(),
        };
        let wrong = |reason: String| self.raise(Fault::Parameter { name: name.clone(), reason });
        let kind =
            kind_of(spec.dtype).ok_or_else(|| wrong(format!("there is no type {} for it", spec.dtype)))?;
        let initial = Initial::from_abi(&spec.init).map_err(wrong)?;
        let Creating { share, frozen, checkpoint, .. } = &mut *creating;
        let request = Request {
            instance: &self.cell.name,
            name: &name,
            shape,
            kind,
            initial,
            trainable: spec.trainable,
            frozen: *frozen,
            share,
            run_seed: self.shared.run_seed,
            device: self.shared.device(),
            mapped: self.shared.map_weights,
        };
        self.shared.parameters.make(&request, checkpoint.as_mut()).map_err(wrong)
    }

    pub(crate) fn asset(&self, uri: &str) -> Result<PathBuf, Failure> {
        drop(self.creating("assets can be asked for")?);
        let asset =
            self.shared.environment.asset(uri).map_err(|e| self.raise(Fault::Failed(e.to_string())))?;
        self.creating("assets can be asked for")?.assets.push((uri.to_owned(), asset.content));
        Ok(asset.path)
    }

    pub(crate) fn stage(&self, name: &str, run: &mut StageCall<'_>) -> Result<PathBuf, Failure> {
        let base = self.creating("stages can be made")?.key();
        let stage = Stage {
            key: blake3::hash(json!([base, name]).to_string().as_bytes()).to_hex().to_string(),
            instance: self.cell.name.to_string(),
            component: self.cell.schema().name.clone(),
            name: name.to_owned(),
        };
        // What the plugin's function said goes back to it unchanged.
        let mut said: Option<Failure> = None;
        let made = self.shared.environment.stage(&stage, &mut |path: &Path| {
            let path = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
            let (status, words) = run(path);
            if status == zoo_abi::status::OK {
                return Ok(());
            }
            let message = if words.message.is_empty() { "the stage failed" } else { &words.message };
            let at = words.at.clone().unwrap_or_default();
            said = Some(Failure { status, message: message.to_owned(), at });
            Err(message.into())
        });
        match (made, said) {
            (Ok(path), _) => Ok(path),
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(self.raise(Fault::Failed(error.to_string()))),
        }
    }

    pub(crate) fn seed(&self, stream: &str, row: u64) -> u64 {
        let instance = Part::Text(&self.cell.name);
        let stream = Part::Text(stream);
        if self.creating.is_some() {
            return seed(self.shared.run_seed, &[Part::Text("create"), instance, stream, Part::Number(row)]);
        }
        let row = self.scope.row_offset.wrapping_add(row);
        seed(
            self.shared.run_seed,
            &[
                Part::Text("call"),
                instance,
                Part::Text(&self.scope.node),
                stream,
                Part::Number(self.scope.update),
                Part::Number(row),
            ],
        )
    }

    /// The seed of libtorch's own generator for this call.
    pub(crate) fn device_seed(&self) -> u64 {
        seed(
            self.shared.run_seed,
            &[
                Part::Text("device"),
                Part::Text(&self.scope.node),
                Part::Number(self.scope.update),
                Part::Number(self.scope.micro),
                Part::Number(self.turn),
            ],
        )
    }

    pub(crate) fn current(&self, name: &str) -> Option<f64> {
        match self.cell.schedules.get(name) {
            Some(schedule) => Some(schedule.at(self.scope.phase_update)),
            None => self.cell.parameters.get(name)?.as_f64(),
        }
    }

    /// How it is called.
    pub(crate) fn scope(&self) -> &CallScope {
        &self.scope
    }

    pub(crate) fn metric(&self, name: &str, value: f64) {
        self.shared.environment.metric(&self.cell.name, &self.scope, name, value);
    }

    pub(crate) fn artifact(&self, name: &str, media_type: &str, content: &[u8]) {
        self.shared.environment.artifact(&self.cell.name, name, media_type, content);
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.shared.environment.cancelled()
    }

    /// The scope of a call that this one makes. Where no gradient flows through this one, what it calls
    /// is not trained by it: no gradients are recorded, and nothing is dropped.
    fn inner_scope(&self, instance: &str) -> (CallScope, u64) {
        let number = self.nested.fetch_add(1, Ordering::Relaxed);
        let stops = self.cell.schema().effects.stops_gradient;
        let scope = CallScope {
            training: self.scope.training && !stops,
            gradients: self.scope.gradients && !stops,
            node: format!("{}>{instance}", self.scope.node).into(),
            wanted: crate::scope::Wanted::All,
            ..self.scope.clone()
        };
        (scope, seed(self.turn, &[Part::Number(number + 1)]))
    }

    /// libtorch's generator goes on from a place that this call's own seed decides.
    fn reseed(&self, inner: &Cell) {
        if call::seeds_device(inner) && call::seeds_device(&self.cell) && self.creating.is_none() {
            let number = self.nested.load(Ordering::Relaxed);
            let next = seed(self.device_seed(), &[Part::Text("after"), Part::Number(number)]);
            tch::manual_seed(next.cast_signed());
        }
    }

    pub(crate) fn has_adapters(&self, site: &str) -> bool {
        self.shared.adapters_on(self.cell.id, site).is_some()
    }

    pub(crate) fn site(&self, name: &str, x: Tensor, y: Tensor) -> Result<Option<Tensor>, Failure> {
        let Some(adapters) = self.shared.adapters_on(self.cell.id, name) else { return Ok(None) };
        lock(&self.visited).insert(name.to_owned());
        let (x, mut y) = (Value::Tensor(x), Value::Tensor(y));
        for adapter in adapters {
            let (mut scope, turn) = self.inner_scope(&adapter.name);
            scope.node = format!("{}:{name}", scope.node).into();
            let inputs = [("x", &x), ("y", &y)];
            let made = Invocation::call(&adapter, &inputs)
                .and_then(|invocation| call::run(&self.shared, &adapter, invocation, scope, turn));
            let mut outputs = made.map_err(|e| self.raise(Fault::Inner(Box::new(e))))?;
            self.reseed(&adapter);
            let place = adapter.outputs.iter().position(|o| o == "y").unwrap_or(0);
            match outputs.get_mut(place).and_then(Option::take) {
                Some(value @ Value::Tensor(_)) => y = value,
                _ => return Err(self.raise(Fault::OutputMissing("y".to_owned()))),
            }
        }
        match y {
            Value::Tensor(y) => Ok(Some(y)),
            _ => Ok(None),
        }
    }

    fn referenced(&self, handle: u64) -> Result<Arc<Cell>, Failure> {
        let cell = self.cell.references.contains(&handle).then(|| self.shared.by_handle(handle)).flatten();
        cell.ok_or_else(|| format!("handle {handle} is none of its references").into())
    }

    /// Calls another component; outputs of data are its columns.
    pub(crate) fn invoke(
        &self,
        handle: u64,
        method: u32,
        inputs: Vec<Option<Value>>,
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Failure> {
        let cell = self.referenced(handle)?;
        let (scope, turn) = self.inner_scope(&cell.name);
        let slots = inputs
            .iter()
            .map(|input| match input {
                None => Slot::Absent,
                Some(Value::List(values)) => Slot::Many(values.iter().collect()),
                Some(value) => Slot::One(value),
            })
            .collect();
        let made = Invocation::raw(&cell, method, slots, wanted)
            .and_then(|invocation| call::run(&self.shared, &cell, invocation, scope, turn));
        let values = made.map_err(|e| self.raise(Fault::Inner(Box::new(e))))?;
        self.reseed(&cell);
        Ok(if method == zoo_abi::method::READ { call::expand(&cell, values) } else { values })
    }

    /// What a reference is; handle 0 is the instance itself.
    pub(crate) fn describe(&self, handle: u64) -> Result<String, Failure> {
        let cell = if handle == 0 { Arc::clone(&self.cell) } else { self.referenced(handle)? };
        let mut description = json!({
            "name": &*cell.name,
            "component": cell.schema().name,
            "parameters": cell.parameters,
            "inputs": cell.schema().inputs.iter().map(|port| &port.name).collect::<Vec<_>>(),
            "outputs": &*cell.columns,
        });
        if let (Some(site), Json::Object(map)) = (&cell.site, &mut description) {
            let site = json!({ "name": site.name, "input": site.input, "output": site.output });
            map.insert("site".to_owned(), site);
        }
        Ok(description.to_string())
    }
}

fn kind_of(number: i32) -> Option<Kind> {
    Some(match number {
        0 => Kind::Uint8,
        3 => Kind::Int,
        4 => Kind::Int64,
        5 => Kind::Half,
        6 => Kind::Float,
        7 => Kind::Double,
        11 => Kind::Bool,
        15 => Kind::BFloat16,
        _ => return None,
    })
}

/// The sizes of a model's site, from its schema: the site's input and output.
pub(crate) fn find_site(model: &Cell, name: &str) -> Result<SitePlace, Fault> {
    let value = |parameter: &str| model.sizes.iter().find(|(n, _)| n == parameter).map(|(_, v)| *v);
    let number = |formula: &str| {
        let formula = Formula::parse(formula).ok()?;
        let size = formula.evaluate(&|name| value(name).map(|v| v as f64)).ok()?;
        (size.fract() == 0.0 && size >= 0.0).then_some(size as i64)
    };
    for site in &model.schema().sites {
        if matches_site(&site.name, name, &value) {
            return Ok(SitePlace {
                name: name.to_owned(),
                input: number(&site.input),
                output: number(&site.output),
            });
        }
    }
    // The first of every index is enough to suggest from.
    let known: Vec<String> = model.schema().sites.iter().map(|s| first_index(&s.name)).collect();
    Err(Fault::SiteUnknown {
        model: model.name.to_string(),
        site: name.to_owned(),
        nearest: nearest(name, known.iter().map(String::as_str)),
    })
}

fn first_index(pattern: &str) -> String {
    let parts = pattern.split('.').map(|part| if part.starts_with('{') { "0" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

fn matches_site(pattern: &str, name: &str, value: &dyn Fn(&str) -> Option<i64>) -> bool {
    let (pattern, name): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), name.split('.').collect());
    pattern.len() == name.len()
        && pattern.iter().zip(&name).all(|(pattern, part)| {
            match pattern.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                None => pattern == part,
                // `007` is no index.
                Some(parameter) => part.parse::<u32>().is_ok_and(|index| {
                    index.to_string() == *part
                        && value(parameter).is_some_and(|count| i64::from(index) < count)
                }),
            }
        })
}

/// An error of an instance outside of any call.
pub(crate) fn component_error(cell: &Cell, action: Action, fault: Fault) -> Error {
    Error::Component(Box::new(crate::error::ComponentError {
        plugin: cell.loaded.plugin.build.name.clone(),
        component: cell.schema().name.clone(),
        instance: cell.name.to_string(),
        action,
        step: None,
        at: None,
        fault,
        help: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::matches_site;

    #[test]
    fn sites_match_their_pattern() {
        let value = |name: &str| (name == "layers").then_some(2);
        let matches = |name| matches_site("layers.{layers}.query", name, &value);
        assert!(matches("layers.0.query") && matches("layers.1.query"));
        for other in ["layers.2.query", "layers.-1.query", "layers.01.query", "layers.query", "layers.0.key"]
        {
            assert!(!matches(other), "{other}");
        }
    }
}

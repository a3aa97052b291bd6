//! Instances of components, their parameters, and calls.

pub(crate) use crate::instance::{Running, StageCall};

use crate::call::{self, Invocation, Warned};
use crate::error::{Action, ComponentError, Error, Fault, Result, WeightsFault, nearest};
use crate::functions::Entered;
use crate::guard::Guard;
use crate::instance::{Cell, Creating, SitePlace, component_error, find_site, lock};
use crate::loader::{LoadedComponent, Registry};
use crate::parameters::{Parameter, Parameters};
use crate::raw;
use crate::scope::{CallScope, Environment};
use crate::seed::{Part, seed};
use crate::value::{Outputs, Value};
use crate::weights::Checkpoint;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tch::{Device, Tensor};
use zoo_abi::{method, status};
use zoo_schema::experiment::{Instance, Schedule};
use zoo_schema::{Component, Default as ParameterDefault};

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct WorldOptions {
    /// The run's seed: everything random follows from it.
    pub run_seed: u64,
    /// Where parameters are made.
    pub device: Device,
    /// Also look for values that are no numbers and for changed switches of the process, at a price.
    pub paranoid: bool,
    /// Parameters of a checkpoint stay in its file, mapped into memory, where they lie there as they are
    /// wanted: nothing is copied, pages are read when they are used, and processes share them. For
    /// those who only read them, as long as nobody writes into the file; default false: they are
    /// copied.
    pub map_weights: bool,
}

impl std::default::Default for WorldOptions {
    fn default() -> Self {
        Self { run_seed: 0, device: Device::Cpu, paranoid: false, map_weights: false }
    }
}

/// An instance of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(usize);

type Adapters = HashMap<usize, BTreeMap<String, Vec<Arc<Cell>>>>;

pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) run_seed: u64,
    pub(crate) paranoid: bool,
    pub(crate) map_weights: bool,
    device: Mutex<Device>,
    pub(crate) parameters: Parameters,
    cells: RwLock<Vec<Arc<Cell>>>,
    names: RwLock<HashMap<String, usize>>,
    adapters: RwLock<Adapters>,
    pub(crate) warned: Mutex<Warned>,
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn device(&self) -> Device {
        *lock(&self.device)
    }

    fn cell(&self, id: usize) -> Option<Arc<Cell>> {
        read(&self.cells).get(id).cloned()
    }

    /// Handles are ids plus one: 0 is the instance itself.
    pub(crate) fn by_handle(&self, handle: u64) -> Option<Arc<Cell>> {
        self.cell(usize::try_from(handle.checked_sub(1)?).ok()?)
    }

    fn by_name(&self, name: &str) -> Option<Arc<Cell>> {
        self.cell(*read(&self.names).get(name)?)
    }

    pub(crate) fn adapters_on(&self, model: usize, site: &str) -> Option<Vec<Arc<Cell>>> {
        read(&self.adapters).get(&model)?.get(site).cloned()
    }

    /// A site that adapters act on and that a call did not come by.
    pub(crate) fn missed_site(&self, model: usize, visited: &BTreeSet<String>) -> Option<String> {
        read(&self.adapters).get(&model)?.keys().find(|site| !visited.contains(*site)).cloned()
    }
}

/// Instances of components under one seed, with their parameters. Shared between threads: a call of
/// a component that is not concurrent waits for the one before.
pub struct World {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = read(&self.shared.cells).iter().map(|c| c.name.to_string()).collect();
        f.debug_struct("World").field("instances", &names).finish_non_exhaustive()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        write(&self.shared.adapters).clear();
        // Those that refer to others go first.
        loop {
            let last = write(&self.shared.cells).pop();
            if last.is_none() {
                break;
            }
        }
    }
}

impl World {
    /// An empty world over loaded plugins.
    pub fn new(registry: Arc<Registry>, environment: Arc<dyn Environment>, options: WorldOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                registry,
                environment,
                run_seed: options.run_seed,
                paranoid: options.paranoid,
                map_weights: options.map_weights,
                device: Mutex::new(options.device),
                parameters: Parameters::default(),
                cells: RwLock::default(),
                names: RwLock::default(),
                adapters: RwLock::default(),
                warned: Mutex::default(),
            }),
        }
    }

    /// Creates an instance; those that it refers to must be there. Its parameters are drawn, shared
    /// or loaded as the recipe says.
    ///
    /// # Errors
    /// An unknown component, the component's own complaint, and everything about its parameters.
    pub fn create(&self, instance: &Instance) -> Result<InstanceId> {
        let loaded = self.shared.registry.component(&instance.name, &instance.component)?;
        if read(&self.shared.names).contains_key(&instance.name) {
            return Err(Error::InstanceTwice(instance.name.clone()));
        }
        let draft = Draft { shared: &self.shared, instance, loaded };
        let before = read(&self.shared.cells).len();
        let made = match &instance.on {
            None => draft.one(None),
            Some(sites) => draft.adapter(&sites.instance, &sites.names),
        };
        match made {
            Ok(cell) => {
                write(&self.shared.names).insert(instance.name.clone(), cell.id);
                Ok(InstanceId(cell.id))
            }
            Err(error) => {
                // Nothing of a failed creation stays.
                write(&self.shared.cells).truncate(before);
                self.shared.parameters.forget(&instance.name);
                Err(error)
            }
        }
    }

    fn cell(&self, id: InstanceId) -> Result<Arc<Cell>> {
        self.shared.cell(id.0).ok_or_else(|| Error::UnknownInstance(format!("#{}", id.0)))
    }

    /// The instance of that name.
    pub fn instance(&self, name: &str) -> Option<InstanceId> {
        read(&self.shared.names).get(name).copied().map(InstanceId)
    }

    /// The instance's name.
    ///
    /// # Errors
    /// An id of another world.
    pub fn name(&self, id: InstanceId) -> Result<Arc<str>> {
        Ok(Arc::clone(&self.cell(id)?.name))
    }

    /// The schema of the instance's component.
    ///
    /// # Errors
    /// An id of another world.
    pub fn schema(&self, id: InstanceId) -> Result<Component> {
        Ok(self.cell(id)?.schema().clone())
    }

    /// Names of the outputs; of data, of its columns.
    ///
    /// # Errors
    /// An id of another world.
    pub fn columns(&self, id: InstanceId) -> Result<Arc<[String]>> {
        Ok(Arc::clone(&self.cell(id)?.columns))
    }

    /// Whether calls may run on several threads at once.
    ///
    /// # Errors
    /// An id of another world.
    pub fn concurrent(&self, id: InstanceId) -> Result<bool> {
        Ok(self.cell(id)?.concurrent())
    }

    /// Hash over all that the instance depends on: component, plugin file, parameters, assets, and
    /// the same of its references. Equal keys of data mean equal examples.
    ///
    /// # Errors
    /// An id of another world.
    pub fn content_key(&self, id: InstanceId) -> Result<String> {
        Ok(lock(&self.cell(id)?.key).clone())
    }

    fn named(
        &self,
        id: InstanceId,
        method: u32,
        scope: &CallScope,
        inputs: &[(&str, &Value)],
    ) -> Result<Outputs> {
        let cell = self.cell(id)?;
        let invocation = Invocation::named(&cell, method, inputs)?;
        let values = call::run(&self.shared, &cell, invocation, scope.clone(), 0)?;
        Ok(Outputs { names: Arc::clone(&cell.outputs), values })
    }

    /// Calls the instance with inputs by port; a port that repeats may stand several times. The
    /// outputs are those wanted in the scope.
    ///
    /// # Errors
    /// Inputs that do not fit the schema, the component's failure, and every breach of its contract.
    pub fn call(&self, id: InstanceId, scope: &CallScope, inputs: &[(&str, &Value)]) -> Result<Outputs> {
        self.named(id, method::CALL, scope, inputs)
    }

    /// The number of examples of data.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn length(&self, id: InstanceId) -> Result<u64> {
        let values = self.named(id, method::LENGTH, &CallScope::default(), &[])?.into_values();
        let length = match values.into_iter().next() {
            Some(Some(Value::Int(length))) => u64::try_from(length).ok(),
            _ => None,
        };
        length.ok_or_else(|| match self.cell(id) {
            Ok(cell) => {
                let reason = "is negative".to_owned();
                component_error(
                    &cell,
                    Action::Length,
                    Fault::OutputInvalid { port: "length".to_owned(), reason },
                )
            }
            Err(error) => error,
        })
    }

    /// Examples of data by index, a row each: names and values of the columns.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn read(&self, id: InstanceId, scope: &CallScope, indices: &[i64]) -> Result<Vec<(String, Value)>> {
        let cell = self.cell(id)?;
        let indices = Value::Tensor(Tensor::f_from_slice(indices)?);
        let invocation = Invocation::named(&cell, method::READ, &[("indices", &indices)])?;
        let values = call::expand(&cell, call::run(&self.shared, &cell, invocation, scope.clone(), 0)?);
        if values.len() != cell.columns.len() {
            let reason = format!("gave {} columns instead of {}", values.len(), cell.columns.len());
            let port = cell.outputs.first().cloned().unwrap_or_default();
            return Err(component_error(&cell, Action::Read, Fault::OutputInvalid { port, reason }));
        }
        Ok(cell
            .columns
            .iter()
            .cloned()
            .zip(values)
            .filter_map(|(name, value)| Some((name, value?)))
            .collect())
    }

    /// The number of targets of an objective. Inputs are those of the call; the ones that do not
    /// matter for the count are left out.
    ///
    /// # Errors
    /// As [`World::call`]; a number that is negative or none.
    pub fn count(&self, id: InstanceId, scope: &CallScope, inputs: &[(&str, &Value)]) -> Result<f64> {
        let values = self.named(id, method::COUNT, scope, inputs)?.into_values();
        let count = values.into_iter().next().flatten().and_then(|v| v.real()).unwrap_or(f64::NAN);
        if count.is_finite() && count >= 0.0 {
            return Ok(count);
        }
        let reason = format!("is {count}");
        let fault = Fault::OutputInvalid { port: "count".to_owned(), reason };
        Err(component_error(&*self.cell(id)?, Action::Count, fault))
    }

    /// A metric's value over all calls since the last reset.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn finish(&self, id: InstanceId, scope: &CallScope) -> Result<f64> {
        let values = self.named(id, method::FINISH, scope, &[])?.into_values();
        Ok(values.into_iter().next().flatten().and_then(|v| v.real()).unwrap_or(f64::NAN))
    }

    /// Makes a metric forget what it accumulated.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn reset(&self, id: InstanceId) -> Result<()> {
        self.named(id, method::RESET, &CallScope::default(), &[]).map(drop)
    }

    /// A tokenizer's `tokenizer.json`, or a model's `config.json`.
    ///
    /// # Errors
    /// As [`World::call`].
    pub fn export(&self, id: InstanceId) -> Result<Vec<u8>> {
        match self.named(id, method::EXPORT, &CallScope::default(), &[])?.into_values().into_iter().next() {
            Some(Some(Value::Bytes(bytes))) => Ok(bytes),
            _ => Err(component_error(
                &*self.cell(id)?,
                Action::Export,
                Fault::OutputMissing("tokenizer.json".to_owned()),
            )),
        }
    }

    /// The state of an instance that is no parameter; none where it has none.
    ///
    /// # Errors
    /// The component's failure.
    pub fn save(&self, id: InstanceId) -> Result<Option<Vec<u8>>> {
        let cell = self.cell(id)?;
        if cell.parts.is_empty() {
            return self.save_one(&cell);
        }
        // One state a site, each with its length; empty where there is none.
        let mut all = Vec::new();
        let mut any = false;
        for part in &cell.parts {
            let state = self.save_one(&*self.cell(InstanceId(*part))?)?;
            any |= state.is_some();
            let state = state.unwrap_or_default();
            all.extend_from_slice(&(state.len() as u64).to_le_bytes());
            all.extend_from_slice(&state);
        }
        Ok(any.then_some(all))
    }

    fn outside(cell: &Cell, action: Action, code: i32, said: raw::Said) -> Error {
        let (fault, help, at) = call::fault_of(code, said, None);
        match component_error(cell, action, fault) {
            Error::Component(error) => Error::Component(Box::new(ComponentError { help, at, ..*error })),
            other => other,
        }
    }

    fn save_one(&self, cell: &Cell) -> Result<Option<Vec<u8>>> {
        let object = Self::callable(cell, Action::Save)?;
        let Some(save) = cell.loaded.table.0.save else { return Ok(None) };
        let _serial = lock(&cell.serial);
        let (mut out, mut error) = (raw::empty_owned(), raw::empty_error());
        let guard = Guard::enter(false, false);
        // SAFETY: the object was made by this table; both structs are valid.
        let code = unsafe { save(object, &raw mut out, &raw mut error) };
        let (left, _) = guard.leave();
        // SAFETY: filled by the plugin or still empty; taken once.
        let said = unsafe { raw::take_error(error) };
        call::warn(&self.shared, cell, &left);
        if code == status::UNSUPPORTED {
            return Ok(None);
        }
        if code != status::OK {
            return Err(Self::failed(cell, Action::Save, code, said));
        }
        let nothing = out.ptr.is_null();
        // SAFETY: an output is ours.
        let bytes = unsafe { raw::take_owned(&mut out) };
        let reason =
            |reason: &str| Fault::OutputInvalid { port: "state".to_owned(), reason: reason.to_owned() };
        let bytes = bytes.map_err(|r| component_error(cell, Action::Save, reason(r)))?;
        Ok((!nothing).then_some(bytes))
    }

    /// Gives an instance back the state that [`World::save`] gave.
    ///
    /// # Errors
    /// The component's failure, or a state that is cut off.
    pub fn load(&self, id: InstanceId, state: &[u8]) -> Result<()> {
        let cell = self.cell(id)?;
        if cell.parts.is_empty() {
            return self.load_one(&cell, state);
        }
        let mut rest = state;
        for part in &cell.parts {
            let (length, after) = rest.split_first_chunk::<8>().ok_or_else(|| cut_off(&cell))?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut_off(&cell))?;
            let (own, after) = after.split_at_checked(length).ok_or_else(|| cut_off(&cell))?;
            rest = after;
            if !own.is_empty() {
                self.load_one(&*self.cell(InstanceId(*part))?, own)?;
            }
        }
        Ok(())
    }

    fn load_one(&self, cell: &Cell, state: &[u8]) -> Result<()> {
        let object = Self::callable(cell, Action::Load)?;
        let Some(load) = cell.loaded.table.0.load else {
            let fault = Fault::Unsupported("it has a saved state and does not take it back".to_owned());
            return Err(component_error(cell, Action::Load, fault));
        };
        let _serial = lock(&cell.serial);
        let mut error = raw::empty_error();
        let guard = Guard::enter(false, false);
        let lent = zoo_abi::Str { ptr: state.as_ptr(), len: state.len() };
        // SAFETY: the object was made by this table; the bytes live through the call.
        let code = unsafe { load(object, lent, &raw mut error) };
        let (left, _) = guard.leave();
        // SAFETY: filled by the plugin or still empty; taken once.
        let said = unsafe { raw::take_error(error) };
        call::warn(&self.shared, cell, &left);
        if code == status::OK { Ok(()) } else { Err(Self::failed(cell, Action::Load, code, said)) }
    }

    fn callable(cell: &Cell, action: Action) -> Result<*mut zoo_abi::Instance> {
        if cell.poisoned.load(Ordering::Acquire) {
            return Err(component_error(cell, action, Fault::Poisoned));
        }
        Ok(cell.object.load(Ordering::Acquire))
    }

    fn failed(cell: &Cell, action: Action, code: i32, said: raw::Said) -> Error {
        if code == status::PANIC {
            cell.poisoned.store(true, Ordering::Release);
        }
        Self::outside(cell, action, code, said)
    }

    /// Every parameter and buffer, in the order they were asked for. A shared one stands once for
    /// every instance that has it.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.shared.parameters.all()
    }

    /// The parameters and buffers of one instance, shared ones included: for a checkpoint of it.
    pub fn parameters_of(&self, instance: &str) -> Vec<Parameter> {
        self.shared.parameters.all().into_iter().filter(|p| p.instance == instance).collect()
    }

    /// Chooses what is trained: the parameters at or below each of the names (`gen`, `gen.head`),
    /// except frozen ones and buffers. All others stop requiring gradients. A shared parameter is
    /// trained where any of its names is chosen, and stands once in the answer, under its owner's.
    ///
    /// # Errors
    /// A name under which there is no parameter.
    pub fn train_only(&self, names: &[String]) -> Result<Vec<Parameter>> {
        self.shared.parameters.train_only(names)
    }

    /// Names and tensors of all parameters and buffers, shared ones once: what a resumed run needs.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let own = self.shared.parameters.all().into_iter().filter(|p| p.shared.is_none());
        own.map(|p| (p.name, p.tensor)).collect()
    }

    /// Copies values that [`World::state`] gave back, in place.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape or type, or of nobody; then nothing is changed.
    pub fn load_state(&self, state: &[(String, Tensor)]) -> Result<()> {
        self.shared.parameters.load(state)
    }

    /// Moves all parameters to a device, in place: instances stay valid.
    ///
    /// # Errors
    /// What libtorch says, such as out of memory.
    pub fn to_device(&self, device: Device) -> Result<()> {
        self.shared.parameters.to_device(device)?;
        *lock(&self.shared.device) = device;
        Ok(())
    }
}

fn cut_off(cell: &Cell) -> Error {
    component_error(cell, Action::Load, Fault::Failed("its saved state is cut off".to_owned()))
}

/// An instance on its way.
struct Draft<'a> {
    shared: &'a Arc<Shared>,
    instance: &'a Instance,
    loaded: Arc<LoadedComponent>,
}

/// Parameters with references replaced, and what they refer to.
#[derive(Default)]
struct Resolved {
    parameters: Map<String, Json>,
    /// The same with keys in place of references: what the content depends on.
    keyed: Map<String, Json>,
    references: BTreeSet<u64>,
    schedules: BTreeMap<String, Schedule>,
}

impl Draft<'_> {
    fn fail(&self, at: Option<&str>, fault: Fault) -> Error {
        Error::Component(Box::new(ComponentError {
            plugin: self.loaded.plugin.build.name.clone(),
            component: self.loaded.schema.name.clone(),
            instance: self.instance.name.clone(),
            action: Action::Create,
            step: None,
            at: at.map(str::to_owned),
            fault,
            help: None,
        }))
    }

    fn reference(&self, parameter: &str, value: &Json, resolved: &mut Resolved) -> Result<(Json, Json)> {
        match value {
            Json::Object(map) => {
                if let (1, Some(Json::String(name))) = (map.len(), map.get("$instance")) {
                    let cell = self.shared.by_name(name).ok_or_else(|| {
                        let text = format!("it refers to `{name}`, which is not there yet");
                        self.fail(Some(parameter), Fault::Recipe(text))
                    })?;
                    let handle = cell.id as u64 + 1;
                    resolved.references.insert(handle);
                    let key = lock(&cell.key).clone();
                    return Ok((Json::from(handle), json!({ "$key": key })));
                }
                if let (1, Some(schedule)) = (map.len(), map.get("$schedule")) {
                    let schedule = serde_json::from_value(schedule.clone()).map_err(|e| {
                        self.fail(Some(parameter), Fault::Recipe(format!("its schedule cannot be read: {e}")))
                    })?;
                    resolved.schedules.insert(parameter.to_owned(), schedule);
                }
                Ok((value.clone(), value.clone()))
            }
            Json::Array(values) => {
                let mut pair = (Vec::new(), Vec::new());
                for value in values {
                    let (plain, keyed) = self.reference(parameter, value, resolved)?;
                    pair.0.push(plain);
                    pair.1.push(keyed);
                }
                Ok((Json::Array(pair.0), Json::Array(pair.1)))
            }
            other => Ok((other.clone(), other.clone())),
        }
    }

    fn resolve(&self) -> Result<Resolved> {
        let schema = &self.loaded.schema;
        let mut resolved = Resolved::default();
        for name in self.instance.parameters.keys() {
            if schema.parameter(name).is_none() {
                let near = nearest(name, schema.parameters.iter().map(|p| p.name.as_str()));
                let text = format!("it has no parameter `{name}`{}", crate::error::did_you_mean(&near));
                return Err(self.fail(Some(name), Fault::Recipe(text)));
            }
        }
        for parameter in &schema.parameters {
            let given = self.instance.parameters.get(&parameter.name);
            // The checker has filled in defaults; tools and tests may leave constant ones out.
            let value = match (given, &parameter.default) {
                (Some(value), _) => value.clone(),
                (None, Some(ParameterDefault::Value(value))) => value.clone(),
                (None, None) if parameter.optional => Json::Null,
                (None, _) => {
                    let text = format!("its parameter `{}` has no value", parameter.name);
                    return Err(self.fail(Some(&parameter.name), Fault::Recipe(text)));
                }
            };
            let (plain, keyed) = self.reference(&parameter.name, &value, &mut resolved)?;
            resolved.parameters.insert(parameter.name.clone(), plain);
            resolved.keyed.insert(parameter.name.clone(), keyed);
        }
        Ok(resolved)
    }

    /// The names of outputs, with those that stand for columns of the recipe's choice spread out.
    fn columns(&self, parameters: &Map<String, Json>) -> Arc<[String]> {
        let mut columns = Vec::new();
        for output in &self.loaded.schema.outputs {
            match output.columns_from.as_ref().and_then(|name| parameters.get(name)) {
                Some(Json::Array(names)) => {
                    columns.extend(names.iter().filter_map(|n| n.as_str()).map(str::to_owned));
                }
                Some(Json::String(name)) => columns.push(name.clone()),
                _ => columns.push(output.name.clone()),
            }
        }
        columns.into()
    }

    fn checkpoint(&self) -> Result<Option<(Checkpoint, (String, String))>> {
        let Some(uri) = &self.instance.weights else { return Ok(None) };
        let weights = |fault: WeightsFault| Error::Weights {
            instance: self.instance.name.clone(),
            fault: Box::new(fault),
        };
        let environment = &self.shared.environment;
        let asset = environment
            .asset(uri)
            .map_err(|e| weights(WeightsFault::Asset { uri: uri.clone(), reason: e.to_string() }))?;
        // Shards lie beside their index.
        let resolve = |name: &str| -> std::result::Result<PathBuf, String> {
            let folder = uri.rsplit_once('/').map_or("", |(folder, _)| folder);
            environment.asset(&format!("{folder}/{name}")).map(|a| a.path).map_err(|e| e.to_string())
        };
        let checkpoint = Checkpoint::open(&asset.path, &resolve).map_err(weights)?;
        Ok(Some((checkpoint, (uri.clone(), asset.content))))
    }

    fn cell(&self, resolved: Resolved, site: Option<SitePlace>, parts: Vec<usize>) -> Arc<Cell> {
        let columns = self.columns(&resolved.parameters);
        let mut cells = write(&self.shared.cells);
        let sizes = resolved
            .parameters
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_i64()?)))
            .collect();
        let cell = Arc::new(Cell {
            id: cells.len(),
            name: self.instance.name.as_str().into(),
            outputs: self.loaded.schema.outputs.iter().map(|o| o.name.clone()).collect(),
            loaded: Arc::clone(&self.loaded),
            object: AtomicPtr::new(std::ptr::null_mut()),
            serial: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            parameters: resolved.parameters,
            sizes,
            schedules: resolved.schedules,
            references: resolved.references,
            columns,
            site,
            parts,
            key: Mutex::default(),
        });
        cells.push(Arc::clone(&cell));
        cell
    }

    /// An adapter: an instance on the plugin's side for each of its sites.
    fn adapter(&self, model: &str, sites: &[String]) -> Result<Arc<Cell>> {
        let model = self.shared.by_name(model).ok_or_else(|| {
            self.fail(None, Fault::Recipe(format!("it acts on `{model}`, which is not there yet")))
        })?;
        let mut parts = Vec::new();
        for name in sites {
            let site = find_site(&model, name).map_err(|fault| self.fail(None, fault))?;
            parts.push(self.one(Some(site))?);
        }
        let ids = parts.iter().map(|part| part.id).collect();
        let cell = self.cell(self.resolve()?, None, ids);
        let keys: Vec<String> = parts.iter().map(|part| lock(&part.key).clone()).collect();
        *lock(&cell.key) = blake3::hash(json!(keys).to_string().as_bytes()).to_hex().to_string();
        let mut adapters = write(&self.shared.adapters);
        let on_model = adapters.entry(model.id).or_default();
        for (name, part) in sites.iter().zip(parts) {
            on_model.entry(name.clone()).or_default().push(part);
        }
        Ok(cell)
    }

    fn one(&self, site: Option<SitePlace>) -> Result<Arc<Cell>> {
        let resolved = self.resolve()?;
        let checkpoint = self.checkpoint()?;
        let schema = &self.loaded.schema;
        // Streams are named by the instance, so the same component under another name draws differently.
        let seed_part = schema.effects.random.then(|| json!([self.shared.run_seed, self.instance.name]));
        let shares: Vec<(String, String)> = self
            .instance
            .share
            .iter()
            .filter_map(|s| Some((s.prefix.clone(), lock(&self.shared.by_name(&s.instance)?.key).clone())))
            .collect();
        let base = json!([
            schema.name,
            self.loaded.plugin.hash,
            resolved.keyed,
            seed_part,
            shares,
            site.as_ref().map(|s| &s.name),
        ]);
        let (checkpoint, assets) = match checkpoint {
            Some((checkpoint, asset)) => (Some(checkpoint), vec![asset]),
            None => (None, Vec::new()),
        };
        let json = Json::Object(resolved.parameters.clone()).to_string();
        let cell = self.cell(resolved, site, Vec::new());
        let creating = Creating {
            share: self.instance.share.clone(),
            frozen: self.instance.frozen,
            checkpoint,
            assets,
            base: base.to_string(),
        };
        let running = Arc::new(Running::new(self.shared, &cell, CallScope::default(), 0, Some(creating)));
        let mut object = std::ptr::null_mut();
        let mut error = raw::empty_error();
        let _turn = call::Turn::wait_for(&cell);
        let entered = Entered::new(Arc::clone(&running));
        let guard = Guard::enter(false, self.shared.paranoid);
        if call::seeds_device(&cell) {
            let parts = [Part::Text("create"), Part::Text(&cell.name)];
            tch::manual_seed(seed(self.shared.run_seed, &parts).cast_signed());
        }
        // SAFETY: the text lives through the call; both out pointers are valid.
        let code = unsafe {
            (self.loaded.table.0.create)(entered.context(), raw::lend(&json), &raw mut object, &raw mut error)
        };
        let (left, process) = guard.leave();
        drop(entered);
        // SAFETY: filled by the plugin or still empty; taken once.
        let said = unsafe { raw::take_error(error) };
        call::warn(self.shared, &cell, &left);
        if code != status::OK {
            let (fault, help, at) = call::fault_of(code, said, Some(&running));
            return Err(match self.fail(at.as_deref(), fault) {
                Error::Component(error) => Error::Component(Box::new(ComponentError { help, ..*error })),
                other => other,
            });
        }
        if object.is_null() {
            return Err(self.fail(None, Fault::NoInstance));
        }
        cell.object.store(object, Ordering::Release);
        if let Some(fault) = process {
            return Err(self.fail(None, fault));
        }
        self.finish(&running, &cell)?;
        Ok(cell)
    }

    /// What can be said about parameters only when all were asked for.
    fn finish(&self, running: &Running, cell: &Cell) -> Result<()> {
        let Some(creating) = &running.creating else { return Ok(()) };
        let mut creating = lock(creating);
        if let Some(checkpoint) = creating.checkpoint.take() {
            let left = checkpoint.finish().map_err(|fault| Error::Weights {
                instance: self.instance.name.clone(),
                fault: Box::new(fault),
            })?;
            if !left.is_empty() {
                let (instance, first) =
                    (&self.instance.name, left.iter().take(5).cloned().collect::<Vec<_>>());
                tracing::info!(
                    instance,
                    count = left.len(),
                    ?first,
                    "the weights have tensors that nothing asked for"
                );
            }
        }
        for share in &self.instance.share {
            if !self.shared.parameters.has(&self.instance.name, &share.prefix) {
                return Err(self.fail(Some("share"), Fault::ShareUnused(share.prefix.clone())));
            }
        }
        *lock(&cell.key) = creating.key();
        Ok(())
    }
}

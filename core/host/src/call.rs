//! The guarded call of an instance.

use crate::check::{Sizes, not_numbers};
use crate::error::{Action, ComponentError, Error, Fault, Result, Step, nearest};
use crate::functions::Entered;
use crate::guard::{Guard, Left};
use crate::instance::{Cell, Running, lock};
use crate::raw::{self, Lent, Said, Slot};
use crate::scope::{CallScope, Wanted};
use crate::value::Value;
use crate::world::Shared;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use tch::Tensor;
use zoo_abi::{method, status};
use zoo_schema::{Dtype, Port, PortType};

/// Calls within calls; more is a circle.
const DEPTH_LIMIT: usize = 32;

thread_local! {
    /// Instances that this thread is in, innermost last: cells by address.
    static STACK: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
    static HAS_TURN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn single(name: &str, dtype: Dtype) -> Vec<Port> {
    vec![Port {
        name: name.to_owned(),
        kind: PortType { dtype, shape: Vec::new() },
        optional: false,
        repeated: false,
        better: None,
        columns_from: None,
        unit: None,
        doc: String::new(),
    }]
}

/// Outputs of the methods that a schema does not list.
static LENGTH: LazyLock<Vec<Port>> = LazyLock::new(|| single("length", Dtype::Integer));
static COUNT: LazyLock<Vec<Port>> = LazyLock::new(|| single("count", Dtype::Real));
static FINISH: LazyLock<Vec<Port>> = LazyLock::new(|| single("value", Dtype::Real));
static EXPORT: LazyLock<Vec<Port>> = LazyLock::new(|| single("tokenizer.json", Dtype::Bytes));
static INDICES: LazyLock<Arc<[Port]>> = LazyLock::new(|| {
    let mut ports = single("indices", Dtype::Int);
    ports[0].kind.shape = vec![zoo_schema::Dim::Name("B".to_owned())];
    ports.into()
});
static NO_INPUTS: LazyLock<Arc<[Port]>> = LazyLock::new(|| Arc::from([]));

/// One call, with its inputs in place.
pub(crate) struct Invocation<'a> {
    method: u32,
    action: Action,
    inputs: Arc<[Port]>,
    slots: Vec<Slot<'a>>,
    wanted: Option<Vec<bool>>,
}

pub(crate) fn repeats(port: &Port) -> bool {
    port.repeated || port.columns_from.is_some()
}

/// Whether libtorch's generator is seeded before a call: on the device's side only, since there is
/// one generator for the whole process and loader threads would disturb it. Whoever seeds it holds
/// [`Turn`] while it draws.
pub(crate) fn seeds_device(cell: &Cell) -> bool {
    let schema = cell.schema();
    schema.effects.random && !schema.effects.loader && !matches!(schema.kind.as_str(), "data" | "tokenizer")
}

fn action_of(method: u32) -> Option<Action> {
    Some(match method {
        method::CALL => Action::Call,
        method::LENGTH => Action::Length,
        method::READ => Action::Read,
        method::COUNT => Action::Count,
        method::FINISH => Action::Finish,
        method::RESET => Action::Reset,
        method::EXPORT => Action::Export,
        _ => return None,
    })
}

fn input_ports(cell: &Cell, method: u32) -> Arc<[Port]> {
    Arc::clone(match method {
        method::CALL => &cell.loaded.inputs,
        method::READ => &INDICES,
        method::COUNT => &cell.loaded.count_inputs,
        _ => &NO_INPUTS,
    })
}

fn output_ports(cell: &Cell, method: u32) -> &[Port] {
    match method {
        method::CALL | method::READ => &cell.schema().outputs,
        method::LENGTH => &LENGTH,
        method::COUNT => &COUNT,
        method::FINISH => &FINISH,
        method::EXPORT => &EXPORT,
        _ => &[],
    }
}

impl<'a> Invocation<'a> {
    /// A call with inputs by name; a port that repeats may stand several times.
    pub(crate) fn call(cell: &Cell, inputs: &[(&str, &'a Value)]) -> Result<Self> {
        Self::named(cell, method::CALL, inputs)
    }

    /// A method with inputs by name. Inputs that only the call has are left out of a count.
    pub(crate) fn named(cell: &Cell, method: u32, given: &[(&str, &'a Value)]) -> Result<Self> {
        let action = action_of(method).unwrap_or(Action::Call);
        let inputs = input_ports(cell, method);
        let known: &[Port] = if method == method::COUNT { &cell.schema().inputs } else { &inputs };
        for (name, _) in given {
            if !known.iter().any(|port| port.name == *name) {
                let near = nearest(name, known.iter().map(|p| p.name.as_str()));
                let fault = Fault::InputUnknown { port: (*name).to_owned(), nearest: near };
                return Err(crate::instance::component_error(cell, action, fault));
            }
        }
        let slots = inputs
            .iter()
            .map(|port| {
                let mut values = given.iter().filter(|(name, _)| *name == port.name).map(|(_, value)| *value);
                if repeats(port) {
                    let values: Vec<&Value> = values
                        .flat_map(|value| match value {
                            Value::List(values) => values.iter().collect(),
                            other => vec![other],
                        })
                        .collect();
                    if values.is_empty() { Slot::Absent } else { Slot::Many(values) }
                } else {
                    // The last one wins, as with names of parameters.
                    values.next_back().map_or(Slot::Absent, Slot::One)
                }
            })
            .collect();
        Ok(Self { method, action, inputs, slots, wanted: None })
    }

    /// A method with inputs in order, as a component asks for it.
    pub(crate) fn raw(cell: &Cell, method: u32, slots: Vec<Slot<'a>>, wanted: &[bool]) -> Result<Self> {
        let Some(action) = action_of(method) else {
            let fault = Fault::Unsupported(format!("there is no method {method}"));
            return Err(crate::instance::component_error(cell, Action::Call, fault));
        };
        let inputs = input_ports(cell, method);
        if slots.len() != inputs.len() {
            let fault =
                Fault::Failed(format!("it was given {} inputs and has {}", slots.len(), inputs.len()));
            return Err(crate::instance::component_error(cell, action, fault));
        }
        // Columns of data are several outputs to the caller and may be one to the component.
        let columns = method == method::READ && cell.columns.len() != cell.outputs.len();
        let wanted = if columns {
            None
        } else {
            let outputs = output_ports(cell, method).len();
            Some((0..outputs).map(|i| wanted.get(i).copied().unwrap_or(false)).collect())
        };
        Ok(Self { method, action, inputs, slots, wanted })
    }
}

/// Outputs of data as its columns: one that stands for several is spread out.
pub(crate) fn expand(cell: &Cell, values: Vec<Option<Value>>) -> Vec<Option<Value>> {
    let mut columns = Vec::with_capacity(cell.columns.len());
    for (port, value) in cell.schema().outputs.iter().zip(values) {
        match value {
            Some(Value::List(list)) if port.columns_from.is_some() => {
                columns.extend(list.into_iter().map(Some))
            }
            other => columns.push(other),
        }
    }
    columns
}

fn each_tensor<'v>(value: &'v Value, visit: &mut dyn FnMut(&'v Tensor)) {
    match value {
        Value::Tensor(tensor) => visit(tensor),
        Value::List(values) => values.iter().for_each(|value| each_tensor(value, visit)),
        _ => {}
    }
}

/// The version of every tensor that must not be written to, with its port.
fn versions<'s>(cell: &Cell, inputs: &[Port], slots: &'s [Slot<'_>]) -> Vec<(usize, &'s Tensor, i64)> {
    let mut versions = Vec::new();
    for (place, (port, slot)) in inputs.iter().zip(slots).enumerate() {
        if cell.schema().effects.writes.contains(&port.name) {
            continue;
        }
        let mut note = |tensor: &'s Tensor| {
            // Tensors made in inference mode have no version.
            if let Ok(version) = zoo_torch::tensor::version(tensor) {
                versions.push((place, tensor, version));
            }
        };
        match slot {
            Slot::Absent => {}
            Slot::One(value) => each_tensor(value, &mut note),
            Slot::Many(values) => values.iter().for_each(|value| each_tensor(value, &mut note)),
        }
    }
    versions
}

fn check_inputs<'a>(
    sizes: &mut Sizes<'a>,
    inputs: &'a [Port],
    slots: &[Slot<'_>],
) -> std::result::Result<(), Fault> {
    for (port, slot) in inputs.iter().zip(slots) {
        match slot {
            Slot::Absent if port.optional || repeats(port) => {}
            Slot::Absent => return Err(Fault::InputMissing(port.name.clone())),
            Slot::One(value) => sizes.check("input", port, repeats(port), value)?,
            Slot::Many(values) if repeats(port) => {
                for value in values {
                    let list = Value::List(vec![value.shallow_clone()]);
                    sizes.check("input", port, true, &list)?;
                }
            }
            Slot::Many(values) => {
                let list = Value::List(values.iter().map(|v| v.shallow_clone()).collect());
                sizes.check("input", port, false, &list)?;
            }
        }
    }
    Ok(())
}

/// Marks an instance as running in this thread.
struct InStack;

impl InStack {
    fn enter(cell: &Arc<Cell>) -> std::result::Result<Self, Fault> {
        let address = Arc::as_ptr(cell) as usize;
        STACK.with_borrow_mut(|stack| {
            if !cell.concurrent() && stack.contains(&address) {
                return Err(Fault::Failed(
                    "it is called while it is running: by itself, or in a circle".to_owned(),
                ));
            }
            if stack.len() >= DEPTH_LIMIT {
                return Err(Fault::Failed(format!(
                    "components call each other more than {DEPTH_LIMIT} deep"
                )));
            }
            stack.push(address);
            Ok(Self)
        })
    }
}

impl Drop for InStack {
    fn drop(&mut self) {
        STACK.with_borrow_mut(|stack| stack.truncate(stack.len().saturating_sub(1)));
    }
}

/// The turn of a thread to draw from libtorch's generator, which is one for the whole process: two
/// worlds that run side by side would otherwise disturb each other's draws.
///
/// It is taken before the lock of any component, and once a thread: calls within a call go on with
/// the turn of the outermost.
pub(crate) struct Turn(Option<MutexGuard<'static, ()>>);

static GENERATOR: Mutex<()> = Mutex::new(());

impl Turn {
    pub(crate) fn wait_for(cell: &Cell) -> Self {
        if !seeds_device(cell) {
            return Self(None);
        }
        Self::wait()
    }

    fn wait() -> Self {
        HAS_TURN.with(|has| Self((!has.replace(true)).then(|| lock(&GENERATOR))))
    }
}

/// Draws from libtorch's generator, seeded with a number of the host's ([`crate::seed()`]), while nobody
/// else does.
pub fn draw<T>(seed: u64, draw: impl FnOnce() -> T) -> T {
    let _turn = Turn::wait();
    tch::manual_seed(seed.cast_signed());
    draw()
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.is_some() {
            HAS_TURN.set(false);
        }
    }
}

/// The fault that a status and the plugin's words mean.
pub(crate) fn fault_of(
    code: i32,
    said: Said,
    running: Option<&Running>,
) -> (Fault, Option<String>, Option<String>) {
    let Said { message, help, at } = said;
    let message = if message.is_empty() { "it failed without saying why".to_owned() } else { message };
    let fault = match code {
        status::PANIC => Fault::Panicked(message),
        status::CANCELLED => Fault::Cancelled,
        status::ERROR | status::TORCH | status::UNSUPPORTED => {
            match running.and_then(|r| r.fault_behind(&message)) {
                Some(fault) => fault,
                None if code == status::TORCH => Fault::Torch(crate::error::first_line(&message)),
                None if code == status::UNSUPPORTED => Fault::Unsupported(message),
                None => Fault::Failed(message),
            }
        }
        other => Fault::Status(other),
    };
    (fault, help, at)
}

/// `sizes` holds those of the inputs: names of dimensions mean the same in inputs and outputs.
fn check_outputs<'s>(
    outputs: &'s [Port],
    mut sizes: Sizes<'s>,
    wanted: &[bool],
    outs: &[zoo_abi::Value],
    lent: &mut Lent,
    (paranoid, by_name): (bool, bool),
) -> std::result::Result<Vec<Option<Value>>, Fault> {
    let mut values = Vec::with_capacity(outs.len());
    let mut wrong = None;
    // Everything is taken over before anything is judged, so that nothing leaks.
    for (port, out) in outputs.iter().zip(outs) {
        // SAFETY: written by the plugin, which answered OK; taken once.
        match unsafe { raw::take(out, &mut lent.handles) } {
            Ok(value) => values.push(value),
            Err(reason) => {
                values.push(None);
                wrong = wrong.or(Some(Fault::OutputInvalid { port: port.name.clone(), reason }));
            }
        }
    }
    if let Some(fault) = wrong {
        return Err(fault);
    }
    for ((port, value), wanted) in outputs.iter().zip(&values).zip(wanted) {
        match value {
            // What the recipe goes on with by name must be there, optional or not.
            None if *wanted && (by_name || !port.optional) => {
                return Err(Fault::OutputMissing(port.name.clone()));
            }
            None => {}
            Some(value) => {
                sizes.check("output", port, repeats(port), value)?;
                let count = if paranoid { not_numbers(value) } else { 0 };
                if count > 0 {
                    return Err(Fault::NotNumbers { port: port.name.clone(), count });
                }
            }
        }
    }
    // What nobody asked for is dropped.
    for (value, wanted) in values.iter_mut().zip(wanted) {
        if !wanted {
            *value = None;
        }
    }
    Ok(values)
}

/// Calls a method of an instance, with every guard around it.
pub(crate) fn run(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    invocation: Invocation<'_>,
    scope: CallScope,
    turn: u64,
) -> Result<Vec<Option<Value>>> {
    let Invocation { method, action, inputs, slots, wanted } = invocation;
    // Cheap to keep; a text is made of it only when something fails.
    let (step, node, update) = (Arc::clone(&scope.step), Arc::clone(&scope.node), scope.update);
    let fail = |fault: Fault, help: Option<String>, at: Option<String>| {
        Error::Component(Box::new(ComponentError {
            plugin: cell.loaded.plugin.build.name.clone(),
            component: cell.schema().name.clone(),
            instance: cell.name.to_string(),
            action,
            step: Some(Step { step: step.to_string(), node: node.to_string(), update }),
            at,
            fault,
            help,
        }))
    };
    let plain = |fault: Fault| fail(fault, None, None);
    if cell.poisoned.load(Ordering::Acquire) {
        return Err(plain(Fault::Poisoned));
    }
    let object = cell.object.load(Ordering::Acquire);
    if object.is_null() {
        return Err(plain(Fault::Unsupported("an adapter is called by the model it acts on".to_owned())));
    }
    let mut sizes = Sizes::new(&cell.sizes);
    check_inputs(&mut sizes, &inputs, &slots).map_err(plain)?;
    let outputs = output_ports(cell, method);
    let by_name = wanted.is_none() && method == method::CALL && matches!(scope.wanted, Wanted::Only(_));
    let wanted = wanted.unwrap_or_else(|| match (&scope.wanted, method) {
        (Wanted::Only(names), method::CALL) => outputs.iter().map(|o| names.contains(&o.name)).collect(),
        _ => vec![true; outputs.len()],
    });
    let mut lent = Lent::of(&slots);
    let mut outs = raw::asked(&wanted);
    let mut error = raw::empty_error();
    let _in_stack = InStack::enter(cell).map_err(plain)?;
    let _turn = Turn::wait_for(cell);
    let _serial = (!cell.concurrent()).then(|| lock(&cell.serial));
    let before = versions(cell, &inputs, &slots);
    let gradients = scope.gradients;
    let running = Arc::new(Running::new(shared, cell, scope, turn, None));
    let entered = Entered::new(Arc::clone(&running));
    let guard = Guard::enter(gradients, shared.paranoid);
    if seeds_device(cell) {
        tch::manual_seed(running.device_seed().cast_signed());
    }
    // SAFETY: the object was made by this table; arrays have the lengths given and live through the
    // call, like all they point to; the component is concurrent or the lock is held.
    let code = unsafe {
        (cell.loaded.table.0.call)(
            object,
            entered.context(),
            method,
            lent.values.as_ptr(),
            lent.values.len(),
            outs.as_mut_ptr(),
            outs.len(),
            &raw mut error,
        )
    };
    let (left, process) = guard.leave();
    drop(entered);
    // SAFETY: filled by the plugin or still empty; taken once.
    let said = unsafe { raw::take_error(error) };
    warn(shared, cell, &left);
    if code == status::PANIC {
        cell.poisoned.store(true, Ordering::Release);
    }
    if code != status::OK {
        // On failure the outputs stay the plugin's.
        let (fault, help, at) = fault_of(code, said, Some(&running));
        return Err(fail(fault, help, at));
    }
    let modes = (shared.paranoid, by_name);
    let values = check_outputs(outputs, sizes, &wanted, &outs, &mut lent, modes).map_err(plain)?;
    for (place, tensor, version) in before {
        if zoo_torch::tensor::version(tensor).is_ok_and(|now| now != version) {
            return Err(plain(Fault::InputWritten(inputs[place].name.clone())));
        }
    }
    if let Some(fault) = process {
        return Err(plain(fault));
    }
    if method == method::CALL
        && let Some(site) = shared.missed_site(cell.id, &lock(&running.visited))
    {
        return Err(plain(Fault::SiteUnused(site)));
    }
    Ok(values)
}

/// Says once a plugin and switch what it left changed.
pub(crate) fn warn(shared: &Shared, cell: &Cell, left: &Left) {
    if *left == Left::default() {
        return;
    }
    let plugin = &cell.loaded.plugin.build.name;
    let component = &cell.schema().name;
    let mut warned = lock(&shared.warned);
    for switch in &left.switches {
        if warned.insert((plugin.clone(), switch)) {
            tracing::warn!(target: "plugin", plugin, component, "it left {switch} changed; it was put right");
        }
    }
    if let Some(message) = &left.stale_error
        && warned.insert((plugin.clone(), "an error unread"))
    {
        tracing::warn!(target: "plugin", plugin, component, "it left an error of libtorch unread: {message}");
    }
}

pub(crate) type Warned = HashSet<(String, &'static str)>;

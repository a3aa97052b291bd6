//! Every parameter and buffer of every component: made, owned, moved, saved and loaded here.

use crate::error::{Error, Result, nearest};
use crate::initial::Initial;
use crate::weights::{Checkpoint, Taken, Wanted};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};
use zoo_schema::experiment::Share;

/// A parameter or buffer.
#[derive(Debug)]
pub struct Parameter {
    /// Full name: the instance's, a dot, and the component's name for it.
    pub name: String,
    /// The instance that has it.
    pub instance: String,
    /// The tensor; shares memory and gradient with the component's.
    pub tensor: Tensor,
    /// Trained unless frozen; false for a buffer.
    pub trainable: bool,
    /// Never trained, as the recipe says.
    pub frozen: bool,
    /// The full name of the parameter that this one is, where the recipe shares it.
    pub shared: Option<String>,
}

impl Parameter {
    fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            instance: self.instance.clone(),
            tensor: self.tensor.shallow_clone(),
            trainable: self.trainable,
            frozen: self.frozen,
            shared: self.shared.clone(),
        }
    }

    /// The component's own name for it.
    pub fn local_name(&self) -> &str {
        self.name.get(self.instance.len() + 1..).unwrap_or(&self.name)
    }
}

/// What a component asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) instance: &'a str,
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [i64],
    pub(crate) kind: Kind,
    pub(crate) initial: Initial,
    pub(crate) trainable: bool,
    pub(crate) frozen: bool,
    pub(crate) share: &'a [Share],
    pub(crate) run_seed: u64,
    pub(crate) device: Device,
    /// Whether what a file holds may stay there.
    pub(crate) mapped: bool,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Parameter>,
    places: HashMap<String, usize>,
}

impl Table {
    fn get(&self, name: &str) -> Option<&Parameter> {
        self.entries.get(*self.places.get(name)?)
    }
}

/// All parameters of a world, in the order in which components asked for them.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    table: Mutex<Table>,
}

/// Largest tensor that a component may ask for: a mistake, not a model, lies beyond.
const ELEMENTS_LIMIT: i64 = 1 << 40;

/// Whether `name` is `prefix` or lies below it; everything lies below nothing.
pub(crate) fn below(name: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Parameters {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a parameter, or gives the one that the recipe shares. The answer is a handle of its own
    /// on the same tensor; the text of an error is for the component to pass on.
    pub(crate) fn make(
        &self,
        request: &Request<'_>,
        checkpoint: Option<&mut Checkpoint>,
    ) -> std::result::Result<Tensor, String> {
        let Request { instance, name, shape, kind, .. } = *request;
        let full = format!("{instance}.{name}");
        let count = shape
            .iter()
            .try_fold(1_i64, |product, size| if *size < 0 { None } else { product.checked_mul(*size) })
            .filter(|count| *count <= ELEMENTS_LIMIT)
            .ok_or_else(|| format!("the shape {shape:?} makes no sense"))?;
        if request.trainable && !matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
            return Err(format!("a parameter of type {kind:?} cannot be trained; it may be a buffer"));
        }
        if self.lock().get(&full).is_some() {
            return Err("it is asked for twice".to_owned());
        }
        let share = request.share.iter().find(|share| below(name, &share.prefix));
        let (tensor, shared, frozen) = if let Some(share) = share {
            let table = self.lock();
            let other = format!("{}.{name}", share.instance);
            let Some(entry) = table.get(&other) else {
                let near = nearest(&other, table.entries.iter().map(|e| e.name.as_str()));
                return Err(format!(
                    "it is shared with `{}`, which has no parameter of that name{}",
                    share.instance,
                    crate::error::did_you_mean(&near)
                ));
            };
            if entry.tensor.size() != shape || entry.tensor.kind() != kind {
                return Err(format!(
                    "it has the shape {shape:?} of {kind:?} here, and {:?} of {:?} in `{}`, with which it is shared",
                    entry.tensor.size(),
                    entry.tensor.kind(),
                    share.instance
                ));
            }
            let owner = entry.shared.clone().unwrap_or_else(|| entry.name.clone());
            (entry.tensor.shallow_clone(), Some(owner), entry.frozen)
        } else {
            let tensor = self.fill(request, &full, count, checkpoint)?;
            (tensor, None, request.frozen)
        };
        let handle = tensor.shallow_clone();
        let mut table = self.lock();
        let place = table.entries.len();
        table.places.insert(full.clone(), place);
        table.entries.push(Parameter {
            name: full,
            instance: instance.to_owned(),
            tensor,
            trainable: request.trainable,
            frozen,
            shared,
        });
        Ok(handle)
    }

    fn fill(
        &self,
        request: &Request<'_>,
        full: &str,
        count: i64,
        checkpoint: Option<&mut Checkpoint>,
    ) -> std::result::Result<Tensor, String> {
        let torch = |e: tch::TchError| crate::error::first_line(&e.to_string());
        let loaded = match checkpoint {
            Some(checkpoint) => {
                let Request { shape, kind, device, mapped, .. } = *request;
                let wanted = Wanted { shape, kind, device, mapped };
                match checkpoint.take(request.name, &wanted).map_err(|e| e.to_string())? {
                    Taken::Found(tensor) => Some(tensor),
                    Taken::Optional => None,
                    Taken::Missing => {
                        // The component is built to its end, for everything that is missing to be named, on
                        // values that take no memory.
                        let zero = Tensor::f_zeros([1], (request.kind, request.device)).map_err(torch)?;
                        return zero.f_expand(request.shape, false).map_err(torch);
                    }
                }
            }
            None => None,
        };
        let made = match loaded {
            Some(tensor) => tensor,
            None => match request.initial {
                Initial::Constant(value) => {
                    Tensor::f_full(request.shape, value, (request.kind, Device::Cpu)).map_err(torch)?
                }
                drawn => {
                    let count = usize::try_from(count).map_err(|e| e.to_string())?;
                    let values = drawn.draw(request.run_seed, full, count);
                    Tensor::f_from_slice(&values).and_then(|t| t.f_view(request.shape)).map_err(torch)?
                }
            },
        };
        let tensor =
            made.f_to_kind(request.kind).and_then(|t| t.f_to_device(request.device)).map_err(torch)?;
        // A leaf of its own, not a view of what was read.
        let mut tensor = tensor.f_contiguous().and_then(|t| t.f_detach()).map_err(torch)?;
        tensor.f_requires_grad_(request.trainable && !request.frozen).map_err(torch)
    }

    /// Whether the instance has a parameter at or below the prefix.
    pub(crate) fn has(&self, instance: &str, prefix: &str) -> bool {
        self.lock().entries.iter().any(|e| e.instance == instance && below(e.local_name(), prefix))
    }

    /// Forgets the parameters of an instance whose creation failed.
    pub(crate) fn forget(&self, instance: &str) {
        let mut table = self.lock();
        table.entries.retain(|e| e.instance != instance);
        table.places = table.entries.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
    }

    pub(crate) fn all(&self) -> Vec<Parameter> {
        self.lock().entries.iter().map(Parameter::again).collect()
    }

    /// See [`World::train_only`](crate::World::train_only).
    pub(crate) fn train_only(&self, selected: &[String]) -> Result<Vec<Parameter>> {
        let table = self.lock();
        for wanted in selected {
            if !table.entries.iter().any(|e| below(&e.name, wanted)) {
                let near = nearest(wanted, table.entries.iter().map(|e| e.name.as_str()));
                return Err(Error::Parameters(format!(
                    "nothing to train is named `{wanted}`{}",
                    crate::error::did_you_mean(&near)
                )));
            }
        }
        let chosen: Vec<&str> = table
            .entries
            .iter()
            .filter(|e| e.trainable && !e.frozen && selected.iter().any(|s| below(&e.name, s)))
            .map(|e| e.shared.as_deref().unwrap_or(&e.name))
            .collect();
        let mut trained = Vec::new();
        for entry in table.entries.iter().filter(|e| e.shared.is_none() && e.trainable) {
            let on = chosen.contains(&entry.name.as_str());
            let _same = entry.tensor.shallow_clone().f_requires_grad_(on)?;
            if on {
                trained.push(entry.again());
            }
        }
        Ok(trained)
    }

    /// Copies saved values back, in place. Every tensor must be there, and no other.
    pub(crate) fn load(&self, state: &[(String, Tensor)]) -> Result<()> {
        let table = self.lock();
        let saved: HashMap<&str, &Tensor> = state.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let own: Vec<&Parameter> = table.entries.iter().filter(|e| e.shared.is_none()).collect();
        for (name, _) in state {
            if !own.iter().any(|e| e.name == *name) {
                let near = nearest(name, own.iter().map(|e| e.name.as_str()));
                return Err(Error::Parameters(format!(
                    "the saved state has `{name}`, which no component asks for{}",
                    crate::error::did_you_mean(&near)
                )));
            }
        }
        for entry in &own {
            let Some(tensor) = saved.get(entry.name.as_str()) else {
                return Err(Error::Parameters(format!("the saved state lacks `{}`", entry.name)));
            };
            if tensor.size() != entry.tensor.size() || tensor.kind() != entry.tensor.kind() {
                return Err(Error::Parameters(format!(
                    "`{}` is {:?} of {:?} in the saved state and {:?} of {:?} in the model",
                    entry.name,
                    tensor.size(),
                    tensor.kind(),
                    entry.tensor.size(),
                    entry.tensor.kind()
                )));
            }
        }
        let _no_gradients = tch::no_grad_guard();
        for entry in &own {
            if let Some(tensor) = saved.get(entry.name.as_str()) {
                entry.tensor.shallow_clone().f_copy_(tensor)?;
            }
        }
        Ok(())
    }

    /// Moves every tensor in place: the handles of components stay valid. Gradients are dropped.
    pub(crate) fn to_device(&self, device: Device) -> Result<()> {
        let table = self.lock();
        let _no_gradients = tch::no_grad_guard();
        for entry in table.entries.iter().filter(|e| e.shared.is_none()) {
            let mut tensor = entry.tensor.shallow_clone();
            let moved = tensor.f_to_device(device)?;
            tensor.f_set_data(&moved)?;
        }
        Ok(())
    }
}

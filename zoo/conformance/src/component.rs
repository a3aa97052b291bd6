//! A component under test, and the checks that every kind has.

use crate::compare::{self, Named};
use crate::inputs::{self, Inputs, Wish};
use crate::report::{Report, Result, Stop, failed, skipped};
use crate::{Options, documents, gradients, kinds, splits};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{
    Asset, CallScope, Environment, EnvironmentError, InstanceId, LocalEnvironment, Registry, Stage, Value,
    Wanted, World, WorldOptions,
};
use zoo_schema::experiment::Instance;
use zoo_schema::{Component, Dim, Dtype};

/// A component that can be made.
pub(crate) struct Subject<'a> {
    registry: &'a Arc<Registry>,
    pub(crate) schema: &'a Component,
    /// What is reported on, where it is not what is called: an adapter.
    tested: &'a Component,
    instances: Vec<Instance>,
    /// The place of what is called among them.
    called: usize,
    pub(crate) options: &'a Options,
    stages: tempfile::TempDir,
}

/// Stages in a folder of the test's; assets by the last part of their URI in a folder of the caller's.
struct Files {
    local: LocalEnvironment,
    assets: Option<PathBuf>,
}

impl Environment for Files {
    fn asset(&self, uri: &str) -> std::result::Result<Asset, EnvironmentError> {
        let last = uri.rsplit(['/', ':']).next().unwrap_or(uri);
        match self.assets.as_ref().map(|folder| folder.join(last)).filter(|path| path.exists()) {
            Some(path) => self.local.asset(&path.display().to_string()),
            None => self.local.asset(uri),
        }
    }

    fn stage(
        &self,
        stage: &Stage,
        produce: &mut dyn FnMut(&Path) -> std::result::Result<(), EnvironmentError>,
    ) -> std::result::Result<PathBuf, EnvironmentError> {
        self.local.stage(stage, produce)
    }
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        registry: &'a Arc<Registry>,
        schema: &'a Component,
        instances: Vec<Instance>,
        options: &'a Options,
    ) -> Result<Self> {
        let stages = tempfile::tempdir().map_err(|e| Stop::Failed(e.to_string()))?;
        // An adapter is called by the model that it acts on: that one is put through its checks, changed.
        let model = instances.last().and_then(|i| i.on.as_ref()).map(|on| on.instance.as_str());
        let called = match model {
            Some(model) => instances.iter().position(|i| i.name == model).unwrap_or_default(),
            None => instances.len().saturating_sub(1),
        };
        let tested = schema;
        let schema = match (model, instances.get(called)) {
            (Some(_), Some(model)) => registry
                .schema(&model.component)
                .ok_or_else(|| Stop::Failed(format!("there is no `{}`", model.component)))?,
            _ => schema,
        };
        let subject = Self { registry, schema, tested, instances, called, options, stages };
        let (world, id) = subject.world(options.seed)?;
        let (again, _) = subject.world(options.seed)?;
        world.name(id)?;
        for (one, other) in world.parameters().iter().zip(again.parameters()) {
            if one.name != other.name
                || !compare::same(
                    &Value::Tensor(one.tensor.shallow_clone()),
                    &Value::Tensor(other.tensor.shallow_clone()),
                )
            {
                return failed(format!("made twice, its parameter `{}` differs", one.name));
            }
        }
        Ok(subject)
    }

    /// A world with the component in it.
    pub(crate) fn world(&self, run_seed: u64) -> Result<(World, InstanceId)> {
        let local = LocalEnvironment { folder: self.stages.path().to_owned() };
        let environment = Files { local, assets: self.options.assets.clone() };
        let options = WorldOptions { run_seed, device: Device::Cpu, ..WorldOptions::default() };
        let world = World::new(Arc::clone(self.registry), Arc::new(environment), options);
        let mut made = Vec::new();
        for instance in &self.instances {
            made.push(world.create(instance)?);
        }
        match made.get(self.called).copied() {
            Some(id) => Ok((world, id)),
            None => failed("there is nothing to make"),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.options.seed
    }

    /// The parameters that it is made with.
    pub(crate) fn parameters(&self) -> &Map<String, Json> {
        static EMPTY: std::sync::LazyLock<Map<String, Json>> = std::sync::LazyLock::new(Map::new);
        self.instances.get(self.called).map_or(&EMPTY, |i| &i.parameters)
    }

    pub(crate) fn inputs(&self, wish: &Wish, round: u64) -> Result<Inputs> {
        let seed = self.options.seed.wrapping_mul(1000).wrapping_add(round);
        let mut wish = wish.clone();
        if let Some(fixed) = self.options.sizes.get(&self.schema.name) {
            wish.sizes.extend(fixed.clone());
        }
        inputs::make(self.schema, self.parameters(), &wish, seed).map_err(Stop::Skipped)
    }

    pub(crate) fn call(
        &self,
        world: &World,
        id: InstanceId,
        scope: &CallScope,
        inputs: &Inputs,
    ) -> Result<Named> {
        Ok(world.call(id, scope, &inputs.ports())?.into_pairs().collect())
    }

    /// Parameters in double precision, in place, so that differences are not those of rounding.
    pub(crate) fn widen(world: &World) -> Result<()> {
        let _quiet = tch::no_grad_guard();
        for parameter in world.parameters().iter().filter(|p| p.tensor.kind() == Kind::Float) {
            let wide = parameter.tensor.f_to_kind(Kind::Double)?;
            parameter.tensor.shallow_clone().f_set_data(&wide)?;
        }
        Ok(())
    }

    pub(crate) fn check(&self, report: &mut Report) {
        let name = self.tested.name.clone();
        let mut add = |check: &'static str, result: Result<()>| {
            report.add(Some(&name), check, result.into());
        };
        add("create", Ok(()));
        match self.schema.kind.as_str() {
            "data" => add("reading", kinds::data(self)),
            "optimizer" => add("update", kinds::optimizer(self)),
            "schedule" => add("factors", kinds::schedule(self)),
            "adapter" => add("shapes", skipped("its example puts it on no model")),
            kind => {
                add("shapes", self.shapes());
                add("batch of one", self.batch_of_one());
                add("empty mask", self.empty_mask());
                add("same seed", self.same_seed());
                add("inputs unchanged", self.inputs_unchanged());
                add("wanted outputs", self.wanted_outputs());
                add("rows alone", splits::rows_alone(self));
                add("state", self.state());
                if kind != "metric" && kind != "tokenizer" {
                    add("gradients", gradients::check(self));
                }
                if kind == "objective" {
                    add("splits", splits::objective(self));
                }
                if self.schema.inputs.iter().any(inputs::is_mask) {
                    add("padding", documents::padding(self));
                }
                let documents = self.schema.inputs.iter().any(inputs::is_documents);
                if documents || kind == "objective" || self.schema.inputs.iter().any(inputs::is_mask) {
                    add("packing", documents::packing(self));
                }
            }
        }
    }

    pub(crate) fn scope(training: bool, gradients: bool) -> CallScope {
        CallScope {
            step: "conformance".into(),
            node: "node".into(),
            training,
            gradients,
            ..CallScope::default()
        }
    }

    fn shapes(&self) -> Result<()> {
        let (world, id) = self.world(self.seed())?;
        let mut refused = None;
        let mut worked = 0;
        for round in 0..self.options.rounds.max(2) as u64 {
            let optional = [Some(true), Some(false)].get(round as usize).copied().flatten();
            let inputs = self.inputs(&Wish { optional, ..Wish::default() }, round)?;
            match self.call(&world, id, &Self::scope(round % 2 == 0, false), &inputs) {
                Ok(_) => worked += 1,
                Err(Stop::Skipped(reason)) => refused = Some(reason),
                Err(stop) => return Err(stop),
            }
        }
        match refused {
            Some(reason) if worked == 0 => skipped(reason),
            _ => Ok(()),
        }
    }

    /// The dimension along which a batch is split: `B`, or the first one of the first input.
    pub(crate) fn batch_dimension(&self) -> Option<String> {
        let leads = |name: &str| {
            self.schema.inputs.iter().any(|p| p.kind.shape.first() == Some(&Dim::Name(name.to_owned())))
        };
        if leads("B") {
            return Some("B".to_owned());
        }
        self.schema.inputs.iter().find_map(|p| match p.kind.shape.first() {
            Some(Dim::Name(name)) if !self.parameters().contains_key(name) => Some(name.clone()),
            _ => None,
        })
    }

    pub(crate) fn sized(&self, sizes: &[(&str, i64)]) -> Wish {
        Wish {
            sizes: sizes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
            optional: Some(true),
            ..Wish::default()
        }
    }

    fn batch_of_one(&self) -> Result<()> {
        let Some(batch) = self.batch_dimension() else { return skipped("its inputs have no batch") };
        let (world, id) = self.world(self.seed())?;
        let inputs = self.inputs(&self.sized(&[(&batch, 1)]), 0)?;
        self.call(&world, id, &Self::scope(false, false), &inputs).map(drop)
    }

    fn empty_mask(&self) -> Result<()> {
        let masks: Vec<&str> =
            self.schema.inputs.iter().filter(|p| inputs::is_mask(p)).map(|p| p.name.as_str()).collect();
        if masks.is_empty() {
            return skipped("it has no mask");
        }
        let (world, id) = self.world(self.seed())?;
        let mut inputs = self.inputs(&self.sized(&[]), 0)?;
        for name in masks {
            if let Some(Value::Tensor(mask)) = inputs.get(name) {
                let empty = mask.f_zeros_like()?;
                inputs.replace(name, Value::Tensor(empty));
            }
        }
        let outputs = match self.call(&world, id, &Self::scope(false, false), &inputs) {
            Ok(outputs) => outputs,
            // That it says so is enough.
            Err(Stop::Skipped(_)) => return Ok(()),
            Err(stop) => return Err(stop),
        };
        for (name, value) in outputs {
            let bad = match &value {
                Some(Value::Tensor(t)) if is_float(t) => bool::try_from(t.isnan().any()).unwrap_or(true),
                Some(Value::Real(real)) => real.is_nan(),
                _ => false,
            };
            // Means over nothing are not a number where a metric says so.
            if bad && self.schema.kind != "metric" {
                return failed(format!("output `{name}` has NaN where everything is hidden"));
            }
        }
        Ok(())
    }

    fn same_seed(&self) -> Result<()> {
        let inputs = self.inputs(&self.sized(&[]), 1)?;
        let scope = Self::scope(true, false);
        let (first, id) = self.world(self.seed())?;
        let (second, _) = self.world(self.seed())?;
        let one = self.call(&first, id, &scope, &inputs)?;
        let other = self.call(&second, id, &scope, &inputs)?;
        if let Some(name) = compare::difference(&one, &other) {
            return failed(format!("output `{name}` differs between two runs of one seed"));
        }
        if !self.schema.effects.state {
            let again = self.call(&first, id, &scope, &inputs)?;
            if let Some(name) = compare::difference(&one, &again) {
                return failed(format!("output `{name}` differs in a second call of the same update"));
            }
        }
        if self.schema.effects.random {
            // A small choice may fall out equal now and then.
            let mut changes = false;
            for seed in 1..=16 {
                let (other, id) = self.world(self.seed() + seed)?;
                let other = self.call(&other, id, &scope, &inputs)?;
                changes = compare::difference(&one, &other).is_some();
                if changes {
                    break;
                }
            }
            if !changes {
                return failed("it says that it draws, and another seed changes nothing");
            }
        }
        Ok(())
    }

    fn inputs_unchanged(&self) -> Result<()> {
        let inputs = self.inputs(&self.sized(&[]), 2)?;
        let before: Vec<(String, Value)> =
            inputs.values.iter().map(|(n, v)| (n.clone(), compare::deep_copy(v))).collect();
        let (world, id) = self.world(self.seed())?;
        self.call(&world, id, &Self::scope(true, false), &inputs)?;
        for ((name, before), (_, after)) in before.iter().zip(&inputs.values) {
            if !compare::same(before, after) {
                return failed(format!("input `{name}` is another one after the call"));
            }
        }
        Ok(())
    }

    fn wanted_outputs(&self) -> Result<()> {
        if self.schema.outputs.len() < 2 {
            return skipped("it has one output");
        }
        let inputs = self.inputs(&self.sized(&[]), 3)?;
        let (world, id) = self.world(self.seed())?;
        let scope = Self::scope(true, false);
        let all = self.call(&world, id, &scope, &inputs)?;
        for (name, value) in &all {
            let Some(value) = value else { continue };
            let wanted = Wanted::Only(vec![name.clone()].into());
            let alone = self.call(&world, id, &CallScope { wanted, ..scope.clone() }, &inputs)?;
            let same =
                alone.iter().any(|(n, v)| n == name && v.as_ref().is_some_and(|v| compare::same(v, value)));
            if !same {
                return failed(format!("output `{name}` is another one when it alone is wanted"));
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<()> {
        let metric = self.schema.kind == "metric";
        let scope = Self::scope(true, false);
        let first = self.inputs(&self.sized(&[]), 4)?;
        let then = self.inputs(&self.sized(&[]), 5)?;
        let (world, id) = self.world(self.seed())?;
        self.call(&world, id, &scope, &first)?;
        let Some(saved) = world.save(id)? else {
            return if self.schema.effects.state && !metric {
                failed("it declares `state` and saves none")
            } else {
                skipped("it has no state")
            };
        };
        let (resumed, _) = self.world(self.seed())?;
        resumed.load(id, &saved)?;
        if resumed.save(id)?.as_ref() != Some(&saved) {
            return failed("what was loaded is not what is saved again");
        }
        let one = self.call(&world, id, &scope, &then)?;
        let other = self.call(&resumed, id, &scope, &then)?;
        if let Some(name) = compare::difference(&one, &other) {
            return failed(format!("output `{name}` differs after the state was saved and loaded"));
        }
        if metric {
            let (one, other) = (world.finish(id, &scope)?, resumed.finish(id, &scope)?);
            if one.to_bits() != other.to_bits() {
                return failed(format!(
                    "its value is {one}, and {other} after the state was saved and loaded"
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

/// Whether a port takes numbers through which gradients flow.
pub(crate) fn differentiable(port: &zoo_schema::Port) -> bool {
    matches!(port.kind.dtype, Dtype::Float) && !inputs::is_mask(port)
}

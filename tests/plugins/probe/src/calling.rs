//! Randomness, parameters that vary, references, and state.

use std::sync::Mutex;
use zoo_plugin::Output;
use zoo_plugin::abi::method;
use zoo_plugin::prelude::*;

/// Random numbers of both kinds: by row from a named stream, and from libtorch's generator.
///
/// # Example
/// ```mlm
/// model noise = probe.noise()
/// ```
#[component(
    function,
    name = "probe.noise",
    inputs(x: "float[B, N]" = "its shape is all that counts"),
    outputs(rows: "float[B]" = "one draw a row", device: "float[B, N]" = "libtorch's draws"),
    random
)]
pub struct Noise;

impl Component for Noise {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: NoiseInputs<'_>, cx: &mut Call<'_>) -> Result<NoiseOutputs> {
        let count = x.x.size()[0] as usize;
        let rows: Vec<f32> = (0..count).map(|row| cx.rng("draw", row).random::<f32>()).collect();
        Ok(NoiseOutputs { rows: Tensor::f_from_slice(&rows)?, device: x.x.f_rand_like()? })
    }
}

/// Takes a number of rows and says nothing: what remains is the cost of the boundary.
///
/// # Example
/// ```mlm
/// model nothing = probe.nothing()
/// ```
#[component(
    function,
    name = "probe.nothing",
    inputs(x: "float[B]" = "anything"),
    outputs(count: "integer" = "zero")
)]
pub struct Nothing;

impl Component for Nothing {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), _: NothingInputs<'_>, _: &mut Call<'_>) -> Result<NothingOutputs> {
        Ok(NothingOutputs { count: 0 })
    }
}

/// Multiplies by a factor that may vary in time.
///
/// # Example
/// ```mlm
/// model fade = probe.fade(factor: 0.5)
/// ```
#[component(
    function,
    name = "probe.fade",
    inputs(x: "float[B]" = "numbers"),
    outputs(y: "float[B]" = "the numbers times the factor", gradients: "integer" = "1 where they are recorded")
)]
pub struct Fade {
    /// The factor.
    #[param(default = 1.0, varies)]
    pub factor: Varying,
}

impl Component for Fade {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: FadeInputs<'_>, cx: &mut Call<'_>) -> Result<FadeOutputs> {
        let y = x.x.f_mul_scalar(self.factor.at("factor", cx))?;
        let gradients = i64::from(cx.gradients() && y.requires_grad());
        Ok(FadeOutputs { y, gradients })
    }
}

/// Calls another component twice and adds its outputs.
///
/// # Example
/// ```mlm
/// model net = probe.projection(size: 4)
/// model twice = probe.relay(to: net)
/// ```
#[component(
    function,
    name = "probe.relay",
    inputs(x: "float[B, N]" = "numbers"),
    outputs(y: "float[B, N]" = "the sum of both outputs"),
    random
)]
pub struct Relay {
    /// The other component; its last output counts.
    #[param(component = "any")]
    pub to: Handle,
    /// How often.
    #[param(default = 2)]
    pub times: usize,
}

impl Component for Relay {
    type State = usize;

    fn build(&self, cx: &mut Build<'_>) -> Result<usize> {
        Ok(cx.describe(self.to)?.outputs.len())
    }

    fn call(&self, outputs: &usize, x: RelayInputs<'_>, cx: &mut Call<'_>) -> Result<RelayOutputs> {
        let mut sum = x.x.f_zeros_like()?;
        for _ in 0..self.times {
            let inputs = vec![Output::Tensor(x.x.shallow_clone())];
            let mut made = cx.invoke(self.to, method::CALL, inputs, *outputs)?;
            let Some(Some(Output::Tensor(y))) = made.pop() else {
                return Err(Error::new("the other one gave no tensor"));
            };
            sum = sum.f_add(&y)?;
        }
        Ok(RelayOutputs { y: sum })
    }
}

/// Calls itself through another one, which must not be.
///
/// # Example
/// ```mlm
/// model circle = probe.circle(depth: 3)
/// ```
#[component(
    function,
    name = "probe.circle",
    inputs(x: "float[B, N]" = "numbers"),
    outputs(y: "float[B, N]" = "never")
)]
pub struct Circle {
    /// Passed to handle number `depth`.
    #[param(default = 1)]
    pub depth: usize,
}

impl Component for Circle {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: CircleInputs<'_>, cx: &mut Call<'_>) -> Result<CircleOutputs> {
        let inputs = vec![Output::Tensor(x.x.shallow_clone())];
        let mut made = cx.invoke(Handle(self.depth as u64), method::CALL, inputs, 1)?;
        match made.pop() {
            Some(Some(Output::Tensor(y))) => Ok(CircleOutputs { y }),
            _ => Err(Error::new("nothing came back")),
        }
    }
}

/// The mean of all numbers since the last reset.
///
/// # Example
/// ```mlm
/// metric mean = probe.counter()
/// ```
#[component(
    metric,
    name = "probe.counter",
    inputs(x: "float[B]" = "numbers"),
    outputs(value: "real" = "their mean"),
    state
)]
pub struct Counter;

impl Component for Counter {
    type State = Mutex<(f64, f64)>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::new((0.0, 0.0)))
    }

    fn call(&self, state: &Self::State, x: CounterInputs<'_>, _: &mut Call<'_>) -> Result<CounterOutputs> {
        let sum = x.x.f_sum(Kind::Double)?.f_double_value(&[])?;
        let (total, count) = &mut *lock(state)?;
        *total += sum;
        *count += x.x.size()[0] as f64;
        Ok(CounterOutputs { value: sum })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        let (total, count) = *lock(state)?;
        if count == 0.0 { Err(Error::new("there was nothing to measure")) } else { Ok(total / count) }
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *lock(state)? = (0.0, 0.0);
        Ok(())
    }

    fn save(&self, state: &Self::State) -> Result<Option<Vec<u8>>> {
        Ok(Some(serde_json::to_vec(&*lock(state)?)?))
    }

    fn load(&self, state: &Self::State, saved: &[u8]) -> Result<()> {
        *lock(state)? = serde_json::from_slice(saved)?;
        Ok(())
    }
}

fn lock<T>(state: &Mutex<T>) -> Result<std::sync::MutexGuard<'_, T>> {
    state.lock().map_err(|_| Error::new("an earlier call panicked"))
}

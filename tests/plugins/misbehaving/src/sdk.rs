//! Faults of a component that is built with the SDK.

use std::sync::atomic::{AtomicU64, Ordering};
use zoo_plugin::prelude::*;

/// Doubles its input, unless it misbehaves.
///
/// # Example
/// ```mlm
/// model twice = misbehaving.sdk(fault: "none")
/// ```
#[component(
    function,
    name = "misbehaving.sdk",
    inputs(x: "float[B, N]" = "numbers"),
    outputs(y: "float[B, N]" = "twice the numbers"),
    parameters,
    state
)]
pub struct Sdk {
    /// What it does wrong.
    #[param(default = "none")]
    pub fault: String,
}

#[derive(Debug)]
pub struct SdkState {
    calls: AtomicU64,
}

impl Component for Sdk {
    type State = SdkState;

    fn build(&self, cx: &mut Build<'_>) -> Result<SdkState> {
        match self.fault.as_str() {
            "create fails" => {
                return Err(Error::new("no such fault").at("fault").help("choose another one"));
            }
            "create panics" => panic!("create went wrong\nand says so in two lines"),
            "parameter without a size" => drop(cx.parameter("weight", &[-1], Init::Zeros)?),
            "parameter twice" => {
                drop(cx.parameter("weight", &[1], Init::Zeros)?);
                drop(cx.parameter("weight", &[1], Init::Zeros)?);
            }
            "parameter name with NUL" => drop(cx.parameter("wei\0ght", &[1], Init::Zeros)?),
            "trained integers" => drop(cx.buffer("ids", &[1], Kind::Int8, Init::Zeros)?),
            "leaves gradients off in create" => std::mem::forget(tch::no_grad_guard()),
            "stage fails" => {
                drop(cx.stage("table", |_| Err(Error::new("the stage has no space").at("fault")))?);
            }
            "stage panics" => drop(cx.stage("table", |_| panic!("the stage went wrong"))?),
            "asset is missing" => drop(cx.asset("file:/nowhere/at/all.txt")?),
            _ => {}
        }
        Ok(SdkState { calls: AtomicU64::new(0) })
    }

    fn call(&self, state: &SdkState, x: SdkInputs<'_>, cx: &mut Call<'_>) -> Result<SdkOutputs> {
        let calls = state.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let y = x.x.f_mul_scalar(2.0)?;
        let y = match self.fault.as_str() {
            "fails" => return Err(Error::new("x is not to its liking").at("in.x").help("send another x")),
            "cancelled" => return Err(Error::cancelled()),
            "panics" => panic!("call went wrong"),
            "panics on the second call" if calls == 2 => panic!("call 2 went wrong"),
            "panics in libtorch" => y.matmul(&Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])),
            "libtorch raises" => y.f_matmul(&Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))?,
            "panics without gradients" => {
                let _forgotten = std::mem::ManuallyDrop::new(tch::no_grad_guard());
                panic!("with gradients off")
            }
            "wrong rank" => y.f_unsqueeze(0)?,
            "wrong size" => y.f_narrow(1, 0, y.size()[1] - 1)?,
            "wrong type" => y.f_to_kind(Kind::Int64)?,
            "odd type" => y.f_to_kind(Kind::Int)?,
            "writes into its input" => {
                let _same = x.x.shallow_clone().f_add_scalar_(1.0)?;
                y
            }
            "gives its input back" => x.x.shallow_clone(),
            "not a number" => y.f_mul_scalar(f64::NAN)?,
            "leaves gradients off" => {
                std::mem::forget(tch::no_grad_guard());
                y
            }
            "changes threads" => {
                tch::set_num_threads(tch::get_num_threads() + 1);
                y
            }
            "leaves an error unread" => {
                let mut out = [std::ptr::null_mut()];
                let other = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
                // SAFETY: live tensors; the error stays in libtorch's C layer, which is the point.
                unsafe {
                    torch_sys::c_generated::atg_matmul(
                        out.as_mut_ptr(),
                        y.as_ptr().cast_mut(),
                        other.as_ptr().cast_mut(),
                    );
                }
                std::mem::forget(other);
                y
            }
            "logs" => {
                tracing::warn!(rows = x.x.size()[0], "the message of a plugin");
                y
            }
            _ => y,
        };
        cx.metric("calls", calls as f64);
        Ok(SdkOutputs { y })
    }

    fn save(&self, state: &SdkState) -> Result<Option<Vec<u8>>> {
        match self.fault.as_str() {
            "save fails" => Err(Error::new("it cannot be saved")),
            "save panics" => panic!("save went wrong"),
            _ => Ok(Some(state.calls.load(Ordering::Relaxed).to_le_bytes().to_vec())),
        }
    }

    fn load(&self, state: &SdkState, saved: &[u8]) -> Result<()> {
        let saved = saved.try_into().map_err(|_| Error::new("a saved state has eight bytes"))?;
        state.calls.store(u64::from_le_bytes(saved), Ordering::Relaxed);
        Ok(())
    }
}

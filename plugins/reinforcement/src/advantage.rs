//! How much better a text is than the others written for its prompt.

use zoo_plugin::prelude::*;

/// Rewards, normalised within the group of texts that answer one prompt: the advantages of GRPO.
///
/// Rows of a group stand one after the other. A text's advantage is `(R - mean) / (deviation + epsilon)` over
/// its group, the same for each of its tokens. Where all rewards of a group are equal every advantage is
/// exactly 0: such a group teaches nothing.
///
/// # Paper
/// Shao et al.: DeepSeekMath, arXiv 2402.03300, section 4.1.2.
///
/// # Example
/// ```mlm
/// model advantage = reinforcement.group_advantage(group: 1)
/// ```
#[component(
    function,
    name = "reinforcement.group_advantage",
    inputs(rewards: "float[N]" = "the reward of each text, those of a group one after the other"),
    outputs(advantages: "float[N]" = "how much better each text is than its group"),
    stops_gradient,
)]
pub struct GroupAdvantage {
    /// Texts of a group.
    #[param(range = ">= 1")]
    pub group: usize,
    /// What differences are divided by: the deviation over the group (`population`), that with one degree of
    /// freedom less, as verl has it (`sample`), or nothing (`none`).
    #[param(default = "population", one_of("population", "sample", "none"))]
    pub deviation: String,
    /// Added to the deviation.
    #[param(default = 1e-6, range = ">= 0")]
    pub epsilon: f64,
}

impl GroupAdvantage {
    /// Rewards to advantages, `float[N]` each.
    ///
    /// # Errors
    /// A number of rewards that is no multiple of the group's size, and libtorch's.
    pub fn advantages(&self, rewards: &Tensor) -> Result<Tensor> {
        let (count, group) = (rewards.numel() as i64, self.group as i64);
        if count % group != 0 {
            let text = format!("{count} rewards do not make groups of {group}");
            return Err(Error::new(text)
                .at("in.rewards")
                .help("set `group` to the number of texts that are written for a prompt"));
        }
        let rewards = rewards.f_to_kind(Kind::Double)?.f_view([-1, group])?;
        let mean = rewards.f_mean_dim([1_i64].as_slice(), true, Kind::Double)?;
        let centred = rewards.f_sub(&mean)?;
        let squares = centred.f_square()?.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Double)?;
        let scaled = match self.deviation.as_str() {
            "none" => centred,
            deviation => {
                let freedom = if deviation == "sample" { (group - 1).max(1) } else { group };
                let deviation = squares.f_div_scalar(freedom as f64)?.f_sqrt()?;
                centred.f_div(&deviation.f_add_scalar(self.epsilon)?)?
            }
        };
        // A mean that is rounded must not make a difference of no difference.
        let equal = rewards.f_eq_tensor(&rewards.f_narrow(1, 0, 1)?)?.f_all_dim(1, true)?;
        let advantages = scaled.f_masked_fill(&equal, 0.0)?;
        Ok(advantages.f_reshape([count])?.f_to_kind(Kind::Float)?)
    }
}

impl Component for GroupAdvantage {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: GroupAdvantageInputs<'_>, _: &mut Call<'_>) -> Result<GroupAdvantageOutputs> {
        Ok(GroupAdvantageOutputs { advantages: self.advantages(x.rewards)? })
    }
}

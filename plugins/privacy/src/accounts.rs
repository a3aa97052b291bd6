//! What a mechanism costs, by every accountant.

use crate::accounting::{Accountant, AccountingError, Mechanism};
use crate::chart::{Curve, chart};
use crate::mechanism::{GaussianMechanism, refused};
use zoo_plugin::prelude::*;

/// What a Gaussian mechanism costs in privacy, by every accountant: the epsilons at its `delta`.
///
/// `exact` is what is really spent; `rdp` is an upper bound of it, `edgeworth` and `gdp` are estimates that
/// may lie below. A picture shows all four over the updates, for the report.
///
/// # Paper
/// Behnia et al.: EW-Tune, 2022; Gopi, Lee, Wutschitz: Numerical Composition of Differential Privacy, 2021.
///
/// # Example
/// ```mlm
/// aggregator private = privacy.gaussian_mechanism(
///   clip: 1.0, noise_multiplier: 8.5, delta: 1e-4, sampling_rate: 10%, steps: 200,
/// )
/// model spent = privacy.accounts(mechanism: private)
/// ```
#[component(
    function,
    name = "privacy.accounts",
    outputs(
        exact: "real" = "by numerical convolution",
        edgeworth: "real" = "by the Edgeworth expansion",
        rdp: "real" = "by Rényi divergences",
        gdp: "real" = "by the central limit theorem",
        noise_multiplier: "real" = "standard deviation of the noise in units of the clipping norm",
    ),
)]
pub struct Accounts {
    /// The mechanism; it tells `sampling_rate` and `steps`.
    #[param(component = "aggregator")]
    pub mechanism: Handle,
    /// Terms of the Edgeworth expansion.
    #[param(default = 1, range = "[0, 3]")]
    pub order: usize,
    /// Conversion of Rényi divergences to epsilon by Balle et al. (2020).
    #[param(default = false)]
    pub tight: bool,
}

/// What is told, and the picture.
#[derive(Debug)]
pub struct Told {
    epsilons: [f64; 4],
    noise_multiplier: f64,
    picture: String,
}

/// Points of a curve.
const POINTS: u64 = 16;

impl Accounts {
    fn accountants(&self) -> [(&'static str, Accountant); 4] {
        [
            ("exact", Accountant::Pld),
            ("Edgeworth", Accountant::Edgeworth { order: self.order as u32 }),
            ("RDP", Accountant::Rdp { tight: self.tight }),
            ("CLT", Accountant::Gdp),
        ]
    }

    /// The epsilons in the order of the outputs, and curves over the updates.
    ///
    /// # Errors
    ///
    /// A mechanism that is next to no privacy.
    pub fn tell(&self, mechanism: &Mechanism, delta: f64) -> std::result::Result<Told, AccountingError> {
        let mut epsilons = [0.0; 4];
        let mut curves = Vec::new();
        for (place, (name, accountant)) in self.accountants().into_iter().enumerate() {
            let mut points = Vec::new();
            for point in 1..=POINTS.min(mechanism.steps) {
                let steps = (mechanism.steps * point).div_ceil(POINTS.min(mechanism.steps));
                let epsilon = accountant.epsilon(&Mechanism { steps, ..*mechanism }, delta)?;
                points.push((steps as f64, epsilon));
            }
            epsilons[place] = points.last().map_or(0.0, |point| point.1);
            curves.push(Curve { name, points });
        }
        let title = format!(
            "epsilon at delta = {delta:e}, noise multiplier {:.4}, sampling rate {:.2} %",
            mechanism.noise_multiplier,
            100.0 * mechanism.sampling_rate
        );
        let picture = chart(&title, "updates", "epsilon", &curves);
        Ok(Told { epsilons, noise_multiplier: mechanism.noise_multiplier, picture })
    }
}

impl Component for Accounts {
    type State = Told;

    fn build(&self, cx: &mut Build<'_>) -> Result<Told> {
        let described = cx.describe(self.mechanism)?;
        if described.component != "privacy.gaussian_mechanism" {
            return Err(Error::new(format!("`{}` is no Gaussian mechanism", described.name)).at("mechanism"));
        }
        let mechanism: GaussianMechanism =
            serde_json::from_value(serde_json::Value::Object(described.parameters))?;
        self.tell(&mechanism.mechanism()?, mechanism.delta).map_err(refused)
    }

    fn call(&self, told: &Told, _: AccountsInputs<'_>, cx: &mut Call<'_>) -> Result<AccountsOutputs> {
        cx.artifact("privacy spent", "image/svg+xml", told.picture.as_bytes());
        let [exact, edgeworth, rdp, gdp] = told.epsilons;
        Ok(AccountsOutputs { exact, edgeworth, rdp, gdp, noise_multiplier: told.noise_multiplier })
    }
}

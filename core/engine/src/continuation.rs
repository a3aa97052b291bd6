//! Phases that go on where another ended: one optimizer, one schedule, one order of the data.

use crate::optimizer::Scaler;
use crate::order::DataOrder;
use crate::{EngineError, Result};
use tch::Tensor;
use zoo_schema::experiment::{Arm, Phase};

/// What a phase leaves to the one that continues it, beside the parameters.
pub(crate) struct Carried {
    /// The phase that ended.
    pub(crate) phase: String,
    /// States of its optimizer, as it names them.
    pub(crate) states: Vec<(String, Tensor)>,
    /// Scale of a float16 loss.
    pub(crate) scaler: Option<Scaler>,
}

/// Where a phase stands among those that continue each other; alone, where none does.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Updates of the phases before it.
    pub(crate) before: u64,
    /// Updates of all of them, over which the schedule runs.
    pub(crate) total: u64,
    /// Which rows its updates see.
    pub(crate) order: DataOrder,
}

impl Chain {
    /// The chain of a phase of the arm. `rows` gives the length of the data of that name.
    pub(crate) fn of(
        seed: u64,
        arm: &Arm,
        phase: &Phase,
        rows: impl Fn(&str) -> Result<u64>,
    ) -> Result<Self> {
        let mut all: Vec<&Phase> = arm.phases.iter().filter(|other| other.chain() == phase.chain()).collect();
        if !all.iter().any(|other| other.name == phase.name) {
            // One that stands in no arm, such as those that are timed.
            all = vec![phase];
        }
        let (mut total, mut before) = (0, 0);
        let mut own = None;
        let mut last: Option<(&Phase, DataOrder)> = None;
        for one in all {
            let fresh = DataOrder::new(seed, one, rows(&one.data)?)?;
            let order = match &last {
                None => fresh.named(one.chain()),
                Some((other, order)) if reads_on(other, one) => {
                    let updates = fresh.updates(other.length);
                    fresh.after(order, updates)
                }
                Some(_) => fresh,
            };
            if one.name == phase.name {
                before = total;
                own = Some(order.clone());
            }
            total += order.updates(one.length);
            last = Some((one, order));
        }
        let order =
            own.ok_or_else(|| EngineError::Experiment(format!("there is no phase `{}`", phase.name)))?;
        Ok(Self { before, total, order })
    }
}

/// Whether a phase reads on in the rows where another ended.
fn reads_on(before: &Phase, phase: &Phase) -> bool {
    (&before.data, before.batch, before.sampling) == (&phase.data, phase.batch, phase.sampling)
}

/// Whether another phase of the arm continues this one, and needs what it leaves.
pub(crate) fn is_continued(arm: &Arm, phase: &Phase) -> bool {
    let continues = |other: &Phase| other.continues.as_ref().and_then(|c| c.phase.clone());
    arm.phases.iter().any(|other| continues(other).as_deref() == Some(&phase.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_schema::experiment::{Continuation, Length};

    fn phase(name: &str, continues: Option<&str>, updates: u64) -> Phase {
        let chain = |before: &str| Continuation { chain: "a".to_owned(), phase: Some(before.to_owned()) };
        let length = Length::Steps(updates);
        Phase {
            name: name.to_owned(),
            continues: continues.map(chain),
            length,
            batch: 3,
            ..crate::testing::phase()
        }
    }

    fn chain(phases: &[Phase], name: &str) -> Chain {
        let arm = Arm { phases: phases.to_vec(), ..crate::testing::arm() };
        let phase = phases.iter().find(|phase| phase.name == name).unwrap();
        Chain::of(1, &arm, phase, |_| Ok(10)).unwrap()
    }

    #[test]
    fn updates_and_rows_go_on() {
        let apart = [phase("a", None, 5), phase("b", Some("a"), 2), phase("c", Some("b"), 4)];
        let (whole, c) = (chain(&[phase("a", None, 11)], "a"), chain(&apart, "c"));
        assert_eq!((whole.before, whole.total), (0, 11));
        assert_eq!((c.before, c.total), (7, 11));
        assert_eq!(c.order.rows(2), whole.order.rows(9));
        assert_eq!(chain(&apart, "b").order.rows(0), whole.order.rows(5));
        assert!(is_continued(&Arm { phases: apart.to_vec(), ..crate::testing::arm() }, &apart[1]));
    }

    #[test]
    fn an_arm_without_the_first_phase_sees_its_rows() {
        let mut second = phase("b", Some("a"), 11);
        second.continues = Some(Continuation { chain: "a".to_owned(), phase: None });
        let (alone, whole) = (chain(&[second], "b"), chain(&[phase("a", None, 11)], "a"));
        assert_eq!((alone.before, alone.total), (0, 11));
        assert_eq!(alone.order.rows(4), whole.order.rows(4));
    }

    #[test]
    fn other_batches_are_another_order() {
        let mut second = phase("b", Some("a"), 2);
        second.batch = 5;
        let phases = [phase("a", None, 4), second];
        let found = chain(&phases, "b");
        assert_eq!((found.before, found.total), (4, 6));
        let own = DataOrder::new(1, &phases[1], 10).unwrap();
        assert_eq!(found.order.rows(1), own.rows(1));
    }
}

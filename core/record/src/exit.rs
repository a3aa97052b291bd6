//! How `zoo` and `zoo-runner` end, for scripts that ask.

use zoo_statistics::{Judgement, Outcome};

/// Exit codes, the same for every command.
///
/// | code | meaning |
/// |---|---|
/// | 0 | everything went well; of a run: every claim holds |
/// | 1 | an error |
/// | 2 | the recipe or the command line is wrong; nothing was run |
/// | 3 | a claim fails |
/// | 4 | no claim fails, and one is undecided |
/// | 130 | stopped by the user; the run can be resumed |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything went well; of a run: every claim holds.
    Success = 0,
    /// An error.
    Error = 1,
    /// The recipe or the command line is wrong; nothing was run.
    Wrong = 2,
    /// A claim fails.
    ClaimFails = 3,
    /// No claim fails, and one is undecided.
    Undecided = 4,
    /// Stopped by the user; the run can be resumed.
    Stopped = 130,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Error, Self::Wrong, Self::ClaimFails, Self::Undecided, Self::Stopped];

    /// The code of a run that came to its end: a failed claim outweighs an undecided one.
    pub fn of_claims(claims: &[Judgement]) -> Self {
        let any = |outcome| claims.iter().any(|claim| claim.outcome == outcome);
        if any(Outcome::Fails) {
            Self::ClaimFails
        } else if any(Outcome::Undecided) {
            Self::Undecided
        } else {
            Self::Success
        }
    }

    /// The code of a control that came to its end: there a claim that holds is what fails.
    pub fn of_control(claims: &[Judgement]) -> Self {
        let holds = claims.iter().any(|claim| claim.outcome == Outcome::Holds);
        if holds { Self::ClaimFails } else { Self::Success }
    }

    /// The code for the system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for `zoo --help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "everything went well; of a run: every claim holds",
            Self::Error => "an error",
            Self::Wrong => "the recipe or the command line is wrong; nothing was run",
            Self::ClaimFails => "a claim fails",
            Self::Undecided => "no claim fails, and one is undecided",
            Self::Stopped => "stopped by the user; the run can be resumed",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(outcome: Outcome) -> Judgement {
        Judgement {
            claim: String::new(),
            text: String::new(),
            outcome,
            reason: String::new(),
            quantity: String::new(),
            region: None,
            estimate: None,
            interval: None,
            confidence: 0.95,
            level: 0.95,
            percent: false,
            paired: true,
            seeds: 3,
            per_seed: Vec::new(),
            more_seeds: None,
        }
    }

    #[test]
    fn a_failed_claim_outweighs_an_undecided_one() {
        let of = |outcomes: &[Outcome]| {
            Exit::of_claims(&outcomes.iter().copied().map(judged).collect::<Vec<_>>()).code()
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[Outcome::Holds, Outcome::Holds]), 0);
        assert_eq!(of(&[Outcome::Holds, Outcome::Undecided]), 4);
        assert_eq!(of(&[Outcome::Undecided, Outcome::Fails, Outcome::Holds]), 3);
    }
}

//! Judges the claims of an experiment from the metrics that its arms reached with each seed.
//!
//! # The question
//!
//! A claim is an inequality over metrics of arms, `auc(learned) < auc(uniform) - 15 pt`. Everything
//! constant is brought to one side, which gives a *quantity* (`auc(learned) − auc(uniform)`) and a
//! *region* ([`Region`]: below −0.15). The estimate is the mean of the quantity over seeds, the interval a
//! two-sided t interval, and the outcome can be read off the picture of the two:
//!
//! * **holds**: the whole interval lies in the region;
//! * **fails**: the whole interval lies outside of it;
//! * **undecided**: the interval contains the margin, or there is no interval, for a reason that is given.
//!
//! `abs(x) < m` is an equivalence: it holds when the interval of `x` lies inside ±m.
//!
//! # The interval
//!
//! * *Paired* (seeds of equal number share data order and initial values): the quantity is computed for each
//!   seed, then the interval is Student's with n − 1 degrees of freedom. Any expression is allowed.
//! * *Unpaired*: the quantity must be a sum of parts that belong to one arm each; variances add up, and the
//!   degrees of freedom are Welch's and Satterthwaite's.
//!
//! # Several claims
//!
//! The error rate 1 − confidence is divided by the number of claims (Bonferroni). Holm's procedure would
//! decide a little more, but its later steps use a level that depends on the outcomes of the other claims,
//! and there are no simple intervals that agree with it: a claim could hold while the interval beside it
//! contains the margin. Here outcome and interval never contradict each other, and all intervals of a run
//! together cover the truth at the stated confidence. Recipes state few claims, so the cost is small.
//!
//! # Stopping early
//!
//! When every claim says `stop_when_decided`, there is a look at the data after each seed from the third on
//! ([`FIRST_LOOK`]). The error rate is spent over the looks: the early ones share 20 % of it
//! ([`EARLY_SHARE`]) equally, the last one has 80 %. The probability that any interval of any look misses
//! the truth is then at most the sum of what was spent, whatever the dependence between looks, so stopping
//! at a favourable moment gains nothing. (The number of looks is that of the planned seeds. Who adds seeds
//! after having seen the last look is outside of this promise.) The uneven split keeps the last interval
//! nearly as narrow as without early looks: effects that are many times the spread between seeds, as most
//! are that a recipe plants, are seen by the early looks all the same.
//!
//! # What is not decided
//!
//! * A value that is missing or not finite: the seed is not left out, for a run that diverges is a result.
//! * A single seed: it shows no spread.
//! * No spread at all, where chance could do it: two arms that do not differ, with a metric on a grid
//!   (accuracy over few examples), give one and the same nonzero difference in a seed with probability at
//!   most 1/4, so n seeds agree by chance with at most 4⁻ⁿ. Only when that is below the error rate of one
//!   side does an interval without width decide; and never when it lies on the margin itself.
//!
//! # What it rests on
//!
//! Student's interval supposes that the quantity varies normally over seeds. A difference of two arms whose
//! values are skewed alike is symmetric, and simulation shows the stated rates for it. For a quantity that
//! is skewed itself (one arm against a number, or an arm that varies against one that does not) intervals
//! from few seeds cover the truth less often: 88 % instead of 95 % for exponential noise. No method repairs
//! that from three values; a claim about a difference of arms is the sturdier one.
//!
//! `cargo run -p zoo-statistics --release --example calibration` simulates all of this and prints a table.

mod control;
mod form;
mod interval;
mod judge;
mod judgement;
mod results;

pub use control::control;
pub use form::ClaimError;
pub use interval::{Estimate, one_sample, student_quantile, sum_of_arms};
pub use judge::{EARLY_SHARE, FIRST_LOOK, MOST_SEEDS, check, judge, may_stop};
pub use judgement::{Interval, Judgement, MoreSeeds, Outcome, Region};
pub use results::Results;

//! Which arm and seed comes next where several are run at once.

/// Arms and seeds that are to be run, the first seed of all arms first.
#[derive(Debug)]
pub(super) struct Queue {
    /// Place of an arm in the experiment, and seed.
    waiting: Vec<(usize, u64)>,
    /// What each worker is at.
    running: Vec<Option<(usize, u64)>>,
    /// The seed each worker was at last.
    last: Vec<Option<u64>>,
    /// No seed is begun before all arms are through with the one before: the run may end with it.
    one_by_one: bool,
}

impl Queue {
    pub(super) fn new(waiting: Vec<(usize, u64)>, workers: usize, one_by_one: bool) -> Self {
        Self { waiting, running: vec![None; workers], last: vec![None; workers], one_by_one }
    }

    /// The next job of this worker. It stays with its seed, whose arms have phases in common that are
    /// computed once; then it takes a seed that no other is at, then what is left.
    pub(super) fn next(&mut self, worker: usize) -> Option<(usize, u64)> {
        let open = |seed: u64| {
            let earlier = self.running.iter().flatten().map(|(_, seed)| *seed);
            !self.one_by_one
                || earlier.chain(self.waiting.iter().map(|(_, seed)| *seed)).all(|other| other >= seed)
        };
        let mine = |seed: u64| self.last[worker] == Some(seed);
        let free = |seed: u64| {
            let others = self.last.iter().enumerate().filter(|(other, _)| *other != worker);
            others.into_iter().all(|(_, last)| *last != Some(seed))
        };
        let find =
            |fits: &dyn Fn(u64) -> bool| self.waiting.iter().position(|(_, seed)| open(*seed) && fits(*seed));
        let place = find(&mine).or_else(|| find(&free)).or_else(|| find(&|_| true))?;
        let job = self.waiting.remove(place);
        self.running[worker] = Some(job);
        self.last[worker] = Some(job.1);
        Some(job)
    }

    /// What the worker was at, and is through with.
    pub(super) fn over(&mut self, worker: usize) -> Option<(usize, u64)> {
        self.running[worker].take()
    }

    pub(super) fn is_running(&self, worker: usize) -> bool {
        self.running[worker].is_some()
    }

    pub(super) fn nothing_runs(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(arms: usize, seeds: std::ops::RangeInclusive<u64>) -> Vec<(usize, u64)> {
        seeds.flat_map(|seed| (0..arms).map(move |arm| (arm, seed))).collect()
    }

    #[test]
    fn workers_stay_with_their_seeds_and_help_in_the_end() {
        let mut queue = Queue::new(all(2, 1..=3), 2, false);
        assert_eq!((queue.next(0), queue.next(1)), (Some((0, 1)), Some((0, 2))));
        queue.over(0);
        assert_eq!(queue.next(0), Some((1, 1)));
        queue.over(0);
        assert_eq!(queue.next(0), Some((0, 3)));
        queue.over(1);
        assert_eq!(queue.next(1), Some((1, 2)));
        queue.over(1);
        assert_eq!(queue.next(1), Some((1, 3)), "nothing else is left");
        queue.over(0);
        assert_eq!(queue.next(0), None);
        assert!(!queue.nothing_runs());
        queue.over(1);
        assert!(queue.nothing_runs());
    }

    #[test]
    fn a_seed_waits_for_the_one_before_where_the_run_may_end_with_it() {
        let mut queue = Queue::new(all(2, 1..=2), 3, true);
        assert_eq!((queue.next(0), queue.next(1), queue.next(2)), (Some((0, 1)), Some((1, 1)), None));
        queue.over(0);
        assert_eq!(queue.next(0), None);
        queue.over(1);
        assert_eq!((queue.next(1), queue.next(0)), (Some((0, 2)), Some((1, 2))));
    }
}

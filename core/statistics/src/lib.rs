//! Claims judged with paired intervals.

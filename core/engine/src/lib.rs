//! Runs a checked experiment: phases, steps, checkpoints, arms over seeds.

//! Names, types, units, shapes and precedence: from a recipe to an experiment.

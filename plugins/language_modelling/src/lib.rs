//! Objectives and samplers of language modelling.

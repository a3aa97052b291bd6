//! What zoo needs of libtorch and tch lacks: a small C++ shim.

//! Messages with code, place, reason and mend.

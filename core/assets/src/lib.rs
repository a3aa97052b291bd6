//! Assets by URI: fetched once, hashed, resumed, used offline.

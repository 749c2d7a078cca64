//! Publications.

//! Derives of pelton-sdk.

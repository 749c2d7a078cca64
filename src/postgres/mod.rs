//! Stub
pub mod throwaway;

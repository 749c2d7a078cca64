//! Texts that people write, YAML or JSON, as trees of which every node has its place; and what is wrong with such a text.
//!
//! Manifests and fixtures are read with it. What their fields mean is theirs to say.

pub(crate) mod json_text;
pub(crate) mod nearest;
pub(crate) mod node;
pub(crate) mod problem;
pub(crate) mod report;

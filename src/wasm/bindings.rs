//! `wit/transform.wit` in Rust: two worlds over the same types.

mod packed {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "transformer",
        imports: { default: trappable },
    });
}

mod typed {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "typed-transformer",
        imports: { default: trappable },
        with: {
            "pelton:transform/types": super::packed::pelton::transform::types,
            "pelton:transform/host": super::packed::pelton::transform::host,
            "pelton:transform/state": super::packed::pelton::transform::state,
        },
    });
}

pub(super) use packed::exports::pelton::transform::packed as packed_export;
pub(super) use packed::pelton::transform::{host, state, types};
pub(super) use packed::{Transformer, TransformerPre};
pub(super) use typed::exports::pelton::transform::typed as typed_export;
pub(super) use typed::{TypedTransformer, TypedTransformerPre};

/// The host functions are implemented on the store's data itself.
pub(super) type HasSelf = wasmtime::component::HasSelf<super::sandbox::Sandbox>;

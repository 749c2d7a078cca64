//! The component's exports: the contract's records on one side, the types of this crate on the other.
//!
//! Compiled for WebAssembly alone. `#[transform]` calls [`__export_transform!`](crate::__export_transform), which
//! gives the one running instance a home in the author's crate.

use std::cell::RefCell;
use std::sync::Once;
use std::thread::LocalKey;

pub use wit_bindgen::rt;

use crate::error::Error;
use crate::transform::{Runner, Transform, check};

#[allow(clippy::all, missing_docs)]
#[rustfmt::skip]
pub mod bindings;
pub mod convert;

use bindings::exports::pelton::transform::{lifecycle, packed};

/// The home of the one instance.
pub trait Home: 'static {
    type Transform: Transform;
    const RUNNER: &'static LocalKey<RefCell<Option<Runner<Self::Transform>>>>;
}

/// A panic ends the instance with a bare trap, so its message and place are logged before.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
            let message = text.unwrap_or("a panic without a message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            crate::host::log(
                crate::log::Level::Error,
                &format!("the transform panicked: {message}"),
                &[("at".to_owned(), place)],
            );
        }));
    });
}

impl<H: Home> lifecycle::Guest for H {
    fn describe() -> Result<lifecycle::Descriptor, lifecycle::Error> {
        log_panics();
        check::<H::Transform>().map_err(convert::error_out)?;
        Ok(convert::descriptor::<H::Transform>())
    }

    fn init(context: lifecycle::Context) -> Result<(), lifecycle::Error> {
        log_panics();
        let runner = Runner::new(&convert::context(context)).map_err(convert::error_out)?;
        H::RUNNER.with_borrow_mut(|home| *home = Some(runner));
        Ok(())
    }

    fn relation_changed(relation: lifecycle::Relation) -> Result<(), lifecycle::Error> {
        running::<H, _>(|runner| runner.relation_changed(&convert::relation(relation))).map_err(convert::error_out)
    }
}

impl<H: Home> packed::Guest for H {
    fn process(batch: packed::Batch) -> Result<packed::Output, packed::Error> {
        let spans = batch.spans.into_iter().map(convert::span).collect();
        let output = running::<H, _>(|runner| runner.process(spans, batch.count, &batch.payload));
        let output = output.map_err(convert::error_out)?;
        let rejected = output.rejected.into_iter().map(convert::rejection).collect();
        Ok(packed::Output { count: output.count, payload: output.payload, rejected })
    }
}

fn running<H: Home, R>(act: impl FnOnce(&mut Runner<H::Transform>) -> Result<R, Error>) -> Result<R, Error> {
    H::RUNNER.with_borrow_mut(|home| match home {
        Some(runner) => act(runner),
        None => Err(Error::fatal("the host calls the transform before init")),
    })
}

/// Exports a transform from the component; `#[transform]` writes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_transform {
    ($transform:ty) => {
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static RUNNER: ::core::cell::RefCell<
                    ::core::option::Option<::pelton_sdk::transform::Runner<$transform>>,
                > = const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            impl ::pelton_sdk::guest::Home for Component {
                type Transform = $transform;
                const RUNNER: &'static ::std::thread::LocalKey<
                    ::core::cell::RefCell<::core::option::Option<::pelton_sdk::transform::Runner<$transform>>>,
                > = &RUNNER;
            }

    ::pelton_sdk::guest::bindings::export!(Component with_types_in ::pelton_sdk::guest::bindings);
        };
    };
}

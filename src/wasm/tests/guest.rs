//! Makes components of `tests/guests/packed.wat`: a descriptor laid out as the canonical ABI wants it, and a body for
//! `process` that the test brings.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const TEMPLATE: &str = include_str!("../../../tests/guests/packed.wat");
const WIT: &str = include_str!("../../../wit/transform.wit");
/// The world `transformer` with some of what stock toolchains import.
const WASI: [&str; 4] = [
    "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
    "package wasi:clocks@0.2.0;
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
     interface monotonic-clock {
       use wasi:io/poll@0.2.0.{pollable};
       now: func() -> u64;
       subscribe-duration: func(when: u64) -> pollable;
     }",
    "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
    "package test:guest;
     world with-wasi {
       include pelton:transform/transformer@0.1.0;
       import wasi:io/poll@0.2.0;
       import wasi:clocks/wall-clock@0.2.0;
       import wasi:clocks/monotonic-clock@0.2.0;
       import wasi:random/random@0.2.0;
     }",
];
const IMAGE_AT: u32 = 1024;

/// A guest that subscribes to `public.t`, where nothing else is said, and publishes `t 1.0 (id bigint key, v text not null)`.
pub struct Guest {
    pub process: &'static str,
    pub describe: &'static str,
    pub init: &'static str,
    pub relation_changed: &'static str,
    pub imports: &'static str,
    pub functions: &'static str,
    /// At address 512.
    pub data: &'static str,
    /// The table that it subscribes to.
    pub table: (&'static str, &'static str),
    /// Of the subscription, by index of the enum; none: all.
    pub ops: &'static [u8],
    pub subscribed: &'static [&'static str],
    /// (name, index of the kind, nullable, key)
    pub columns: &'static [(&'static str, u8, bool, bool)],
    pub stateful: bool,
    pub parallel: bool,
    pub whole_transactions: bool,
    /// Index of the enum.
    pub encoding: u8,
    pub world: &'static str,
}

pub const ECHO: &str = "(call $echo (local.get $count) (local.get $payload) (local.get $length))";

impl Default for Guest {
    fn default() -> Guest {
        Guest {
            process: ECHO,
            describe: "",
            init: "",
            relation_changed: "",
            imports: "",
            functions: "",
            data: "",
            table: ("public", "t"),
            ops: &[],
            subscribed: &[],
            columns: &[("id", INT64, false, true), ("v", TEXT, false, false)],
            stateful: false,
            parallel: false,
            whole_transactions: false,
            encoding: 0,
            world: "transformer",
        }
    }
}

pub const INT64: u8 = 3;
pub const TEXT: u8 = 7;

/// Static memory under construction.
struct Image(Vec<u8>);

impl Image {
    /// Lays `bytes` down and returns their address.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(0);
        }
        let at = IMAGE_AT + self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        at
    }

    /// Returns address and length of a list whose items are `bytes`.
    fn list(&mut self, items: usize, bytes: &[u8]) -> Vec<u8> {
        let at = self.put(bytes);
        [at.to_le_bytes(), (items as u32).to_le_bytes()].concat()
    }

    fn text(&mut self, text: &str) -> Vec<u8> {
        self.list(text.len(), text.as_bytes())
    }
}

impl Guest {
    /// Returns the core module, not yet a component.
    pub fn module(&self) -> Vec<u8> {
        let mut image = Image(Vec::new());
        let none = [0u8; 8];
        let mut columns = Vec::new();
        for (name, kind, nullable, key) in self.columns {
            columns.extend(image.text(name));
            columns.extend([*kind, 0, 0, 0].iter().chain(&none));
            columns.extend([0u8; 4].iter().chain(&(-1i32).to_le_bytes()));
            columns.extend([u8::from(*nullable), u8::from(*key), 0, 0].iter().chain(&none));
        }
        let columns = image.list(self.columns.len(), &columns);
        let schema = [&image.text("t")[..], &1u32.to_le_bytes(), &0u32.to_le_bytes(), &columns, &none].concat();
        let schemas = image.list(1, &schema);
        let subscribed: Vec<u8> = self.subscribed.iter().flat_map(|name| image.text(name)).collect();
        let subscribed = image.list(self.subscribed.len(), &subscribed);
        let ops = image.list(self.ops.len(), self.ops);
        let subscription =
            [&image.text(self.table.0)[..], &image.text(self.table.1), &subscribed, &ops, &none].concat();
        let subscriptions = image.list(1, &subscription);
        let flags = [self.parallel, self.whole_transactions, self.stateful, false].map(u8::from);
        let descriptor = [
            // ok
            &[0; 4][..],
            &image.text("guest"),
            &image.text("0.1.0"),
            &[self.encoding, 0, 0, 0],
            &subscriptions,
            &schemas,
            // settings
            &none,
            &flags,
            &7u32.to_le_bytes(),
            &none,
        ]
        .concat();
        let descriptor = image.put(&descriptor);
        let heap = (IMAGE_AT + image.0.len() as u32).next_multiple_of(4096);
        let escaped: String = image.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let wat = TEMPLATE
            .replace("{imports}", self.imports)
            .replace("{heap}", &heap.to_string())
            .replace("{image}", &escaped)
            .replace("{data}", self.data)
            .replace("{describe}", self.describe)
            .replace("{descriptor}", &descriptor.to_string())
            .replace("{init}", self.init)
            .replace("{relation-changed}", self.relation_changed)
            .replace("{process}", self.process)
            .replace("{functions}", self.functions);
        let wat = match self.world {
            "typed-transformer" => wat
                .replace("(export \"pelton:transform/packed@0.1.0#process\")", "")
                .replace("cabi_post_pelton:transform/packed@", "cabi_post_pelton:transform/typed@"),
            _ => wat,
        };
        wat::parse_str(&wat).expect("the guest's text")
    }

    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let mut package = resolve.push_str("transform.wit", WIT).expect("our WIT");
        if self.world == "with-wasi" {
            for wit in WASI {
                package = resolve.push_str("wasi.wit", wit).expect("a piece of WASI");
            }
        }
        let world = resolve.select_world(&[package], Some(self.world)).expect("a world of our WIT");
        let mut module = self.module();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        ComponentEncoder::default().validate(true).module(&module).expect("a module").encode().expect("a component")
    }
}

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
    pub name: &'static str,
    /// The names of settings that it requires.
    pub settings: &'static [&'static str],
    /// Of the subscription, by index of the enum; none: all.
    pub ops: &'static [u8],
    pub subscribed: &'static [&'static str],
    /// (name, index of the kind, nullable, key)
    pub columns: &'static [(&'static str, u8, bool, bool)],
    /// What arrays and other types are called, by column.
    pub type_names: &'static [&'static str],
    /// (major, minor)
    pub version: (u32, u32),
    pub stateful: bool,
    pub state_version: u32,
    pub parallel: bool,
    pub whole_transactions: bool,
    /// Index of the enum.
    pub encoding: u8,
    pub world: &'static str,
}

pub const ECHO: &str = "(call $echo (local.get $count) (local.get $payload) (local.get $length))";

/// Does the same in the world `typed-transformer`, as `functions`: rows point at the values of the changes they came from.
pub const TYPED_ECHO: &str = r#"(func (export "pelton:transform/typed@0.1.0#process")
    (param $id i64) (param $spans i32) (param $spans-count i32) (param $changes i32) (param $count i32) (result i32)
    (local $i i32) (local $at i32) (local $out i32) (local $rows i32) (local $list i32)
    (local.set $rows (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $count) (i32.const 28))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $at (i32.add (local.get $changes) (i32.mul (local.get $i) (i32.const 24))))
        (local.set $out (i32.add (local.get $rows) (i32.mul (local.get $i) (i32.const 28))))
        (i32.store (local.get $out) (i32.const 0))
        (i32.store8 offset=4 (local.get $out) (i32.load8_u (local.get $at)))
        (i32.store offset=8 (local.get $out) (local.get $i))
        (local.set $list (i32.add (local.get $at)
          (select (i32.const 16) (i32.const 8) (i32.eq (i32.load8_u (local.get $at)) (i32.const 2)))))
        (i32.store offset=12 (local.get $out) (i32.load (local.get $list)))
        (i32.store offset=16 (local.get $out) (i32.load offset=4 (local.get $list)))
        (i32.store offset=20 (local.get $out) (i32.const 0))
        (i32.store offset=24 (local.get $out) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (local.get $rows))
    (i32.store (i32.const 24) (local.get $count))
    (i32.store (i32.const 28) (i32.const 0))
    (i32.store (i32.const 32) (i32.const 0))
    (i32.const 16))"#;

/// Emits each change as it came, but for truncates, in JSON.
pub const JSON_ECHO: &str = r#"
    ;; A change of [op,relation,new,old] becomes [0,op,source,values,null], which is longer by its index at most.
    (local.set $start
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (local.get $length) (i32.add (i32.const 16) (i32.mul (local.get $count) (i32.const 16))))))
    (local.set $out (call $put (local.get $start) (i32.const 0x5b)))
    (local.set $at (i32.add (local.get $payload) (i32.const 1)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (if (local.get $i) (then (local.set $out (call $put (local.get $out) (i32.const 0x2c)))))
        ;; [0,op,
        (i32.store (local.get $out) (i32.const 0x002c305b))
        (i32.store8 offset=3 (local.get $out) (i32.load8_u offset=1 (local.get $at)))
        (local.set $out (call $put (i32.add (local.get $out) (i32.const 4)) (i32.const 0x2c)))
        (local.set $out (call $put (call $decimal (local.get $out) (local.get $i)) (i32.const 0x2c)))
        ;; The relation's id is skipped, and for a delete `new`, which is null.
        (local.set $at (i32.add (call $json-end (i32.add (local.get $at) (i32.const 3))) (i32.const 1)))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x6e))
          (then (local.set $at (i32.add (local.get $at) (i32.const 5)))))
        (local.set $spans (call $json-end (local.get $at)))
        (memory.copy (local.get $out) (local.get $at) (i32.sub (local.get $spans) (local.get $at)))
        (local.set $out (i32.add (local.get $out) (i32.sub (local.get $spans) (local.get $at))))
        (local.set $at (local.get $spans))
        ;; Of an insert or update `old` is left.
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x2c))
          (then (local.set $at (call $json-end (i32.add (local.get $at) (i32.const 1))))))
        ;; ,null]
        (i64.store (local.get $out) (i64.const 0x5d6c6c756e2c))
        (local.set $out (i32.add (local.get $out) (i32.const 6)))
        ;; ],
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.set $out (call $put (local.get $out) (i32.const 0x5d)))
    (call $output (local.get $count) (local.get $start) (i32.sub (local.get $out) (local.get $start)))"#;

/// What [`JSON_ECHO`] calls.
pub const JSON_FUNCTIONS: &str = r#"
    (func $put (param $at i32) (param $byte i32) (result i32)
      (i32.store8 (local.get $at) (local.get $byte))
      (i32.add (local.get $at) (i32.const 1)))

    (func $decimal (param $at i32) (param $n i32) (result i32)
      (if (i32.ge_u (local.get $n) (i32.const 10))
        (then (local.set $at (call $decimal (local.get $at) (i32.div_u (local.get $n) (i32.const 10))))))
      (call $put (local.get $at) (i32.add (i32.const 0x30) (i32.rem_u (local.get $n) (i32.const 10)))))

    ;; Returns where the value at $at ends, which is within an array.
    (func $json-end (param $at i32) (result i32)
      (local $c i32) (local $depth i32)
      (loop $next
        (local.set $c (i32.load8_u (local.get $at)))
        (if (i32.eq (local.get $c) (i32.const 0x22))
          (then
            (loop $text
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x5c))
                (then (local.set $at (i32.add (local.get $at) (i32.const 1))) (br $text)))
              (br_if $text (i32.ne (i32.load8_u (local.get $at)) (i32.const 0x22))))))
        (if (i32.eqz (local.get $depth))
          (then
            (if (i32.or (i32.eq (local.get $c) (i32.const 0x2c)) (i32.eq (local.get $c) (i32.const 0x5d)))
              (then (return (local.get $at))))))
        (if (i32.eq (local.get $c) (i32.const 0x5b))
          (then (local.set $depth (i32.add (local.get $depth) (i32.const 1)))))
        (if (i32.eq (local.get $c) (i32.const 0x5d))
          (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next))
      unreachable)"#;

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
            name: "guest",
            settings: &[],
            table: ("public", "t"),
            ops: &[],
            subscribed: &[],
            columns: &[("id", INT64, false, true), ("v", TEXT, false, false)],
            type_names: &[],
            version: (1, 0),
            stateful: false,
            state_version: 7,
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
        for (index, (name, kind, nullable, key)) in self.columns.iter().enumerate() {
            columns.extend(image.text(name));
            let type_name = image.text(self.type_names.get(index).unwrap_or(&""));
            columns.extend([*kind, 0, 0, 0].iter().chain(&type_name));
            columns.extend([0u8; 4].iter().chain(&(-1i32).to_le_bytes()));
            columns.extend([u8::from(*nullable), u8::from(*key), 0, 0].iter().chain(&none));
        }
        let columns = image.list(self.columns.len(), &columns);
        let schema =
            [&image.text("t")[..], &self.version.0.to_le_bytes(), &self.version.1.to_le_bytes(), &columns, &none]
                .concat();
        let schemas = image.list(1, &schema);
        let subscribed: Vec<u8> = self.subscribed.iter().flat_map(|name| image.text(name)).collect();
        let subscribed = image.list(self.subscribed.len(), &subscribed);
        let ops = image.list(self.ops.len(), self.ops);
        let subscription =
            [&image.text(self.table.0)[..], &image.text(self.table.1), &subscribed, &ops, &none].concat();
        let subscriptions = image.list(1, &subscription);
        let mut settings = Vec::new();
        for name in self.settings {
            // Required, without a default and a description.
            settings.extend([&image.text(name)[..], &[1, 0, 0, 0], &[0; 12], &none].concat());
        }
        let settings = image.list(self.settings.len(), &settings);
        let flags = [self.parallel, self.whole_transactions, self.stateful, false].map(u8::from);
        let descriptor = [
            // ok
            &[0; 4][..],
            &image.text(self.name),
            &image.text("0.1.0"),
            &[self.encoding, 0, 0, 0],
            &subscriptions,
            &schemas,
            &settings,
            &flags,
            &self.state_version.to_le_bytes(),
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

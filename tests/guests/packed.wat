;; A guest of the world `transformer`, by hand: tests need no toolchain for WebAssembly, and a hostile guest is a few
;; lines. `src/wasm/tests/guest.rs` puts in what stands in {braces} and makes a component of it.
;;
;; Memory: 16 the results, 1024 the descriptor's image, {heap} the heap, which is emptied after each `process`.
(module
  {imports}
  (memory (export "memory") 4)
  (global $heap (mut i32) (i32.const {heap}))
  (data (i32.const 1024) "{image}")
  (data (i32.const 512) "{data}")

  (func $realloc (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $grow
        (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $grow)))
    (memory.copy (local.get $at) (local.get $old) (local.get $old-size))
    (local.get $at))

  (func (export "pelton:transform/lifecycle@0.1.0#describe") (result i32)
    {describe}
    (i32.const {descriptor}))

  (func (export "pelton:transform/lifecycle@0.1.0#init") (param i32 i32 i32 i32) (param $instance i32) (param i32 i32 i32) (result i32)
    {init}
    (call $ok))

  (func (export "pelton:transform/lifecycle@0.1.0#relation-changed") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    {relation-changed}
    (call $ok))

  (func $process (export "pelton:transform/packed@0.1.0#process")
    (param $id i64) (param $spans i32) (param $spans-count i32) (param $count i32) (param $payload i32) (param $length i32) (result i32)
    (local $i i32) (local $at i32) (local $out i32) (local $start i32)
    {process})

  (func (export "cabi_post_pelton:transform/packed@0.1.0#process") (param i32)
    (global.set $heap (i32.const {heap})))

  ;; ok(())
  (func $ok (result i32)
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.const 16))

  ;; ok(output) without rejections
  (func $output (param $count i32) (param $payload i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (local.get $count))
    (i32.store (i32.const 24) (local.get $payload))
    (i32.store (i32.const 28) (local.get $length))
    (i32.store (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 0))
    (i32.const 16))

  ;; err(retryable), with the text at 512
  (func $retryable (param $length i32) (param $after-ms i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store8 (i32.const 20) (i32.const 0))
    (i32.store (i32.const 24) (i32.const 512))
    (i32.store (i32.const 28) (local.get $length))
    (i32.store (i32.const 32) (local.get $after-ms))
    (i32.const 16))

  ;; err(rejected), with code and message from the text at 512
  (func $rejected (param $index i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store8 (i32.const 20) (i32.const 1))
    (i32.store (i32.const 24) (local.get $index))
    (i32.store (i32.const 28) (i32.const 512))
    (i32.store (i32.const 32) (local.get $length))
    (i32.store (i32.const 36) (i32.const 512))
    (i32.store (i32.const 40) (local.get $length))
    (i32.const 16))

  ;; err(fatal), with the text at 512
  (func $fatal (param $length i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 1))
    (i32.store8 (i32.const 20) (i32.const 2))
    (i32.store (i32.const 24) (i32.const 512))
    (i32.store (i32.const 28) (local.get $length))
    (i32.const 16))

  (func $u16 (param $at i32) (result i32)
    (i32.or (i32.shl (i32.load8_u (local.get $at)) (i32.const 8)) (i32.load8_u (i32.add (local.get $at) (i32.const 1)))))

  ;; Returns where the MessagePack value at $at ends.
  (func $skip (param $at i32) (result i32)
    (local $m i32) (local $n i32)
    (local.set $m (i32.load8_u (local.get $at)))
    (if (i32.or (i32.lt_u (local.get $m) (i32.const 0x80)) (i32.ge_u (local.get $m) (i32.const 0xe0)))
      (then (return (i32.add (local.get $at) (i32.const 1)))))
    (if (i32.lt_u (local.get $m) (i32.const 0x90)) (then unreachable))
    (if (i32.lt_u (local.get $m) (i32.const 0xa0))
      (then (return (call $skip-items (i32.add (local.get $at) (i32.const 1)) (i32.and (local.get $m) (i32.const 15))))))
    (if (i32.lt_u (local.get $m) (i32.const 0xc0))
      (then (return (i32.add (i32.add (local.get $at) (i32.const 1)) (i32.and (local.get $m) (i32.const 31))))))
    (if (i32.le_u (local.get $m) (i32.const 0xc3)) (then (return (i32.add (local.get $at) (i32.const 1)))))
    (if (i32.or (i32.eq (local.get $m) (i32.const 0xc4)) (i32.eq (local.get $m) (i32.const 0xd9)))
      (then (return (i32.add (i32.add (local.get $at) (i32.const 2)) (i32.load8_u (i32.add (local.get $at) (i32.const 1)))))))
    (if (i32.or (i32.eq (local.get $m) (i32.const 0xc5)) (i32.eq (local.get $m) (i32.const 0xda)))
      (then (return (i32.add (i32.add (local.get $at) (i32.const 3)) (call $u16 (i32.add (local.get $at) (i32.const 1)))))))
    (if (i32.or (i32.eq (local.get $m) (i32.const 0xcc)) (i32.eq (local.get $m) (i32.const 0xd0)))
      (then (return (i32.add (local.get $at) (i32.const 2)))))
    (if (i32.or (i32.or (i32.eq (local.get $m) (i32.const 0xcd)) (i32.eq (local.get $m) (i32.const 0xd1))) (i32.eq (local.get $m) (i32.const 0xd4)))
      (then (return (i32.add (local.get $at) (i32.const 3)))))
    (if (i32.or (i32.or (i32.eq (local.get $m) (i32.const 0xce)) (i32.eq (local.get $m) (i32.const 0xd2))) (i32.eq (local.get $m) (i32.const 0xca)))
      (then (return (i32.add (local.get $at) (i32.const 5)))))
    (if (i32.or (i32.or (i32.eq (local.get $m) (i32.const 0xcf)) (i32.eq (local.get $m) (i32.const 0xd3))) (i32.eq (local.get $m) (i32.const 0xcb)))
      (then (return (i32.add (local.get $at) (i32.const 9)))))
    (if (i32.eq (local.get $m) (i32.const 0xdc))
      (then (return (call $skip-items (i32.add (local.get $at) (i32.const 3)) (call $u16 (i32.add (local.get $at) (i32.const 1)))))))
    unreachable)

  (func $skip-items (param $at i32) (param $n i32) (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (local.set $at (call $skip (local.get $at)))
        (br $next)))
    (local.get $at))

  ;; Skips an array's header.
  (func $header (param $at i32) (result i32)
    (local $m i32)
    (local.set $m (i32.load8_u (local.get $at)))
    (if (i32.eq (local.get $m) (i32.const 0xdc)) (then (return (i32.add (local.get $at) (i32.const 3)))))
    (if (i32.eq (local.get $m) (i32.const 0xdd)) (then (return (i32.add (local.get $at) (i32.const 5)))))
    (i32.add (local.get $at) (i32.const 1)))

  ;; Emits each change as it came: its new row, or the old one of a delete, into public schema 0.
  (func $echo (param $count i32) (param $payload i32) (param $length i32) (result i32)
    (local $i i32) (local $at i32) (local $out i32) (local $start i32) (local $op i32) (local $end i32)
    (local.set $start
      (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (local.get $length) (i32.add (i32.const 16) (i32.mul (local.get $count) (i32.const 8))))))
    (local.set $out (local.get $start))
    ;; array 32
    (i32.store8 (local.get $out) (i32.const 0xdd))
    (i32.store8 offset=1 (local.get $out) (i32.shr_u (local.get $count) (i32.const 24)))
    (i32.store8 offset=2 (local.get $out) (i32.shr_u (local.get $count) (i32.const 16)))
    (i32.store8 offset=3 (local.get $out) (i32.shr_u (local.get $count) (i32.const 8)))
    (i32.store8 offset=4 (local.get $out) (local.get $count))
    (local.set $out (i32.add (local.get $out) (i32.const 5)))
    (local.set $at (call $header (local.get $payload)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        ;; [op, relation, new, old]: the relation's id is below 128
        (local.set $op (i32.load8_u offset=1 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 3)))
        ;; [0, op, source as uint 16, …
        (i32.store8 (local.get $out) (i32.const 0x95))
        (i32.store8 offset=1 (local.get $out) (i32.const 0))
        (i32.store8 offset=2 (local.get $out) (local.get $op))
        (i32.store8 offset=3 (local.get $out) (i32.const 0xcd))
        (i32.store8 offset=4 (local.get $out) (i32.shr_u (local.get $i) (i32.const 8)))
        (i32.store8 offset=5 (local.get $out) (local.get $i))
        (local.set $out (i32.add (local.get $out) (i32.const 6)))
        (if (i32.ge_u (local.get $op) (i32.const 2)) (then (local.set $at (call $skip (local.get $at)))))
        (local.set $end (call $skip (local.get $at)))
        (if (i32.eq (local.get $op) (i32.const 3))
          (then (i32.store8 (local.get $out) (i32.const 0x90)) (local.set $out (i32.add (local.get $out) (i32.const 1))))
          (else
            (memory.copy (local.get $out) (local.get $at) (i32.sub (local.get $end) (local.get $at)))
            (local.set $out (i32.add (local.get $out) (i32.sub (local.get $end) (local.get $at))))))
        (local.set $at (local.get $end))
        (if (i32.lt_u (local.get $op) (i32.const 2)) (then (local.set $at (call $skip (local.get $at)))))
        ;; … nil]
        (i32.store8 (local.get $out) (i32.const 0xc0))
        (local.set $out (i32.add (local.get $out) (i32.const 1)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $output (local.get $count) (local.get $start) (i32.sub (local.get $out) (local.get $start))))

  ;; Returns how many changes stand before the first `boom` in the payload, -1 if there is none. Walks the changes.
  (func $boom (param $count i32) (param $payload i32) (result i32)
    (local $i i32) (local $at i32) (local $end i32)
    (local.set $at (call $header (local.get $payload)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $end (call $skip (local.get $at)))
        (loop $byte
          (if (i32.eq (i32.load (local.get $at)) (i32.const 0x6d6f6f62)) (then (return (local.get $i))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $byte (i32.lt_u (local.get $at) (local.get $end))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.const -1))

  (func $recurse (param $n i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))

  {functions}
)

"""State: what is kept, its bytes, and when it may be used."""

import struct
import unittest
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from pelton_sdk import (
    Ahead,
    Change,
    Decimal,
    Fatal,
    Insert,
    Int16,
    Int32,
    Int128,
    Map,
    Out,
    Reject,
    Retry,
    UInt64,
    host,
    state,
    state_value,
    transform,
)
from pelton_sdk.testing import Harness
from shop import Item, PublicItem


@state_value
class Seen:
    times: int
    names: list[str]
    last: Decimal | None


@state_value
class Sum:
    count: int
    cents: Int128 = 0
    rate: float = 0.0
    closed: bool = False


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@state_value
class Ranked:
    level: int
    rate: float

    def __post_init__(self) -> None:
        self.level = Level(self.level)
        self.rate = round(self.rate)


SEEN = Map[tuple[int, str], Seen]("seen")
SUMS = Map[int, Sum]("sums")
OTHER = Map[int, None]("see")


@transform(publishes=[PublicItem], state_version=4)
def remembering(change: Change[Item], out: Out) -> None:
    if not isinstance(change, Insert):
        return
    item = change.new
    seen = SEEN.get((item.id, item.name)) or Seen(0, [], None)
    seen.times += 1
    seen.names.append(item.name)
    seen.last = Decimal.from_scaled(seen.times, 1)
    SEEN.put((item.id, item.name), seen)
    OTHER.put(item.id, None)
    if item.hidden:
        raise Reject("hidden", "not this one")


@transform(publishes=[PublicItem], stateful=True)
class Hasty:
    def __init__(self) -> None:
        OTHER.put(1, None)

    def items(self, change: Change[Item], out: Out) -> None: ...


@transform(publishes=[PublicItem], stateful=True)
class Foresighted:
    def items_ahead(self, change: Change[Item], ahead: Ahead) -> None:
        if change.new_row is not None:
            ahead.read(OTHER, change.new_row.id)

    def items(self, change: Change[Item], out: Out) -> None:
        if change.new_row is not None and not OTHER.has(change.new_row.id):
            OTHER.put(change.new_row.id, None)


class StateTest(unittest.TestCase):
    def test_state_is_committed_with_the_batch_and_dropped_with_it(self) -> None:
        host = Harness(remembering)
        host.insert(Item(1, "a")).insert(Item(1, "a")).insert(Item(2, "b", hidden=True)).run()
        host.restart().insert(Item(1, "a")).insert(Item(-1, "z")).run()
        self.assertEqual(host.with_state(lambda: SEEN.get((1, "a"))), Seen(3, ["a"] * 3, Decimal("0.3")))
        self.assertIsNone(host.with_state(lambda: SEEN.get((2, "b"))), "its change was rejected")
        keys = host.with_state(lambda: [key for key, _ in SEEN.for_each()])
        self.assertEqual(keys, [(-1, "z"), (1, "a")], "in key order, and no other map's")
        many = host.with_state(lambda: SEEN.get_many([(1, "a"), (9, "x"), (1, "a")]))
        self.assertEqual([seen and seen.times for seen in many], [3, None, 3])

    def test_a_value_that_was_got_and_not_put_is_not_changed(self) -> None:
        host = Harness(remembering).insert(Item(1, "a"))
        host.run()

        def change_in_place() -> Any:
            seen = SEEN.get((1, "a"))
            assert seen is not None
            seen.names.append("b")
            return SEEN.get((1, "a"))

        self.assertEqual(host.with_state(change_in_place).names, ["a"])

    def test_numbers_are_what_they_were_when_they_were_put(self) -> None:
        host = Harness(remembering)
        first = Sum(1, -5, 0.5, True)

        def use() -> None:
            SUMS.put(1, first)
            first.count = 2
            got = SUMS.get(1)
            assert got is not None
            got.cents = 9
            self.assertEqual(SUMS.get(1), Sum(1, -5, 0.5, True))
            # What is unusual is what it would be if it was read again.
            loose: Any = Sum(True, 0, 1, 1)  # type: ignore[arg-type]
            SUMS.put(2, loose)
            self.assertEqual(repr(SUMS.get(2)), "Sum(count=1, cents=0, rate=1.0, closed=True)")
            for wrong in [Sum(1 << 63), Sum(0, 1 << 127), Sum(1.5), Sum("1"), Sum(0, 0, "1")]:  # type: ignore[arg-type]
                with self.assertRaises((TypeError, ValueError, struct.error)):
                    SUMS.put(3, wrong)
            self.assertIsNone(SUMS.get(3))
            small, flags = Map[int, Int16]("small"), Map[int, bool]("flags")
            with self.assertRaises(ValueError):
                small.put(1, 1 << 15)
            small.put(1, True)
            flags.put(1, 1)  # type: ignore[arg-type]
            self.assertEqual(repr((small.get(1), flags.get(1))), "(1, True)")
            self.assertEqual([key for key, _ in SUMS.scan()], [1, 2])
            self.assertEqual(SUMS.get_many([2, 1, 3])[1], Sum(1, -5, 0.5, True))

        host.with_state(use)

    def test_a_value_may_make_its_fields_other_classes(self) -> None:
        ranked = Map[int, Ranked]("ranked")

        def use() -> None:
            ranked.put(1, Ranked(2, 1.0))
            got = ranked.get(1)
            assert got is not None
            self.assertIs(got.level, Level.HIGH)
            self.assertEqual(got, Ranked(2, 1.0))
            ranked.put(1, got)

        Harness(remembering).with_state(use)

    def test_keys_are_of_their_own_type(self) -> None:
        loose: Any = OTHER

        def use() -> None:
            OTHER.put(1, None)
            self.assertTrue(loose.has(True), "which Python counts as 1")
            for wrong in [1.0, "1", None]:
                with self.assertRaises((TypeError, AttributeError)):
                    loose.has(wrong)

        Harness(remembering).with_state(use)

    def test_state_that_could_not_be_read_is_asked_for_again(self) -> None:
        class Late(host.Fake):
            def get(self, keys: list[bytes]) -> list[bytes | None]:
                self.reads += 1
                if self.reads == 1:
                    raise Retry("later")
                return [b"\x07"] * len(keys)

        numbers, late, before = Map[int, int]("n"), Late(), host.current
        host.current = late
        state.overlay.begin()
        try:
            with self.assertRaises(Retry):
                numbers.get(1)
            self.assertEqual(numbers.get_many([1, 1]), [7, 7])
        finally:
            state.overlay.end()
            host.current = before
        self.assertEqual(late.reads, 2)

    def test_state_belongs_to_a_batch_and_is_refused_outside_of_one(self) -> None:
        def refusal(act: Callable[[], object]) -> None:
            with self.assertRaises(Fatal) as raised:
                act()
            self.assertIn("the transform uses its state outside of a batch, as in `__init__`", raised.exception.message)

        refusal(lambda: Harness(Hasty).insert(Item(1, "a")).run())
        refusal(lambda: OTHER.get(1))
        Harness(remembering).insert(Item(1, "a")).run()
        refusal(lambda: OTHER.remove(1))

    def test_scans_go_in_batches_and_see_what_was_written(self) -> None:
        def use() -> None:
            for id in range(1000):
                OTHER.put(id, None)
            OTHER.remove(500)
            self.assertEqual([id for id, _ in OTHER.for_each()], [id for id in range(1000) if id != 500])
            self.assertEqual(len(OTHER.scan(997, 10)), 2)
            OTHER.clear()
            self.assertEqual(OTHER.scan(limit=1), [])

        Harness(remembering).with_state(use)

    def test_what_is_kept_of_a_batch_is_bounded(self) -> None:
        large = Map[int, bytes]("large")
        host = Harness(remembering)

        def use() -> None:
            rounds = state.overlay.round
            for id in range(20):
                large.put(id, b"x" * 500_000)
                self.assertLessEqual(state.overlay.bytes, state.KEPT_BYTES_MAX)
            self.assertEqual(len(large.get(0) or b""), 500_000)
            for id in range(50_000):
                SUMS.put(id, Sum(id))
                self.assertLessEqual(state.overlay.bytes, state.KEPT_BYTES_MAX)
            for _ in range(100_000):
                SUMS.put(0, Sum(7))
                self.assertLessEqual(state.overlay.bytes, state.KEPT_BYTES_MAX)
            self.assertGreater(state.overlay.round, rounds + 3, "all was forgotten, several times")
            self.assertEqual(SUMS.get_many([0, 49_999]), [Sum(7), Sum(49_999)])

        host.with_state(use)

    def test_state_of_other_types_says_that_a_version_is_due(self) -> None:
        numbers, texts = Map[int, int]("m"), Map[int, str]("m")

        def use() -> None:
            numbers.put(1, 1)
            texts.get(1)

        with self.assertRaises(Fatal) as raised:
            Harness(remembering).with_state(use)
        self.assertIn("raise state_version", raised.exception.message)

    def test_the_state_of_a_batch_is_read_at_once_and_every_change_once(self) -> None:
        host = Harness(Foresighted)
        for id in range(100):
            host.insert(Item(id % 7, "a"))
        self.assertEqual(host.run().state_reads, 1)
        self.assertEqual(len(host.state()), 7)


def ascending(bits: int, signed: bool) -> list[int]:
    low = -(1 << (bits - 1)) if signed else 0
    return [low, *([-256, -1] if signed else []), 0, 1, 255, 256, (1 << (bits - signed)) - 1]


class BytesTest(unittest.TestCase):
    def test_keys_sort_as_their_bytes_do_and_come_back(self) -> None:
        cases: list[tuple[Any, list[Any]]] = [
            (int, ascending(64, True)),
            (Int16, ascending(16, True)),
            (Int128, ascending(128, True)),
            (UInt64, ascending(64, False)),
            (bool, [False, True]),
            (str, ["", "a", "a\0", "a\0b", "aa", "b", "ä"]),
            (bytes, [b"", b"\0", b"\0\0", b"\0\xff", b"\xff"]),
            (tuple[str, int], [("", 5), ("a", -1), ("a", 2), ("a\0", 0), ("b", 1)]),
            (tuple[bool, Int16], [(False, 2), (True, -3), (True, 1)]),
            (None, [None]),
        ]
        for hint, values in cases:
            write, read = state.keys.codec(hint)
            encoded = [write(value) for value in values]
            self.assertEqual(encoded, sorted(encoded), hint)
            for value, key in zip(values, encoded):
                self.assertEqual(read(key, 0), (value, len(key)))
        for hint, value in [(Int16, 1 << 15), (UInt64, -1)]:
            with self.assertRaises(ValueError):
                state.keys.codec(hint)[0](value)

    def test_values_have_the_bytes_of_every_languages_sdk(self) -> None:
        cases: list[tuple[Any, Any, str]] = [
            (bool, True, "c3"),
            (int, 127, "7f"),
            (int, 128, "cc80"),
            (int, 256, "cd0100"),
            (int, 65536, "ce00010000"),
            (int, 2**63 - 1, "cf7fffffffffffffff"),
            (int, -32, "e0"),
            (int, -33, "d0df"),
            (int, -129, "d1ff7f"),
            (int, -32769, "d2ffff7fff"),
            (int, -(2**63), "d38000000000000000"),
            (Int32, 5, "05"),
            (UInt64, 1, "c4080000000000000001"),
            (Int128, -1, "c410" + "ff" * 16),
            (float, 1.5, "cb3ff8000000000000"),
            (str, "ä", "a2c3a4"),
            (str, "x" * 32, "d920" + "78" * 32),
            (str, "x" * 256, "da0100" + "78" * 256),
            (bytes, b"\0\xff", "c40200ff"),
            (None, None, "c0"),
            (int | None, None, "90"),
            (int | None, 5, "9105"),
            (list[int], [1, 2], "920102"),
            (list[int], [0] * 16, "dc0010" + "00" * 16),
            (tuple[int, str], (1, "a"), "9201a161"),
            (Decimal, Decimal("1.5"), "a3312e35"),
            (Seen, Seen(1, ["a"], None), "930191a16190"),
        ]
        for hint, value, hex in cases:
            write, read = state.values.codec(hint)
            self.assertEqual(write(value).hex(), hex, hint)
            data = bytes.fromhex(hex)
            self.assertEqual(read(data, 0), (value, len(data)))
            for cut in range(len(data)):
                with self.assertRaises((ValueError, IndexError), msg=f"{hint} cut at {cut}"):
                    read(data[:cut], 0)

    def test_types_that_no_state_has_are_refused(self) -> None:
        for hint in [dict, object, set[int]]:
            with self.assertRaises(TypeError):
                state.values.codec(hint)
            with self.assertRaises(TypeError):
                state.keys.codec(hint)
        with self.assertRaises(TypeError) as raised:
            Harness(remembering).with_state(lambda: Map[Any, Any].__origin__("untyped").get(1))  # type: ignore[attr-defined]
        self.assertIn('Map[int, int]("untyped")', str(raised.exception))


if __name__ == "__main__":
    unittest.main()

"""What the operator is told of a crash: its place, and of the exception what can't quote a value."""

import enum
import unittest
from typing import Any

from pelton_sdk import Change, Key, Out, crash, host, public, source, transform
from pelton_sdk.testing import Harness


@source("public.crashes")
class Crash:
    id: Key[int]
    how: str


@public("crashes", "1.0")
class Crashed:
    id: Key[int]


SECRET = "ann@example.com"


@transform(publishes=[Crashed])
def crashing(change: Change[Crash], out: Out) -> None:
    assert change.new_row is not None
    WAYS[change.new_row.how](out)


def deeper(out: Any) -> None:
    return deeper_still(out)


def deeper_still(_: Any) -> None:
    raise RuntimeError("told to crash")


def published_wrongly(out: Any) -> None:
    out.insert(Crashed(SECRET))  # type: ignore[arg-type]


WAYS: Any = {
    "raise": deeper,
    "assert": lambda _: failing_assertion(),
    "int": lambda _: int(SECRET),
    # Python's own modules raise with words of their own, which quote what they were given.
    "library": lambda _: enum.Enum("Colour", {"RED": "red"})(SECRET),
    "key": lambda _: {}[SECRET],
    "getattr": lambda _: getattr(object(), SECRET),
    "keyword": lambda _: deeper(**{SECRET: 1}),
    "attribute": lambda _: (None).nothing,  # type: ignore[attr-defined]
    "division": lambda _: 1 // 0,
    "add": lambda _: SECRET + 1,  # type: ignore[operator]
    "published": published_wrongly,
}


def failing_assertion() -> None:
    assert not SECRET, "no secret is expected"


class CrashTest(unittest.TestCase):
    def crashed(self, how: str) -> tuple[str, dict[str, str]]:
        """Returns the line that is logged, and its fields."""
        run = Harness(crashing).insert(Crash(1, how))
        fake = None
        try:
            run.run()
        except Exception as error:
            fake = host.current
            crash.report(error)
        assert isinstance(fake, host.Fake)
        ((_, message, fields),) = fake.lines
        self.assertNotIn(SECRET, message + str(fields))
        return message, dict(fields)

    def test_the_place_is_told_with_the_stack_in_the_authors_files(self) -> None:
        message, fields = self.crashed("raise")
        self.assertEqual(message, "the transform crashed: RuntimeError: told to crash")
        line = deeper_still.__code__.co_firstlineno + 1
        self.assertTrue(fields["at"].endswith(f"test_crash.py:{line} in deeper_still"), fields)
        calls = [call.rsplit(" ", 1)[1] for call in fields["stack"].split(" < ")]
        # The test itself is the last of the author's callers here.
        self.assertEqual(calls, ["deeper_still", "deeper", "crashing", "crashed"])

    def test_what_may_quote_a_value_is_not_told(self) -> None:
        expected = {
            "assert": "AssertionError: no secret is expected",
            "int": "ValueError",
            "library": "ValueError",
            "key": "KeyError",
            "getattr": "AttributeError",
            "keyword": "TypeError",
            "attribute": "AttributeError: 'NoneType' object has no attribute 'nothing'",
            "division": "ZeroDivisionError: integer division or modulo by zero",
            "add": 'TypeError: can only concatenate str (not "int") to str',
            "published": "TypeError: column `id` of public schema `crashes` takes int, and was given str",
        }
        for how, described in expected.items():
            self.assertEqual(self.crashed(how)[0], f"the transform crashed: {described}", how)

    def test_a_crash_in_the_sdk_is_placed_at_the_authors_call(self) -> None:
        _, fields = self.crashed("published")
        line = published_wrongly.__code__.co_firstlineno + 1
        self.assertTrue(fields["at"].endswith(f"test_crash.py:{line} in published_wrongly"), fields)


if __name__ == "__main__":
    unittest.main()

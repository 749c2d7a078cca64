"""What mypy says of transforms: nothing of those that are right, and where the others are wrong."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SDK = Path(__file__).parents[1] / "src"
REPOSITORY = SDK.parents[2]

WRONG = """\
from pelton_sdk import Change, Decimal, Insert, Key, Map, Out, Toasted, public, source, transform, unchanged

@source("public.orders")
class Order:
    id: Key[int]
    amount: Decimal
    note: Toasted[str | None]

@public("orders", "1.0")
class PublicOrder:
    id: Key[int]

SEEN = Map[int, str]("seen")

@transform(publishes=[PublicOrder])
def orders(change: Change[Order], out: Out) -> None:
    out.map(change, PublicOrder, lambda order: PublicOrder(order.identity))
    if isinstance(change, Insert):
        PublicOrder(id="1")
        change.new.amount + change.new.amount
        change.new.note.upper()
        SEEN.put(change.new.id, 5)
    change.new.id
    if change.new_row is not None and change.new_row.note is not unchanged and change.new_row.note is not None:
        change.new_row.note.upper()
"""

#: The lines of it that are wrong.
LINES = [17, 19, 20, 21, 22, 23]


class TypesTest(unittest.TestCase):
    def mypy(self, folder: Path, *arguments: str) -> tuple[int, str]:
        environment = dict(os.environ, MYPYPATH=str(SDK))
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tempfile.gettempdir() + "/pelton-mypy"]
        ran = subprocess.run([*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        self.assertNotIn("No module named mypy", ran.stderr, "run this with the Python of scripts/toolchain-python.sh")
        return ran.returncode, ran.stdout + ran.stderr

    def test_the_package_and_what_is_written_with_it_are_typed(self) -> None:
        guests = REPOSITORY / "tests" / "guests" / "python"
        for folder, arguments in [
            (SDK, ["-p", "pelton_sdk"]),
            (REPOSITORY / "examples" / "orders-python", ["orders.py", "totals.py", "test_orders.py"]),
            (guests / "conformance", ["conformance.py"]),
            (guests / "lines", ["lines.py"]),
        ]:
            self.assertEqual(self.mypy(folder, *arguments), (0, ""), folder)

    def test_mistakes_are_found_before_anything_runs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "wrong.py").write_text(WRONG)
            status, said = self.mypy(Path(folder), "wrong.py")
        found = sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line})
        self.assertEqual((status, found), (1, LINES), said)


if __name__ == "__main__":
    unittest.main()

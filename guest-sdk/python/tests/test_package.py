"""The package: what it carries, what it makes of projects, and that its README and docs are true."""

import ast
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile
from pathlib import Path

import pelton_sdk
from pelton_sdk import componentize
from pelton_sdk.componentize import Project, Unbuildable

PACKAGE = Path(__file__).parents[1]
REPOSITORY = PACKAGE.parents[1]


class PackageTest(unittest.TestCase):
    def test_the_contract_is_the_repositorys(self) -> None:
        self.assertEqual(componentize._wit().read_bytes(), (REPOSITORY / "wit" / "transform.wit").read_bytes())

    def test_the_version_is_the_packages(self) -> None:
        written = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
        self.assertEqual(pelton_sdk.__version__, written["project"]["version"])

    def test_what_is_pinned_is_the_same_everywhere(self) -> None:
        written = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
        (pinned,) = written["project"]["optional-dependencies"]["build"]
        self.assertIn(f"\ncomponentize={pinned}\n", (REPOSITORY / "scripts" / "toolchain-python.sh").read_text())

    def test_the_wheel_holds_types_and_contract(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # A copy, for setuptools builds in the folder of the sources.
            copy = Path(folder, "sdk")
            subprocess.run(["cp", "-r", PACKAGE, copy], check=True)
            command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps", "-w", folder, str(copy)]
            subprocess.run(command, check=True)
            (wheel,) = Path(folder).glob("pelton_sdk-*.whl")
            names = set(zipfile.ZipFile(wheel).namelist())
        for file in ["py.typed", "wit/transform.wit", "state/key.py", "testing/harness.py", "componentize.py"]:
            self.assertIn(f"pelton_sdk/{file}", names)

    def test_everything_public_has_a_docstring(self) -> None:
        for file in sorted((PACKAGE / "src").rglob("*.py")):
            tree = ast.parse(file.read_text())
            self.assertTrue(ast.get_docstring(tree), file)
            for node in tree.body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                    self.assertTrue(ast.get_docstring(node), f"{file}: {node.name}")

    def test_the_readmes_code_runs(self) -> None:
        blocks = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
        self.assertEqual(len(blocks), 2)
        for number, block in enumerate(blocks):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "readme.py")
                file.write_text(block)
                subprocess.run([sys.executable, file], check=True, capture_output=True)
                self.assertGreater(block.count("\n"), 20, number)


class ProjectTest(unittest.TestCase):
    def project(self, pyproject: str, *files: str) -> Project:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(lambda: subprocess.run(["rm", "-r", folder], check=True))
        (folder / "pyproject.toml").write_text(pyproject)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text("")
        return Project.read(folder)

    def test_the_module_is_found_by_the_projects_name(self) -> None:
        named = '[project]\nname = "my-orders"\nversion = "1.2.3"\n'
        found = self.project(named, "my_orders.py")
        self.assertEqual((found.name, found.version, found.module), ("my-orders", "1.2.3", "my_orders"))
        self.assertEqual(self.project(named, "src/my_orders/__init__.py").root.name, "src")
        other = self.project(named + '[tool.pelton]\nmodule = "shop.orders"\n', "shop/orders.py")
        self.assertEqual(other.module, "shop.orders")

    def test_what_is_wrong_with_a_project_is_said(self) -> None:
        for pyproject, word in [
            ('[project]\nname = "orders"', "write orders.py"),
            ("[project", "pyproject.toml: "),
            ("[project]\nname = 5", "`name` must be a text"),
            ("project = 5", "`project` must be a table"),
        ]:
            with self.assertRaises(Unbuildable) as raised:
                self.project(pyproject)
            self.assertIn(word, str(raised.exception))
        with self.assertRaises(Unbuildable):
            Project.read(Path("/nowhere"))

    def test_ingredients_are_the_projects_name_and_all_that_it_is_made_of(self) -> None:
        found = self.project('[project]\nname = "orders"', "orders.py", "rates.csv", ".venv/lib.py", "orders.wasm")
        name, *lines = componentize.ingredients(found)
        self.assertEqual(name, "orders")
        own = {Path(line).name for line in lines if line.startswith(f"{found.root}/")}
        self.assertEqual(own, {"orders.py", "rates.csv", "pyproject.toml"})
        self.assertTrue(any(line.endswith("pelton_sdk/runner.py") for line in lines))

    def test_a_package_may_be_called_like_what_tools_make(self) -> None:
        files = "orders.py", "build/lib/old.py", "dist/__init__.py", "dist/new.py", "shop/build/rates.py"
        found = self.project('[project]\nname = "orders"', *files)
        own = {str(file.relative_to(found.root)) for file in found.files()}
        self.assertEqual(
            own, {"orders.py", "dist/__init__.py", "dist/new.py", "shop/build/rates.py", "pyproject.toml"}
        )


if __name__ == "__main__":
    unittest.main()

"""``python -m pelton_sdk.componentize DIR --out FILE``: a project becomes a component; ``pelton build`` calls it.

A project is a ``pyproject.toml`` and a module of the project's name beside it or in ``src``; ``[tool.pelton] module``
names another one. componentize-py imports that module once and keeps what is in memory then, so whatever a transform
uses must be imported by then, and be pure Python.

``DIR --ingredients`` prints what the component is made of: the project's name, then the versions of tools and the files
of the project and of what it may import.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__

#: The module that is componentised: it joins the SDK's exports and the author's transform.
_ENTRY = "pelton_entry"

_ENTRY_SOURCE = '''\
from pelton_sdk import sandbox
sandbox.before_import()
try:
    import {module}
except ImportError as error:
    # Python would look for names that are alike, through every folder.
    raise SystemExit(f"`{module}` can't be imported: {{error.msg}}\\nHint: install what is missing beside the SDK; it must be pure Python")
from pelton_sdk import guest
from pelton_sdk.transform import declared
if len(declared) != 1:
    names = ", ".join(transform.name for transform in declared) or "none"
    raise SystemExit(f"a component is one transform, and `{module}` declares {{len(declared)}}: {{names}}; mark one with @transform(…)")
guest.transform, guest.version = declared[0], {version!r}
from pelton_sdk.guest import Lifecycle, Packed
sandbox.after_import()
'''


class Unbuildable(Exception):
    """Why a project can't become a component, and what to do about it."""


@dataclass(frozen=True)
class Project:
    """A folder with a ``pyproject.toml``."""

    name: str
    version: str
    #: The module that declares the transform.
    module: str
    #: The folder of the ``pyproject.toml``.
    folder: Path
    #: The folder that the module is imported from: the same, or ``src`` in it.
    root: Path

    @classmethod
    def read(cls, folder: Path) -> "Project":
        """Reads the project's own file."""
        file = folder / "pyproject.toml"
        try:
            written = tomllib.loads(file.read_text("utf-8"))
        except OSError as error:
            raise Unbuildable(f"{file} can't be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Unbuildable(f"{file}: {error}") from None
        project, own = _table(written, "project", file), _table(_table(written, "tool", file), "pelton", file)
        name = _string(project, "name", file) or folder.resolve().name
        module = _string(own, "module", file) or re.sub(r"[-.]+", "_", name)
        for root in (folder, folder / "src"):
            path = root.joinpath(*module.split("."))
            if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
                return cls(name, _string(project, "version", file) or "0.0.0", module, folder, root.resolve())
        raise Unbuildable(
            f"{folder} has no module `{module}`: write {module}.py, or name the transform's module in {file}:\n"
            '[tool.pelton]\nmodule = "…"'
        )

    def files(self) -> Iterator[Path]:
        """Yields the Python files that may be imported, and what stands beside them."""
        hidden = {"__pycache__", "node_modules"}
        # What tools make lies at the top; a package of that name may be imported.
        made = {name for name in ("dist", "build") if not (self.root / name / "__init__.py").is_file()}
        for folder, folders, files in os.walk(self.root):
            skipped = hidden | made if Path(folder) == self.root else hidden
            folders[:] = sorted(name for name in folders if name not in skipped and not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(files) if not name.endswith((".wasm", ".pyc")))


def _table(written: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    table = written.get(name, {})
    if not isinstance(table, dict):
        raise Unbuildable(f"{file}: `{name}` must be a table")
    return table


def _string(table: dict[str, Any], name: str, file: Path) -> str | None:
    value = table.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise Unbuildable(f"{file}: `{name}` must be a text")
    return value


def _wit() -> Path:
    """The contract, as this version of the SDK was written for it."""
    return Path(__file__).parent / "wit" / "transform.wit"


def _packages(project: Project) -> list[Path]:
    """Where the SDK and the project's dependencies are imported from."""
    sdk = Path(__file__).resolve().parent.parent
    # The project's own, where another Python builds it.
    own = project.folder.glob(".venv/lib/python*/site-packages")
    return list(dict.fromkeys([sdk, *own, Path(sysconfig.get_path("purelib"))]))


def ingredients(project: Project) -> Iterator[str]:
    """Yields what a component is made of, one line each; a line that is a file's path stands for its contents."""
    yield project.name
    yield f"version {project.version}, pelton-sdk {__version__}, Python {sys.version}"
    # Of packages the version says what is in them; the SDK may be a checkout's.
    for packages in _packages(project):
        yield from sorted(folder.name for folder in packages.glob("*.dist-info"))
    sdk = Path(__file__).resolve().parent
    yield from (str(file) for file in sorted(sdk.rglob("*")) if file.suffix in (".py", ".wit"))
    yield from (str(file) for file in project.files())


def componentize(project: Project, out: Path) -> None:
    """Makes the component. What componentize-py says goes to stderr."""
    with tempfile.TemporaryDirectory() as scratch:
        entry = Path(scratch, f"{_ENTRY}.py")
        entry.write_text(_ENTRY_SOURCE.format(module=project.module, version=project.version), "utf-8")
        made = Path(scratch, "component.wasm")
        command = [sys.executable, "-c", "import sys, componentize_py; sys.exit(componentize_py.script())", "--quiet"]
        command += ["--wit-path", str(_wit()), "--world", "transformer", "componentize", "--stub-wasi"]
        # The project first: its folder is /0 inside of the component.
        for folder in (project.root, Path(scratch), *_packages(project)):
            command += ["--python-path", str(folder)]
        ran = subprocess.run([*command, "--output", str(made), _ENTRY], capture_output=True, text=True)
        if ran.returncode != 0:
            raise Unbuildable(_explained(ran.stderr or ran.stdout, project))
        made.replace(out) if made.stat().st_dev == out.parent.stat().st_dev else out.write_bytes(made.read_bytes())


def _explained(said: str, project: Project) -> str:
    """What Python says of the author's modules, without the machinery around it."""
    told = said.partition("AssertionError: ")[2].partition("\n\nCaused by:")[0] or said
    own = [line for line in told.replace("/0/", f"{project.root}/").splitlines() if _ENTRY not in line]
    return "\n".join(own).strip()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pelton_sdk.componentize")
    parser.add_argument("dir", type=Path)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path)
    task.add_argument("--ingredients", action="store_true")
    arguments = parser.parse_args()
    try:
        project = Project.read(arguments.dir)
        if arguments.ingredients:
            print("\n".join(ingredients(project)))
        else:
            componentize(project, arguments.out.absolute())
    except Unbuildable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

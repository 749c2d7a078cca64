# Imports modules that define schemas with ReJot's packages, and writes what they define as JSON.
# Arguments: the file to write, then the modules. What a module prints itself goes its own way.
import importlib.util
import json
import os
import sys

out, files = sys.argv[1], sys.argv[2:]


def plain(value):
    for name in ("model_dump", "dict", "_asdict"):
        method = getattr(value, name, None)
        if callable(method):
            return method(by_alias=True) if name != "_asdict" else method()
    if hasattr(value, "value"):
        return value.value
    raise TypeError(f"{type(value).__name__} is no JSON")


def usable(value):
    if isinstance(value, type) or not (isinstance(value, (dict, list, tuple)) or hasattr(value, "model_dump")):
        return False
    try:
        json.dumps(value, default=plain)
        return True
    except (TypeError, ValueError):
        return False


results = []
sys.path.insert(0, os.getcwd())
for index, file in enumerate(files):
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    try:
        spec = importlib.util.spec_from_file_location(f"pelton_collected_{index}", file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        values = [value for name, value in vars(module).items() if not name.startswith("_") and usable(value)]
        results.append({"file": file, "values": values})
    except BaseException as error:
        results.append({"file": file, "error": f"{type(error).__name__}: {error}"})
    finally:
        sys.path.pop(0)
with open(out, "w", encoding="utf-8") as written:
    json.dump(results, written, default=plain)

"""Holds reading and writing to ``wit/vectors/``, as the host is."""

import json
import math
import unittest
from pathlib import Path
from typing import Any

from pelton_sdk.columns import Field, Unchanged, float32, unchanged
from pelton_sdk.kind import NATIVE
from pelton_sdk.model import Column, Identity, Op, Relation
from pelton_sdk.out import Out
from pelton_sdk.public import PublicSchema
from pelton_sdk.runner import decode, encode
from pelton_sdk.source import Plan, Table

VECTORS = Path(__file__).parents[3] / "wit" / "vectors"

KINDS = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float32": "real",
    "float64": "double precision",
    "enumeration": "enum",
}
TYPES: dict[str, type] = {
    "boolean": bool,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "real": float,
    "double precision": float,
    "bytea": bytes,
}


def cases(file: str) -> list[Any]:
    read = json.loads((VECTORS / file).read_text("utf-8"))
    assert len(read) > 5, "the file holds cases"
    return list(read)


def fields(columns: list[Any]) -> list[Field]:
    """A field of every column; the names are made up, for columns have names that Python does not."""
    made = []
    for i, column in enumerate(columns):
        kind = column["kind"]
        kind = KINDS.get(kind, kind) if isinstance(kind, str) else "other"
        native = kind if kind in NATIVE else "text"
        made.append(
            Field(f"f{i}", column["name"], column["key"], kind, True, True, TYPES.get(kind, str), native)
        )
    return made


def row_type(columns: list[Field]) -> type:
    return type("Row", (), {"__slots__": tuple(field.name for field in columns)})


def value(written: Any, field: Field) -> Any:
    """A value of the vectors in a column."""
    if written is None:
        return None
    ((case, inner),) = written.items()
    match case:
        case "unchanged":
            return unchanged
        case "int":
            return int(inner)
        case "float":
            return float32(float(inner)) if field.kind == "real" else float(inner)
        case "bytes":
            return bytes.fromhex(inner)
    return inner


def to_its_column(written: Any, field: Field) -> Any:
    if field.kind == "bigint" and isinstance(written, int):
        return str(written)
    return float32(written) if field.kind == "real" and isinstance(written, (int, float)) else written


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) and bool(a == b)


class VectorsTest(unittest.TestCase):
    def check_row(self, read: Any, written: list[Any], columns: list[Field], name: str) -> None:
        for field, expected in zip(columns, written, strict=True):
            got, wanted = getattr(read, field.name), value(expected, field)
            self.assertTrue(same(got, wanted), f"{name}: column {field.column} is {got!r}, not {wanted!r}")

    def test_batches_are_read_as_the_host_writes_them(self) -> None:
        for case in cases("input.json"):
            name, relation = case["name"], case["relation"]
            columns = fields(relation["columns"])
            table = Table(row_type(columns), relation["schema"], relation["name"], columns, ())
            announced = Relation(
                0,
                1,
                relation["schema"],
                relation["name"],
                Identity[relation["identity"].upper()],
                [Column(field.column, field.kind, True, field.key) for field in columns],
            )
            plan = Plan(table, announced)
            payload = decode(case["json"].encode())
            self.assertEqual(len(payload), len(case["changes"]), name)
            for raw, expected in zip(payload, case["changes"]):
                op, index, new, old = raw
                self.assertEqual((str(Op(op)), index), (expected["op"], 0), name)
                read = plan.change(op, new, old)
                if expected["new"] is not None and not (plan.full and old is not None):
                    self.check_row(read.new, expected["new"], columns, name)
                was = expected["old"]
                if was is not None and "full" in was:
                    self.check_row(read.old.row, was["full"], columns, name)
                elif was is not None:
                    keys = [value(v, f) for v, f in zip(was["key"], columns) if f.key]
                    self.assertEqual(read.old.key, keys[0] if len(keys) == 1 else tuple(keys), name)

    def test_rows_are_written_as_the_host_reads_them(self) -> None:
        for case in cases("output.json"):
            schemas = []
            for declared in case["public_schemas"]:
                columns = fields(declared["columns"])
                version = declared["major"], declared["minor"]
                schemas.append(PublicSchema(row_type(columns), declared["name"], version, columns))
            out = Out({schema.row: (index, schema) for index, schema in enumerate(schemas)})
            for row in case["rows"]:
                out.source = row["source"]
                self.publish(out, schemas[row["public_schema"]], row)
            # Floats are spelt as Python spells them, so they are compared as what they are to a column; and a bigint is
            # written as a number, which the host reads too.
            written, expected = json.loads(encode(out.rows)), json.loads(case["json"])
            for row in written + expected:
                columns = schemas[row[0]].fields
                row[3] = [to_its_column(v, f) for v, f in zip(row[3], columns)]
                row[4] = row[4] and [to_its_column(v, f) for v, f in zip(row[4], schemas[row[0]].keys)]
            self.assertEqual(written, expected, case["name"])

    def publish(self, out: Out, schema: PublicSchema, row: Any) -> None:
        if row["op"] == "truncate":
            return out.truncate(schema.row)
        made = schema.row()
        for field, written in zip(schema.fields, row["values"], strict=True):
            setattr(made, field.name, value(written, field))
        match row["op"]:
            case "insert":
                out.insert(made)
            case "update" if row["old_key"] is not None:
                keys = [value(v, f) for v, f in zip(row["old_key"], schema.keys, strict=True)]
                out.update_from(keys[0] if len(keys) == 1 else tuple(keys), made)
            case "update":
                out.update(made)
            case "delete" if all(isinstance(getattr(made, f.name), Unchanged) or f.key for f in schema.fields):
                out.delete(schema.row, schema.key(made))
            case "delete":
                # A whole row may be deleted too; the SDK has no word for it.
                out.update(made)
                out.rows[-1][1] = Op.DELETE.value
        return None


if __name__ == "__main__":
    unittest.main()

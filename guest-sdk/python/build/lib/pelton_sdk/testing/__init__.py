"""Runs a transform in an ordinary unit test, without WebAssembly and without Pelton.

::

    host = Harness(people)
    host.insert(User(1, "ann", hidden=False)).insert(User(2, "bob", hidden=True))
    host.update(User(1, "ann", hidden=False), User(3, "ann", hidden=False))
    assert str(host.run()) == (
        'insert people id=1 name="ANN"\\n'
        'update people from (1) id=3 name="ANN"\\n'
    )
    assert host.table(Person) == ['id=3 name="ANN"']

Changes are encoded as the host would, so what is tested is all but the sandbox: reading rows, what the replica identity
sends, rejections, and state that is committed with the rows or dropped with them.
"""

from .harness import Harness
from .output import Output, PublicRow

__all__ = ["Harness", "Output", "PublicRow"]

"""Names as a tree: what many modules have in common is written once.

A name is cut at its dots. A node holds keys in order, each of which ends a name or
leads to an earlier node; the last node is the root. Blocks of a network that hold the
same keys are one node, so a deep network takes little more than one of its blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lnx import spec
from lnx.binary.wire import Reader, Writer
from lnx.errors import FormatError, printable

Node = tuple[tuple[str, int], ...]  # keys, each with END or the number of a node

LEAST_KEYS = 2  # of a node below the root; the key of one alone is part of what leads
END = 0  # the number behind a key that ends a name; nodes are counted from 1


@dataclass
class _Open:
    """A node that is not complete, and the key that leads to it."""

    key: str = ""
    entries: list[tuple[str, int]] = field(default_factory=list)


def write_names(writer: Writer, names: Sequence[str]) -> None:
    """Append the tree of the names, in their order."""
    numbers: dict[Node, int] = {}
    path = [_Open()]
    for name in names:
        *keys, last = name.split(".")
        same = 0
        while same < min(len(keys), len(path) - 1) and path[same + 1].key == keys[same]:
            same += 1
        _close(path, same + 1, numbers)
        path += [_Open(key) for key in keys[same:]]
        path[-1].entries.append((last, END))
    _close(path, 1, numbers)
    nodes = [*numbers, tuple(path[0].entries)]
    writer.varint(len(nodes))
    writer.varints([len(node) for node in nodes])
    writer.varints([child for node in nodes for _, child in node])
    texts = [key.encode() for node in nodes for key, _ in node]
    writer.varints([len(text) for text in texts])
    writer.raw(b"".join(texts))


def _close(path: list[_Open], depth: int, numbers: dict[Node, int]) -> None:
    """Number the open nodes below a depth, and tell those above of them."""
    while len(path) > depth:
        done = path.pop()
        above = path[-1].entries
        if len(done.entries) < LEAST_KEYS:
            above += [(f"{done.key}.{key}", child) for key, child in done.entries]
            continue
        node = tuple(done.entries)
        above.append((done.key, numbers.setdefault(node, len(numbers) + 1)))


def read_names(reader: Reader) -> list[str]:
    """Read all names; raises FormatError. Nothing is built before it was counted."""
    count = reader.varint("number of nodes", spec.MAX_TENSORS, least=1)
    sizes = reader.varints("number of keys", count, spec.MAX_TENSORS)
    if any(size < LEAST_KEYS for size in sizes[:-1]):
        raise FormatError(f"a node below the root has less than {LEAST_KEYS} keys")
    children = reader.varints("child", sum(sizes), count - 1)
    lengths = reader.varints("length of a key", len(children), spec.MAX_NAME_BYTES)
    keys = [_decoded(reader.raw("tensor name", length)) for length in lengths]
    entries = iter(zip(keys, children, strict=True))
    nodes = [tuple(next(entries) for _ in range(size)) for size in sizes]
    _check_nodes(nodes)
    names = list(_walk(nodes))
    _check_unique(names)
    return names


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError("tensor name is not UTF-8") from error


def _check_nodes(nodes: Sequence[Node]) -> None:
    """Raise FormatError for too many names, for too long ones, and for unused nodes."""
    counts: list[int] = []
    longest: list[int] = []
    used: set[int] = set()
    for number, node in enumerate(nodes, 1):
        if any(child >= number for _, child in node):
            raise FormatError(f"node {number} of the names leads to a later one")
        used.update(child for _, child in node)
        counts.append(sum(counts[c - 1] if c else 1 for _, c in node))
        lengths = [len(k.encode()) + (1 + longest[c - 1] if c else 0) for k, c in node]
        longest.append(max(lengths, default=0))
        if counts[-1] > spec.MAX_TENSORS:
            raise FormatError(f"{counts[-1]} tensors, at most {spec.MAX_TENSORS}")
        if longest[-1] > spec.MAX_NAME_BYTES:
            raise FormatError(
                f"a tensor name of {longest[-1]} bytes, at most {spec.MAX_NAME_BYTES}"
            )
    if len(used - {END}) != len(nodes) - 1:
        raise FormatError("a node of the names is not used")


def _walk(nodes: Sequence[Node]) -> Iterator[str]:
    """Yield the names below the root, in order."""
    waiting = [("", iter(nodes[-1]))]
    while waiting:
        prefix, entries = waiting[-1]
        entry = next(entries, None)
        if entry is None:
            waiting.pop()
        elif entry[1] == END:
            yield prefix + entry[0]
        else:
            waiting.append((f"{prefix}{entry[0]}.", iter(nodes[entry[1] - 1])))


def _check_unique(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(f"two tensors are named {printable(name)}")
        seen.add(name)

"""Where in a larger checkpoint the tensors of a network are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lilnetx_cli.errors import InputError, UsageError, type_of
from lnx.errors import printable

# Where trainers put the weights in a larger checkpoint, the likeliest first.
KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net",
        "params")  # fmt: skip
MOST_NAMED = 8
DEEPEST = 3  # entries of entries that are looked into


def select(content: Any, key: str | None, path: Path) -> tuple[Any, list[str]]:  # noqa: ANN401
    """Return the entry that holds the tensors, and a note of what was used.

    `key` names an entry, with dots between those of entries. Raises UsageError for one
    that is not there.
    """
    if key is not None:
        whole = isinstance(content, Mapping) and key in content
        for part in [key] if whole else key.split("."):
            if not isinstance(content, Mapping) or part not in content:
                raise UsageError(
                    f"{str(path)!r} has no entry {key!r}: {_keys(content)}"
                )
            content = content[part]
        return _state_of(content), [f"used entry {key!r}"]
    if not isinstance(content, Mapping):
        return _state_of(content), []
    for name in KEYS:
        inner = _state_of(content.get(name))
        if _holds_tensors(inner):
            return inner, [f"used entry {name!r} of {_keys(content)}"]
    return content, []


def tensors_of(
    content: Any,  # noqa: ANN401
    key: str | None,
    path: Path,
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of an entry, and a note of what else it has.

    `key` is that of the entry. Raises InputError where it is not a state dict.
    """
    if not _holds_tensors(content):
        raise InputError(_no_state_dict(content, key, path))
    nested = [k for k, v in content.items() if _holds_tensors(_state_of(v))]
    if nested:
        raise InputError(
            f"{str(path)!r} has tensors outside and inside entry"
            f" {printable(str(nested[0]))}: name the entry to use with --key"
        )
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    tensors = sum(isinstance(v, Tensor) for v in content.values())
    if len(state) != tensors:
        raise InputError(f"{str(path)!r} has two entries of one name")
    other = [k for k, v in content.items() if not isinstance(v, Tensor)]
    if not other:
        return state, []
    names = ", ".join(printable(str(k)) for k in other[:MOST_NAMED])
    return state, [f"ignored entries that are not tensors: {names}"]


def _no_state_dict(content: Any, key: str | None, path: Path) -> str:  # noqa: ANN401
    found = list(_state_dicts(content, () if key is None else (key,)))
    where = repr(str(path)) if key is None else f"{str(path)!r}: entry {key!r}"
    if not found:
        return f"{where} holds no state dict: {_keys(content)}"
    return f"{where} holds its tensors in {_listed(found)}: name one with --key"


def _state_dicts(content: Any, above: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401
    """Yield what --key takes for each state dict inside, but those of optimizers."""
    if not isinstance(content, Mapping) or len(above) == DEEPEST:
        return
    for name, inner in content.items():
        path = (*above, str(name))
        if not isinstance(name, str) or "optim" in name.lower():
            continue
        if _holds_tensors(_state_of(inner)):
            yield ".".join(path)
        else:
            yield from _state_dicts(inner, path)


def _state_of(content: Any) -> Any:  # noqa: ANN401
    """Return the state dict of a whole pickled module, and others as they are."""
    return content.state_dict() if isinstance(content, nn.Module) else content


def _holds_tensors(content: Any) -> bool:  # noqa: ANN401
    return isinstance(content, Mapping) and any(
        isinstance(value, Tensor) for value in content.values()
    )


def _keys(content: Any) -> str:  # noqa: ANN401
    if not isinstance(content, Mapping):
        return type_of(content)
    return f"keys {_listed(list(content))}" if len(content) else "an empty dict"


def _listed(keys: list[Any]) -> str:
    names = [printable(str(key))[1:-1] for key in keys[:MOST_NAMED]]
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return ", ".join(names) + more

"""Functions of the user's own, named as path/file.py:function."""

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lilnetx_cli.errors import InputError, UsageError


def is_factory(name: str) -> bool:
    """Tell whether a name is of the form path/file.py:function."""
    path, _, function = name.rpartition(":")
    return path.endswith(".py") and function.isidentifier()


def load_factory(name: str) -> Any:  # noqa: ANN401
    """Return the function that the user named; runs the user's file.

    Raises UsageError for a file or function that is not there, InputError where the
    file fails.
    """
    path, _, function = name.rpartition(":")
    if not Path(path).is_file():
        raise UsageError(f"{path!r} does not exist")
    found = importlib.util.spec_from_file_location(Path(path).stem, path)
    if found is None or found.loader is None:
        raise UsageError(f"{path!r} is no Python file")
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path!r} fails: {reason_of(error)}") from error
    if not callable(getattr(module, function, None)):
        raise UsageError(f"{path!r} has no function {function!r}")
    return getattr(module, function)


def call_factory(name: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Call the user's factory with those of the arguments that it takes.

    What the data set knows, channels and classes, is left out where the factory does
    not ask for it. Raises UsageError for other arguments that it does not take.
    """
    factory = load_factory(name)
    parameters = inspect.signature(factory).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    taken = {p.name for p in parameters}
    given = dict(arguments)
    for key in ("channels", "classes"):
        if not takes_all and key not in taken:
            given.pop(key, None)
    for key in given:
        if not takes_all and key not in taken:
            raise UsageError(
                f"{name} takes no argument {key!r},"
                f" it takes: {', '.join(sorted(taken))}"
            )
    try:
        return factory(**given)
    except Exception as error:
        raise InputError(f"{name} fails: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return an error of the user's code on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]

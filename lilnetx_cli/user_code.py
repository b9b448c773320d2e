"""Functions of the user's own, named as path/file.py:function."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from lilnetx_cli.errors import InputError, UsageError, suggestion, typed_reason

# What code of the user's own may end with; sys.exit() there does not end a verb.
FAILURES = (Exception, SystemExit)


class Projects:
    """Lets imports find the files beside the user's file, as Python does for a script.

    One folder at a time stands on sys.path, and only its modules in sys.modules: two
    projects may each have a helper.py. Those of another folder are kept, so that what
    was made there still is what it was when its folder is entered again.
    """

    def __init__(self) -> None:
        self._folder = ""
        self._known: frozenset[str] = frozenset()  # before the folder was entered
        self._aside: dict[str, dict[str, ModuleType]] = {}

    def enter(self, folder: str) -> None:
        """Put a folder first, and take back the one that was entered before."""
        if folder == self._folder:
            return
        if self._folder:
            own = {name: sys.modules[name] for name in self._own_names()}
            self._aside[self._folder] = own
            for name in own:
                del sys.modules[name]
            if self._folder in sys.path:
                sys.path.remove(self._folder)
        self._folder = folder
        self._known = frozenset(name.partition(".")[0] for name in sys.modules)
        sys.path.insert(0, folder)
        sys.modules.update(self._aside.pop(folder, {}))
        importlib.invalidate_caches()

    def _own_names(self) -> list[str]:
        """Return the modules that stand in the folder and were imported since."""
        tops = {name.partition(".")[0] for name in sys.modules} - self._known
        own = {top for top in tops if _stands_in(sys.modules.get(top), self._folder)}
        return [name for name in sys.modules if name.partition(".")[0] in own]


PROJECTS = Projects()


def is_factory(name: str) -> bool:
    """Tell whether a name is of the form path/file.py:function."""
    path, _, function = name.rpartition(":")
    return path.endswith(".py") and function.isidentifier()


def check_factory(name: str) -> None:
    """Raise UsageError for a Python file without a function."""
    if name.endswith((".py", ".py:")):
        path = name.removesuffix(":")
        raise UsageError(f"{path!r} is a file, name its function too: {path}:function")


def check_function(name: str) -> None:
    """Raise UsageError for a name that is not of the form path/file.py:function."""
    check_factory(name)
    if not is_factory(name):
        raise UsageError(f"{name!r} is not a function: write path/file.py:function")


def folder_of(name: str) -> str:
    """Return where the file of path/file.py:function stands."""
    return str(Path(name.rpartition(":")[0]).resolve().parent)


def load_factory(name: str) -> Any:  # noqa: ANN401
    """Return the function that the user named; runs the user's file, once.

    Raises UsageError for a file or function that is not there, InputError where the
    file fails.
    """
    path, _, function = name.rpartition(":")
    if not Path(path).is_file():
        raise UsageError(f"{path!r} does not exist")
    PROJECTS.enter(folder_of(name))
    try:
        module = _load(Path(path).resolve())
    except FAILURES as error:
        raise InputError(f"{path!r} fails: {typed_reason(error)}") from error
    if not callable(getattr(module, function, None)):
        raise UsageError(f"{path!r} has no function {function!r}{_others(module)}")
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
            names = ", ".join(sorted(taken)) or "none"
            hint = suggestion(key, taken, f", it takes: {names}")
            raise UsageError(f"{name} takes no argument {key!r}{hint}")
    try:
        return factory(**given)
    except FAILURES as error:
        raise InputError(f"{name} fails: {typed_reason(error)}") from error


def _load(path: Path) -> ModuleType:
    """Import a file by its own name, unless that is the name of something else.

    Under its own name what it defines can go to processes that load data.
    """
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is not a Python file")
    module = module_from_spec(spec)
    if known is None:
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            del sys.modules[name]
        raise
    return module


def _stands_in(module: ModuleType | None, folder: str) -> bool:
    """Tell whether a module is a file or a package of a folder."""
    places = list(getattr(module, "__path__", []))
    file = getattr(module, "__file__", None)
    if file is not None and not places:
        places = [file]
    return any(str(Path(place).parent) == folder for place in places)


def _others(module: ModuleType) -> str:
    """Name the functions and classes that a file defines itself."""
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    return f", it has: {', '.join(own)}" if own else ""

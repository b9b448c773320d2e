"""Settings: defaults, then a TOML file, then the command line."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli_w
from pydantic import ValidationError

from lilnetx_cli.config.sections import SECTIONS, RunConfig
from lilnetx_cli.errors import (
    InputError,
    UsageError,
    alike,
    one_line,
    reason_of,
    suggestion,
    wanted_of,
)
from lnx.errors import printable

# What a plain run has none of.
PLAIN_HAS_NO = ("loss", "target")
SHARES = ("target.macs", "target.latency")
RATES = ("lr", "norm_lr")


def resolve(file: Path | None, settings: Mapping[str, Any]) -> RunConfig:
    """Merge a TOML file and settings such as {"train.epochs": 5} over the defaults.

    Of a file that is not plain itself, a plain run has no penalty, no size and no
    learning rate. Raises UsageError for unknown keys, values out of bounds and contrary
    ones, InputError for a file that is not TOML.
    """
    values = _read(file) if file is not None else {}
    if file is not None:
        _validate(values, f"{str(file)!r}: ")
    if settings.get("train.plain") is True and not _is_plain(values):
        values = _plain_part(values)
    for key, value in settings.items():
        _assign(values, key.split("."), value)
    if _is_plain(values):
        _check_plain(values)
    return _validate(values)


def as_plain(config: RunConfig) -> RunConfig:
    """Return the plain run of the same length on the same images."""
    values = _plain_part(config.model_dump(exclude_none=True))
    values["train"]["plain"] = True
    return _validate(values)


def _is_plain(values: Mapping[str, Any]) -> bool:
    section = values.get("train")
    return isinstance(section, Mapping) and section.get("plain") is True


def _plain_part(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says something of a plain run, too: no rates of latents and norms."""
    kept = {name: value for name, value in values.items() if name not in PLAIN_HAS_NO}
    if isinstance(kept.get("train"), Mapping):
        train = kept["train"].items()
        kept["train"] = {key: value for key, value in train if key not in RATES}
    return kept


def _check_plain(values: Mapping[str, Any]) -> None:
    """Raise UsageError for what a plain run has none of."""
    if "norm_lr" in values["train"]:
        raise UsageError("a plain run has one rate, train.lr: leave out train.norm_lr")
    for name in PLAIN_HAS_NO:
        section = values.get(name)
        if isinstance(section, Mapping) and section:
            raise UsageError(
                "a plain run has no penalty and no targets: leave out --plain or the"
                f" setting {name}.{next(iter(section))}"
            )


@dataclass(frozen=True)
class Setting:
    """One setting that --set and files know, such as train.epochs.

    Attributes:
        default: what holds where nobody says otherwise; None for no value.
        choices: all that it may be, where these can be named.
    """

    default: Any
    choices: tuple[str, ...] = ()


def all_settings() -> dict[str, Setting]:
    """Return every setting by its name."""
    return {
        f"{section}.{key}": Setting(
            field.get_default(call_default_factory=True),
            get_args(field.annotation)
            if get_origin(field.annotation) is Literal
            else (),
        )
        for section, kind in SECTIONS.items()
        for key, field in kind.model_fields.items()
    }


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one a.b=c of --set; c is a TOML value, or a string without quotes."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r} is not of the form section.key=value")
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Any:  # noqa: ANN401
    """Read a TOML value; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def to_toml(config: RunConfig) -> str:
    """Return a configuration as TOML; keys that are not set are left out."""
    left_out = set(PLAIN_HAS_NO) if config.train.plain else set()
    values = config.model_dump(mode="json", exclude_none=True, exclude=left_out)
    return tomli_w.dumps(values)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{str(file)!r} is not a TOML file: {reason_of(error)}"
        ) from error


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{'.'.join(path)} is set twice, as a value and a table")
        values = inner
    values[path[-1]] = value


def _validate(values: Mapping[str, Any], where: str = "") -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError(where + _explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"no setting is named {printable(key)}{_meant(key)}"
    value = one_line(repr(first["input"]))
    if first["type"] == "model_type":
        inner = next(iter(SECTIONS[key].model_fields))
        return f"setting {key} is {value}, expected a table: set {key}.{inner}, ..."
    wanted = wanted_of(first["msg"])
    wrong = f": {first['msg'].lower()}" if wanted is None else f", expected {wanted}"
    share = ", a share such as 0.5" if key in SHARES else ""
    return f"setting {one_line(key)} is {value}{wrong}{share}"


def _meant(key: str) -> str:
    """Return which settings may be meant, as the end of a message."""
    section, _, word = key.partition(".")
    if section in SECTIONS:
        fields = list(SECTIONS[section].model_fields)
        near = [f"{section}.{field}" for field in alike(word, fields)[:1]]
        rest = f", {section} has {', '.join(fields)}"
    else:  # pydantic names no more of it than the section
        inner = {name: name.partition(".")[2] for name in all_settings()}
        words = [key]
        if key not in inner.values():
            words = [] if alike(key, SECTIONS) else alike(key, inner.values())
        near = [name for name in inner if inner[name] in words]
        rest = suggestion(key, SECTIONS)
    return f", did you mean {' or '.join(map(repr, near))}?" if near else rest

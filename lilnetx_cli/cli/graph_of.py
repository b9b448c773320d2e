"""The network of a container: what the user names, or what the file says."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lnx
from lilnetx_cli.cli.graph_asked import GraphAsked
from lilnetx_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from lilnetx_cli.data.calibration import CalibrationData


def with_network(
    container: lnx.Container,
    asked: GraphAsked | None,
    data: "CalibrationData | None" = None,
    dataset: str | None = None,
) -> lnx.Container:
    """Return a container that says which network it holds, where that is named.

    What the network takes is recorded as well: a form, or a data set by name.
    """
    if asked is None:
        return container
    from lilnetx_cli.models import describe
    from lilnetx_cli.models.inputs import (
        MOST_AXES,
        MOST_ELEMENTS,
        form_text,
        parse_form,
        recorded_form,
    )
    from lilnetx_cli.models.pruned import with_cuts
    from lilnetx_cli.user_code import is_factory

    splits = None if data is None else data.splits
    form: Mapping[str, int] = {}
    record: dict[str, Any] = {}
    if asked.form is not None:
        parse_form(asked.form)
        if recorded_form(asked.form) is None:
            raise UsageError(
                f"--input-shape {asked.form} is too large for a file, which holds"
                f" {MOST_AXES} sizes and {MOST_ELEMENTS:,} numbers at most"
            )
        record["input"] = asked.form
    elif splits is not None:
        record["size"] = splits.size
    elif data is not None and (only := data.calls[0].only) is not None:
        found = form_text(only)
        record |= {} if found is None else {"input": found}
    if splits is not None and dataset is not None and not is_factory(dataset):
        record["dataset"] = dataset
    if splits is not None and not is_factory(asked.name):
        form = {"channels": splits.channels, "classes": splits.classes}
    record = {**describe(asked.name, {**form, **asked.arguments}), **record}
    record = with_cuts(record, container.architecture)
    return replace(container, architecture=record)


def network_of(
    container: lnx.Container, file: str, asked: GraphAsked | None
) -> "nn.Module":
    """Build the network of a container, and run it once on a form that was named.

    It has copies of the tensors, and may be changed.

    Raises UsageError where nothing says which network it is, and for inputs that it
    does not take: what is recorded must be true.
    """
    from lilnetx_cli.checkpoint import unpack
    from lilnetx_cli.models import rebuild
    from lilnetx_cli.models.inputs import check_form, parse_form

    record = container.architecture
    if record is None:
        raise UsageError(f"{file!r} does not say which network it holds: add --model")
    state = unpack(lnx.rebuild_all(container), copied=True)
    network = rebuild(record, state, file, trusted=asked is not None).eval()
    if asked is not None and asked.form is not None:
        check_form(network, parse_form(asked.form))
    return network

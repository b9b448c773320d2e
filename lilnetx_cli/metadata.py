"""Which network a `.safetensors` file holds: its metadata, where tensors do not tell.

Names and shapes say which dense network is filled with them. A pruned one needs its
record, or nothing could be built for it.
"""

import json
from collections.abc import Mapping
from typing import Any

KEY = "lilnetx"  # of the metadata
CUTS = "pruned"  # of an architecture record: how the network was cut
MOST = 1 << 20  # characters; a file is attacker text


def with_record(
    metadata: Mapping[str, str] | None, architecture: Mapping[str, Any] | None
) -> Mapping[str, str] | None:
    """Return metadata that says which network a file holds, if that one is pruned."""
    if architecture is None or CUTS not in architecture:
        return metadata
    text = json.dumps({"architecture": architecture}, separators=(",", ":"))
    return {**({"format": "pt"} if metadata is None else metadata), KEY: text}


def split_record(
    metadata: Mapping[str, str] | None,
) -> tuple[dict[str, str] | None, dict[str, Any] | None]:
    """Return metadata without what `with_record` added, and the record.

    Raises ValueError for a text that it does not write.
    """
    if metadata is None or KEY not in metadata:
        return None if metadata is None else dict(metadata), None
    text, others = metadata[KEY], {k: v for k, v in metadata.items() if k != KEY}
    if len(text) > MOST:
        raise ValueError("a record that is too long")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("a record that is not JSON") from None
    record = content.get("architecture") if isinstance(content, dict) else None
    if not isinstance(record, dict):
        raise ValueError("no architecture record")
    return others or None, record

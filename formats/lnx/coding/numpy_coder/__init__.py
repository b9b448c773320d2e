"""The range coder with numpy alone: many messages in lock-step, a lane each.

Bit for bit the coder of constriction (`formats/SPEC.md`, Range coder): for platforms
that it has no wheel for. Messages are independent, so step t of all lanes is a handful
of vector operations; lanes are sorted by length, and those at their end drop out.
"""

from lnx.coding.numpy_coder.decoding import decode_lanes
from lnx.coding.numpy_coder.encoding import encode_lanes

__all__ = ["decode_lanes", "encode_lanes"]

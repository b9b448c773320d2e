"""What a container of quantized weights cannot be had for, and why."""

import numpy as np
import pytest

import lnx
from lilnetx_cli.compression.lossy import compress_container
from lilnetx_cli.compression.targets import Target

WEIGHTS = lnx.Exact(
    "a.weight", lnx.DType.F32, (8, 16), np.arange(128, dtype="<f4").view(np.uint8)
)


def test_a_file_that_cannot_be_is_not_said_to_be_too_fine():
    metadata = {"text": "x" * 5_000_000}
    with pytest.raises(lnx.ContentError, match="bytes"):
        compress_container(lnx.Container((WEIGHTS,), metadata=metadata), Target(snr=40))

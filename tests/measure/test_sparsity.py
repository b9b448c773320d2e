"""One definition of zero slices, whatever holds the latents."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import lnx
from lilnetx_cli.checkpoint.model_pt import LatentEntry
from lilnetx_cli.measure.sparsity import share_of_zero, slice_sparsity


def latents():
    """A large layer of which half is zero, a small one all zero, one of 1x1 slices."""
    large = np.ones((80, 9), np.int32)
    large[:40] = 0
    return {"large": large, "small": np.zeros((20, 9), np.int32),
            "single": np.zeros((50, 1), np.int32)}  # fmt: skip


def test_it_is_the_share_of_all_slices_not_a_mean_of_layers():
    entries = [LatentEntry(torch.from_numpy(x), 0) for x in latents().values()]
    assert slice_sparsity(entries) == 60 / 100


def test_checkpoint_container_and_summary_agree(tmp_path):
    tensors = tuple(lnx.Latent(name, rows.shape, rows, rows.shape[1] == 1)
                    for name, rows in latents().items())  # fmt: skip
    decoders = (np.eye(9, dtype=np.float32), np.eye(1, dtype=np.float32))
    lnx.save(lnx.Container(tensors, decoders), tmp_path / "m.lnx")
    assert slice_sparsity(lnx.load(tmp_path / "m.lnx").tensors) == 60 / 100
    about = lnx.summary(tmp_path / "m.lnx").tensors
    assert share_of_zero((t.zero_slices, t.slices) for t in about) == 60 / 100
    assert [t.slice_sparsity for t in about] == [0.5, 1.0, None]


@pytest.mark.parametrize("rows", [[], [torch.zeros(5, 1)]])
def test_without_slices_there_is_no_share(rows):
    assert slice_sparsity([LatentEntry(x, 0) for x in rows]) is None


def test_sparsity_needs_no_torch():
    code = "import sys, lilnetx_cli.measure.sparsity\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""A learned, factorised density over integers: what each latent costs in bits."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below 2**-60 a probability no longer says anything about the cost of a symbol.
SMALLEST_PROBABILITY = 2.0**-60
INITIAL_DEVIATION = 0.01
LAYERS = 4

# The rate of many latents is read off a grid: its points in a step, and how many steps
# from zero it ends.
POINTS_PER_STEP = 32
GRID_REACH = 128


class _GridSum(torch.autograd.Function):
    """The sum of a function that is known on a grid, and its gradients.

    Each number takes value and slope at the nearest point: the errors nearly cancel
    over many numbers. x: (N, D), within the ends; grid: (G, D), from `low` on.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor, low: float) -> Tensor:  # noqa: ANN401
        points, columns = grid.shape
        index = (x.detach() * POINTS_PER_STEP + (0.5 - POINTS_PER_STEP * low)).int()
        index += points * torch.arange(columns, device=x.device, dtype=torch.int32)
        found = torch.bincount(index.reshape(-1), minlength=grid.numel())
        counts = found.view(columns, points).T.to(grid.dtype)  # (G, D)
        slopes = F.pad(grid[2:] - grid[:-2], (0, 0, 1, 1)) * (POINTS_PER_STEP / 2)
        ctx.save_for_backward(index, counts, slopes)
        return (counts * grid).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        index, counts, slopes = ctx.saved_tensors
        flat = (grads[0] * slopes).T.reshape(-1)
        inner = flat.index_select(0, index.reshape(-1)).view(index.shape)
        return inner, grads[0] * counts, None


class FactorizedDensity(nn.Module):
    """One monotone cumulative function per latent dimension (Balle et al. 2018, 6.1).

    Legend: N rows, D dimensions, K = 4 layers of width 1.
    """

    slope: nn.Parameter
    shift: nn.Parameter
    gate: nn.Parameter

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        draw = INITIAL_DEVIATION * torch.randn(3 * LAYERS - 1, dimensions)
        self.slope = nn.Parameter(draw[:LAYERS].clone())  # (K, D)
        self.shift = nn.Parameter(draw[LAYERS : 2 * LAYERS].clone())  # (K, D)
        self.gate = nn.Parameter(draw[2 * LAYERS :].clone())  # (K - 1, D)

    def logits(self, x: Tensor) -> Tensor:
        """Return logit F(x), increasing in x; shape (..., D) in and out."""
        slope = F.softplus(self.slope)  # (K, D)
        gate = torch.tanh(self.gate)  # (K - 1, D)
        for layer in range(LAYERS - 1):
            y = torch.addcmul(self.shift[layer], slope[layer], x)
            x = torch.addcmul(y, torch.tanh(y), gate[layer])
        return torch.addcmul(self.shift[LAYERS - 1], slope[LAYERS - 1], x)

    def bits(self, x: Tensor) -> Tensor:
        """Return -log2(F(x + 1/2) - F(x - 1/2)) in bits; shape (..., D) in and out.

        The difference of sigmoids is taken on the side where both are small, so that
        it does not cancel in the tails.
        """
        lower = self.logits(x - 0.5)
        upper = self.logits(x + 0.5)
        side = torch.where((lower + upper).detach() > 0, -1.0, 1.0)
        mass = (torch.sigmoid(side * upper) - torch.sigmoid(side * lower)).abs()
        return -torch.log2(mass.clamp_min(SMALLEST_PROBABILITY))

    def mean_bits(self, x: Tensor) -> Tensor:
        """Return the mean of `bits` over x + U(-1/2, 1/2); shape (N, D) in and out.

        By the trapezoidal rule. Noise replaces rounding in training (Balle et al. 2018,
        equation 6); draws of it estimate this mean.
        """
        places = torch.linspace(-0.5, 0.5, POINTS_PER_STEP + 1, device=x.device)
        bits = self.bits(x + places[:, None, None])  # (P, N, D)
        return torch.trapezoid(bits, dx=1 / POINTS_PER_STEP, dim=0)

    def total_bits(self, x: Tensor, *, mean: bool = False) -> Tensor:
        """Return the sum over all rows of `bits`, or of `mean_bits`, a 0-d tensor.

        The function is evaluated on a grid, of which each latent takes the nearest
        point: exact for integers, off by a few thousandths of a bit on average for
        others, and far cheaper. Its cost on a large network is that of a look-up. Rows
        that leave the grid take the function itself, and so do few rows.
        """
        sizes = x.detach().abs()
        largest = float(sizes.max()) if x.numel() else 0.0
        if math.isnan(largest):
            return self.bits(x).sum()
        if largest >= GRID_REACH - 2:  # so far out, noise makes no difference
            far = (sizes >= GRID_REACH - 2).any(1)  # (N,)
            return self.bits(x[far]).sum() + self.total_bits(x[~far], mean=mean)
        reach = int(largest) + 2
        points = 2 * reach * POINTS_PER_STEP + 1
        function, each = (self.mean_bits, POINTS_PER_STEP) if mean else (self.bits, 1)
        if 2 * points > each * x.shape[0]:
            return function(x).sum()
        grid = self._grid(reach, mean=mean)
        return _GridSum.apply(x, grid, float(-reach))  # type: ignore[no-any-return]

    def _grid(self, reach: int, *, mean: bool) -> Tensor:
        """Return the function from -reach to reach, (G, D)."""
        end = reach + 0.5 if mean else float(reach)
        points = round(2 * end * POINTS_PER_STEP) + 1
        marks = torch.linspace(-end, end, points, device=self.slope.device)
        grid = self.bits(marks[:, None].expand(-1, self.dimensions))
        if not mean:
            return grid
        # The trapezoidal rule, over one step on from each mark.
        windows = F.avg_pool1d(grid.T, POINTS_PER_STEP, stride=1).T
        return (windows[:-1] + windows[1:]) / 2

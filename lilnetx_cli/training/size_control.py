"""Steer a run to the size of file that was asked for."""

import math
from dataclasses import dataclass

# The size that is steered to, as a share of the one asked for: a little below.
AIM = 0.99
# Where no steps grow, the size comes down over this share of the run.
DESCENT = 0.2
# How much of an error, in logarithms, the weights of the penalty answer at once, how
# much a mean error over the whole run adds, and how far that sum may go.
PROPORTIONAL, INTEGRAL, REACH = 1.0, 15.0, 3.0
# Once they have grown, steps change by this share of an error at each update; more
# where a weight has many bits, of which a larger step takes the smaller part. Each
# change rounds all latents anew, which nothing repairs once rates have fallen: so finer
# steps come early.
GAIN, LIMIT = 0.2, 0.03
# While they grow, the same of an error beyond this one, a file that is too small.
SLACK, SLOWEST = 0.2, 0.06
# Files shrink by themselves over this last share of a run, as rates fall. Those of
# drawn weights do so by about the first share of their bytes, where latents have very
# many bits by the second.
LATE, SETTLING, FINE_SETTLING = 0.4, 0.08, 0.2
# Those of trained weights hardly do, or by a twentieth, and where channels went it
# differs from run to run: there the plan counts on the first share here, and on what it
# sees as soon as that says more. A plan that counts on too much lets steps grow to the
# very end, which cost ResNet-20 1.4 points in 20 kB.
SEEN_SETTLING, MOST_SETTLING = 0.04, 0.2
TRUSTED = 0.25  # part of that last share after which both count alike
# `answer` counts no further than to this for it, and for the weights of the penalty.
MOST_ANSWER = 2.5
# At the default weights a file has about this many bits a weight.
USUAL_BITS = 0.4
MOST_BITS = 12.0
# Shares of the run at which estimates are set right by an exact size.
EXACT_AT = (0.6, 0.85, 0.93)


def spread_of(bits: float) -> float:
    """Return the deviation, in steps, of normal values that take some bits each.

    The entropy of a finely quantized normal value: log2(deviation * sqrt(2 pi e)).
    """
    return float(2.0 ** min(bits, MOST_BITS) / math.sqrt(2 * math.pi * math.e))


@dataclass
class SizeController:
    """Makes the penalty press as hard as a size needs it, and no harder.

    While the steps grow, the planned size falls geometrically to the target, and the
    weights of the penalty are found that keep to it: after that a file hardly changes
    its size, and the network recovers. What is left of an error the steps even out,
    growing or shrinking a little. Call `update` a hundred times or more in a run.

    Attributes:
        target: bytes of the whole file at the end of the run.
        weights: of the network that become latents.
        begin: share of the run over which steps grow, 0 where they stay.
        watching: whether the plan counts on what it sees a file shrink by, as where a
            run starts from trained weights or loses channels.
        first: bytes at the first update, None before it.
        progress: share of the run done at the latest update, 0 to 1.
        integral: what errors so far have added to the logarithm of `factor`.
        now: what the latest error adds to it.
        missed: bytes of the file that estimates do not see.
        checks: how often an exact size was heard.
        drift: by how much the file has grown by itself late in the run, in logarithms.
        before: the estimated bytes at the latest update, None before it.
        grown: the logarithm of what steps were to grow by then.
    """

    target: int
    weights: int
    begin: float = 0.0
    watching: bool = False
    first: float | None = None
    progress: float = 0.0
    integral: float = 0.0
    now: float = 0.0
    missed: int = 0
    checks: int = 0
    drift: float = 0.0
    before: int | None = None
    grown: float = 0.0

    @property
    def bits(self) -> float:
        """The bits a weight of the target, everything counted."""
        return 8 * self.target / self.weights

    @property
    def factor(self) -> float:
        """What to multiply rate_weight and slice_weight by."""
        return math.exp(self.integral + self.now) * USUAL_BITS / self.bits

    @property
    def answer(self) -> float:
        """How many times as much steps must grow as a file is to shrink.

        Finely quantized values of b bits each take 1 / (b ln 2) of a change of steps.
        Bounded, since a file may hold far more than the latents.
        """
        return max(1.0, min(self.bits, MOST_BITS) * math.log(2))

    def wants_exact(self, progress: float) -> bool:
        """Return whether an exact size is due."""
        return self.checks < len(EXACT_AT) and progress >= EXACT_AT[self.checks]

    def hear(self, estimated: int, exact: int) -> None:
        """Take note of how far estimates are off."""
        self.missed, self.checks = exact - estimated, self.checks + 1

    def update(self, progress: float, estimated: int) -> float:
        """Return how much larger the steps are to be, given the estimated bytes."""
        self._watch(progress, estimated)
        factor = self._answered(progress, max(1, estimated + self.missed))
        self.grown = math.log(factor)
        return factor

    def skip_change(self) -> None:
        """Hear that something else makes the file smaller until the next update."""
        self.before = None

    def _watch(self, progress: float, estimated: int) -> None:
        """Add to `drift` what no change of the steps explains."""
        late = self._left(progress) < 1 and progress > self.begin
        if late and self.before is not None:
            change = math.log(max(1, estimated) / max(1, self.before))
            self.drift += change + self.grown / self.answer
        self.before = estimated

    def _answered(self, progress: float, size: int) -> float:
        """Press for a size, and return how much larger the steps are to be."""
        if self.first is None:
            self.first, self.progress = float(size), progress
        error = math.log(size / self.planned(progress))
        self._press(error, progress)
        self.progress = progress
        if progress < self.begin:  # a file far below the plan holds back the growth
            return math.exp(min(max(GAIN * (error + SLACK), -SLOWEST), 0.0))
        gain = GAIN if error > 0 else GAIN * self._left(progress) ** 2
        return math.exp(self.answer * min(max(gain * error, -LIMIT), LIMIT))

    def _press(self, error: float, progress: float) -> None:
        """Set the weights of the penalty, given how far a size is off its plan.

        Latents that are pressed too hard would shrink further. So once steps have
        grown, a file that is too small eases the weights fast: by the square of
        `answer`, since the right weights go with the square of the steps.
        """
        strength = min(self.answer, MOST_ANSWER) ** 2 if progress >= self.begin else 1.0
        too_small = error < 0
        added = INTEGRAL * error * (progress - self.progress)
        added *= strength if too_small or self.integral < 0 else 1.0
        self.integral = min(max(self.integral + added, -REACH), REACH)
        self.now = PROPORTIONAL * error * (strength if too_small else 1.0)

    def planned(self, progress: float) -> float:
        """Return the bytes that the file should have at a share of the run."""
        first, aim = self.first or self.target, AIM * self.target
        done = min(1.0, progress / (self.begin or DESCENT))
        aim *= 1 + self._settling * self._left(progress)
        return float(first * (aim / first) ** done)

    @property
    def _settling(self) -> float:
        """What a file shrinks by over the last part of a run, as it looks by now.

        Nothing where most of it is no latents.
        """
        if self.bits > MOST_BITS:
            return 0.0
        if not self.watching:
            fine = 1 - 1 / min(self.answer, MOST_ANSWER)
            return SETTLING + (FINE_SETTLING - SETTLING) * fine
        seen = 1 - self._left(self.progress)
        share = (SEEN_SETTLING * TRUSTED - self.drift) / (TRUSTED + seen)
        return min(max(share, 0.0), MOST_SETTLING)

    def _left(self, progress: float) -> float:
        """Return how much of the last part of the run is left, 1 to 0."""
        return min(1.0, max(0.0, 1 - progress) / LATE)

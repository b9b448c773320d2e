"""What steers a course, as plain values, from which it goes on to the bit."""

from collections.abc import Mapping
from typing import Any

from lilnetx_cli.training.averaging import Average
from lilnetx_cli.training.growing import Growth
from lilnetx_cli.training.macs_control import MacsController
from lilnetx_cli.training.size_control import SizeController
from lilnetx_cli.training.steered import Steered


def steering_state(course: Steered) -> dict[str, Any]:
    """Return what `restore_steering` goes on from."""
    return {
        "spread": course.spread,
        "growth": course.growth and dict(vars(course.growth)),
        "controller": course.controller and dict(vars(course.controller)),
        "macs": course.macs and course.macs.state(),
        "average": course.average and course.average.state(),
    }


def restore_steering(course: Steered, state: Mapping[str, Any]) -> None:
    """Go on from a state; a course stays as it is where the state is not one.

    An average that the state does not have stays. Raises AttributeError, KeyError,
    TypeError and ValueError for anything else than a state of such a network.
    """
    growth, size, macs = state["growth"], state["controller"], state["macs"]
    found = (
        float(state["spread"]),
        None if growth is None else Growth(**growth),
        None if size is None else SizeController(**size),
        None if macs is None else MacsController(**macs),
    )
    average = _average(course, state.get("average"))
    course.spread, course.growth, course.controller, course.macs = found
    course.average = average or course.average


def _average(course: Steered, state: Mapping[str, Any] | None) -> Average | None:
    """Return an average on the device of the network; raises ValueError."""
    if state is None:
        return None
    average = Average(**state).to(next(course.model.parameters()).device)
    if not average.fits(course.model):
        raise ValueError("the average is one of another network")
    return average

"""What is measured: accuracy, work, times and sparsity of a network; files."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilnetx_cli.measure.accuracy import Accuracy, check_scores, measure_accuracy

__all__ = ["Accuracy", "check_scores", "measure_accuracy"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # torch takes seconds to import, and sparsity in a file does without it.
    if name in __all__:
        from lilnetx_cli.measure import accuracy

        return getattr(accuracy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

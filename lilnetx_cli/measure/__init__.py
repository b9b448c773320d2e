"""What a network does: accuracy so far."""

from lilnetx_cli.measure.accuracy import Accuracy, measure_accuracy

__all__ = ["Accuracy", "measure_accuracy"]

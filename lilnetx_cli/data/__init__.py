"""Data sets: a registry of names, each giving train, validation and test images."""

from lilnetx_cli.data.registry import DATASETS, OTHERS, DataInfo, Splits, load_splits
from lilnetx_cli.data.stream import (
    Batch,
    EpochDataset,
    EpochSampler,
    batches,
    received,
)

__all__ = [
    "DATASETS",
    "OTHERS",
    "Batch",
    "DataInfo",
    "EpochDataset",
    "EpochSampler",
    "Splits",
    "batches",
    "load_splits",
    "received",
]

"""Train neural networks to be small and fast, and ship them as .lnx files.

import lilnetx_cli as lilnetx

lilnetx.reparameterize(model)          swap weights for quantized latents
loss = task + lilnetx.penalty(model).total
final = lilnetx.finalize(model, inputs)  the network that ships; the model trains on
lilnetx.save(final, "model.lnx")
lilnetx.compress(trained, "model.lnx", snr=40)   or with inputs=..., far smaller
model = lilnetx.load_model("model.lnx", pruned=True)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilnetx_cli.api import (
        Channels,
        Compressor,
        Finalized,
        Penalty,
        PlainWeightsWarning,
        Pruned,
        RoundingWarning,
        compress,
        coupled_channels,
        finalize,
        load,
        load_model,
        materialize,
        penalty,
        prune,
        reparameterize,
        save,
    )

__version__ = "0.1.0"
__all__ = [
    "Channels",
    "Compressor",
    "Finalized",
    "Penalty",
    "PlainWeightsWarning",
    "Pruned",
    "RoundingWarning",
    "compress",
    "coupled_channels",
    "finalize",
    "load",
    "load_model",
    "materialize",
    "penalty",
    "prune",
    "reparameterize",
    "save",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # torch takes seconds to import: the command line starts without it.
    if name in __all__:
        from lilnetx_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

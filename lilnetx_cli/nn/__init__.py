"""The method: quantized latents, linear decoders, a learned rate, slice priors."""

from lilnetx_cli.nn.density import FactorizedDensity
from lilnetx_cli.nn.latents import (
    LatentGroup,
    LatentWeight,
    density_parameters,
    latent_weights,
)
from lilnetx_cli.nn.materialize import materialize
from lilnetx_cli.nn.penalty import Penalty, penalty
from lilnetx_cli.nn.plain_weights import PlainWeightsWarning
from lilnetx_cli.nn.reparameterize import RoundingWarning, Start, reparameterize
from lilnetx_cli.nn.rounding import round_ste

__all__ = [
    "FactorizedDensity",
    "LatentGroup",
    "LatentWeight",
    "Penalty",
    "PlainWeightsWarning",
    "RoundingWarning",
    "Start",
    "density_parameters",
    "latent_weights",
    "materialize",
    "penalty",
    "reparameterize",
    "round_ste",
]

"""Fits device parameters to measurements: the law by gradient descent, the noise by maximum likelihood."""

from analogjax.fit.law import Fit as Fit
from analogjax.fit.law import fit_device as fit_device
from analogjax.fit.noise import NoiseFit as NoiseFit
from analogjax.fit.noise import fit_noise as fit_noise
from analogjax.fit.trace import Trace as Trace

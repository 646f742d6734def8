"""The code of the page "The models of the library" about magnetization transfer."""

# begin mtsat
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import MTsat, SpoiledMagnetizationTransfer

# MT-, PD- and T1-weighted echoes
weighted = MTsat(np.deg2rad([6, 6, 21]), 0.025, b1=True).given("B1")
b1_map = np.array([[0.8], [1.1]])
images = weighted.at(b1_map).signal([[1.0, 0.016, 1500.0], [0.7, 0.008, 1500.0]])

fit = NLLSRegressor(weighted).fit(images, known=b1_map)
# R1 (1/s), MTsat (1.6 and 0.8 p.u.) and M0; three echoes do not tell sigma
fit.predict(images, known=b1_map, sigma=1.0)
# end mtsat

# begin qmt
hertz = 426 / 360 / 0.0102  # pulses of 426 degrees in 10.2 ms, Hann windows
w1rms = np.sqrt(1.5) * 2 * np.pi * hertz * np.repeat([1 / 3, 1], 5)
offsets = np.tile([1e3, 2e3, 4e3, 8e3, 16e3], 2)  # Hz
pools = SpoiledMagnetizationTransfer(offsets, w1rms, np.deg2rad(7), 0.025, 0.0102)

r1_map = np.array([[0.95], [0.7]])
tissue = [[0.14, 14.0, 22.0, 11e-6, 1500.0], [0.07, 12.0, 28.0, 10e-6, 1500.0]]
model = pools.given("R1")
spectra = model.at(r1_map).signal(tissue)
two_pools = NLLSRegressor(model).fit(spectra, known=r1_map)
two_pools.predict(spectra, known=r1_map)  # m0s, R2f, Rx, T2s and M0
# end qmt

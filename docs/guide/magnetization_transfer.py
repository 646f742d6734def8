"""The code of the page "The models of the library" about magnetization transfer."""

# begin mtsat
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import MTsat

# MT-, PD- and T1-weighted echoes
weighted = MTsat(np.deg2rad([6, 6, 21]), 0.025, b1=True).given("B1")
b1_map = np.array([[0.8], [1.1]])
images = weighted.at(b1_map).signal([[1.0, 0.016, 1500.0], [0.7, 0.008, 1500.0]])

fit = NLLSRegressor(weighted).fit(images, known=b1_map)
# R1 (1/s), MTsat (1.6 and 0.8 p.u.) and M0; three echoes do not tell sigma
fit.predict(images, known=b1_map, sigma=1.0)
# end mtsat

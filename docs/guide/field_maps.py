"""The code of the page "The models of the library" about maps of B1 and B0."""

# begin maps
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import ActualFlipAngle, BlochSiegert, DoubleAngle, FieldMap

b1, omega0 = np.array([[0.8], [1.1]]), np.array([[150.0], [-400.0]])

double = DoubleAngle(np.deg2rad(60))  # B1, M0; images of 60 and 120 degrees
afi = ActualFlipAngle(np.deg2rad(60), [0.02, 0.1])  # B1, M0; T1 is 1 s
for scan in (double, afi):
    images = scan.signal(np.hstack([b1, [[1500.0], [1200.0]]]))
    b1_map = NLLSRegressor(scan).fit(images).predict(images)[:, :1]

shift = BlochSiegert(10e-6, kbs=74e8)  # B1; T, and rad/T^2, which is 74 rad/G^2
images = 1500j * shift.signal(b1)
b1_map = NLLSRegressor(shift).fit(images).predict(images)

echoes = FieldMap([0.002, 0.0043])  # omega0
images = 1500j * echoes.signal(omega0)
omega0_map = NLLSRegressor(echoes).fit(images).predict(images)
# end maps

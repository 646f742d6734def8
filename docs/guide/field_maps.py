"""The code of the page "The models of the library" about maps of B1 and B0."""

# begin maps
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import (
    ActualFlipAngle,
    BlochSiegert,
    DoubleAngle,
    FieldMap,
    PhaseCycledSSFP,
)

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

# begin cycles
increments = 2 * np.pi * np.arange(6) / 6
model = PhaseCycledSSFP(np.deg2rad(30), 5e-3, increments, b1=True)  # T1, T2, omega0, B1
images = 1500j * model.signal([[0.9, 0.07, 150.0, 0.8], [1.4, 0.1, -400.0, 1.1]])

given = NLLSRegressor(model.given("B1")).fit(images, known=b1_map)
given.predict(images, known=b1_map)  # T1, T2 and omega0

maps = np.hstack([b1_map, omega0_map])
given_both = NLLSRegressor(model.given("B1", "omega0")).fit(images, known=maps)
given_both.predict(images, known=maps)  # T1 and T2
# end cycles

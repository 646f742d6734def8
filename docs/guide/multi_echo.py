"""The code of the page "The models of the library" about multi-echo spin echoes."""

# begin model
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import MonoExponential, MultiEchoSpinEcho

te = 0.01 * np.arange(1, 13)  # s
model = MultiEchoSpinEcho(te)  # T2, B1, M0; T1 is 1 s
images = model.signal([[0.08, 0.7, 1500.0], [0.08, 1.2, 1500.0]])

decay = NLLSRegressor(MonoExponential(te, signal="magnitude")).fit(images)
decay.predict(images)[:, 0]  # 94 and 86 ms
fit = NLLSRegressor(model).fit(images)
# 80 ms each, at a B1 of 0.7, and of 0.8 in place of 1.2
fit.predict(images)[:, :2]

b1_map = [[0.7], [1.2]]
given = NLLSRegressor(model.given("B1")).fit(images, known=b1_map)
given.predict(images, known=b1_map)  # T2 and M0
# end model

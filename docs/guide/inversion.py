"""The code of the page "The models of the library" about inversions."""

# begin mp2rage
import numpy as np

from crbestim import NLLSRegressor
from crbestim.models import MOLLI, MP2RAGE, InversionRecovery, LookLocker

protocol = dict(
    ti=[0.8, 2.7],
    tr=7e-3,
    tr_mp2rage=6.0,
    flip_angles=np.deg2rad([4, 5]),
    n_excitations=160,
)
model = MP2RAGE(**protocol)
scanner = np.array([[2900], [1736], [4080]])
uni = scanner / 4095 - 0.5
fit = NLLSRegressor(model).fit(uni)
fit.predict(uni)  # 0.92 s, 1.47 s, and NaN: no T1 has this value

with_b1 = MP2RAGE(**protocol, b1=True).given("B1")
b1_map = [[0.9], [1.1], [1.0]]
corrected = NLLSRegressor(with_b1).fit(uni, known=b1_map).predict(uni, known=b1_map)
# The noise of both images, over M0.
std = fit.predict(uni, return_std=True, sigma=1e-3)[1]
# end mp2rage

# begin look-locker
ti = 0.02 + 0.1 * np.arange(30)  # every tenth pulse
train = LookLocker(ti, tr_readout=0.01, flip_angle=np.deg2rad(5), signal="magnitude")
images = train.signal([[0.9, 1.0, 1500.0]])
known_angle = NLLSRegressor(train).fit(images).predict(images)  # 0.9 s

bounds = {"efficiency": (0.5, 3.0)}
three = InversionRecovery(ti, signal="magnitude", bounds=bounds)
apparent, ratio, _ = NLLSRegressor(three).fit(images).predict(images)[0]
apparent * ratio  # 0.9 s from an apparent T1 of 0.67 s
# end look-locker

# begin molli
ti, beats = MOLLI.schedule("5(3)3", first_ti=(0.12, 0.2), rr=0.9)
heart = MOLLI(ti, beats, tr_readout=2.7e-3, flip_angle=np.deg2rad(35), n_excitations=64)
images = heart.signal([[1.2, 0.95, 800.0]])
t1 = NLLSRegressor(heart).fit(images).predict(images)  # 1.2 s
muscle = heart.fix(efficiency=0.95)
fixed = NLLSRegressor(muscle).fit(images).predict(images)  # T1 and M0

three = InversionRecovery(ti, signal="magnitude", bounds=bounds)
apparent, ratio, _ = NLLSRegressor(three).fit(images).predict(images)[0]
apparent * ratio  # 1.04 s: the usual correction falls short
# end molli

"""A single pool in a hybrid-state sequence: the Bloch equation, pulse by pulse."""

import numpy as np
from scipy.linalg import expm


def signal(r1, r2, omega0, b1, sequence, steady_state):
    """Return the signal at all echoes of a sequence of one train.

    Parameters
    ----------
    r1, r2 : float
        Relaxation rates, in 1/s.
    omega0 : float
        Off-resonance, in rad/s.
    b1 : float
        Relative transmit field.
    sequence : HybridStateSequence
        The pulses.
    steady_state : {"periodic", "thermal"}
        Whether the train repeats, or starts from thermal equilibrium.

    Returns
    -------
    ndarray of shape (n_pulses,), complex
        x + 1j y.
    """

    def flow(w1, time):
        rates = [[-r2, -omega0, w1, 0], [omega0, -r2, 0, 0], [-w1, 0, -r1, r1], [0] * 4]
        return expm(np.array(rates) * time)

    repetitions = []
    for i, (alpha, trf) in enumerate(zip(*sequence.trains[0], strict=True)):
        angle, pause = b1 * alpha, (sequence.tr - trf * (i > 0)) / 2
        pulse = flow(angle / trf, trf)
        if i == 0:
            kept = np.sin(angle / 2) ** 2
            pulse = np.diag([kept, -kept, np.cos(angle), 1])
        phase = np.diag([-1, -1, 1, 1])
        repetitions.append(flow(0.0, pause) @ pulse @ phase @ flow(0.0, pause))
    state = repetitions[0] @ [0, 0, 1, 1]
    if steady_state == "periodic":
        cycle = np.eye(4)
        for repetition in (*repetitions[1:], repetitions[0]):
            cycle = repetition @ cycle
        state = np.append(np.linalg.solve(np.eye(3) - cycle[:3, :3], cycle[:3, 3]), 1)
    states = [state]
    for repetition in repetitions[1:]:
        states.append(repetition @ states[-1])
    return np.array(states) @ [1, 1j, 0, 0]

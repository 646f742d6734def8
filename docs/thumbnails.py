"""Keep the pictures of the gallery's index, so that a build that runs no example has them.

``python docs/thumbnails.py``, after a build that has run the examples, takes their first
figures into ``docs/thumbnails``, and draws a picture for scripts that have no figure.
"""

from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "thumbnails"
BUILT = DOCS / "auto_examples" / "images" / "thumb"
INK, TEAL, GREY = "#323a45", "#0f766e", "#d3d8de"


def draw_cluster(ax):
    """Draw a scheduler and the blocks of voxels that its workers map."""
    ax.set(xlim=(0, 4), ylim=(0.1, 2.9), aspect="equal")
    box = dict(boxstyle="round,pad=0.4", fc="white", ec=INK, lw=1.5)
    for x in (0.5, 1.5, 2.5, 3.5):
        ax.plot([2, x], [2.4, 1.2], color=INK, lw=1.5, zorder=0)
        for i, j in np.ndindex(3, 3):
            color = TEAL if i * 3 + j < 3 + 2 * x else GREY
            left, low = x - 0.36 + 0.25 * j, 0.96 - 0.25 * i
            ax.fill_between([left, left + 0.22], low, low + 0.22, color=color, lw=0)
    ax.text(2, 2.4, "scheduler", ha="center", va="center", bbox=box, fontsize=15)


def draw_errors(ax):
    """Draw errors of an estimate, and the standard deviation that the bound allows."""
    x = np.linspace(-3.5, 3.5, 200)
    density = np.exp(-(x**2) / 2)
    within = abs(x) <= 1
    ax.fill_between(x, density, where=within, color=TEAL, alpha=0.35, lw=0)
    ax.plot(x, density, color=TEAL, lw=2.5)
    ax.axhline(0, color=INK, lw=1.5)


def main():
    """Write all pictures, 400 by 280 pixels as the gallery has them, of 64 colours."""
    from matplotlib.figure import Figure
    from PIL import Image

    FOLDER.mkdir(exist_ok=True)
    for name, draw in (("cluster", draw_cluster), ("default", draw_errors)):
        figure = Figure(figsize=(4, 2.8))
        ax = figure.add_axes((0.03, 0.05, 0.94, 0.9))
        ax.axis("off")
        draw(ax)
        figure.savefig(FOLDER / f"{name}.png", dpi=100)
    for file in BUILT.glob("sphx_glr_plot_*_thumb.png"):
        name = file.stem.removeprefix("sphx_glr_").removesuffix("_thumb")
        image = Image.open(file).convert("RGB")
        image.quantize(64).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

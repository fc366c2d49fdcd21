"""Compare building the sample face's surface with PyMCubes.

Run: ``python -m load_tests.micro.surfaces``.
"""

from __future__ import annotations

from protome.bench.surface_speed import sample_head, surface_speed
from protome.mesh.shape.surface import BACKEND


def main() -> None:
    """Print the figures."""
    print(f"backend: {BACKEND}")
    for name, figure in surface_speed(sample_head()).items():
        print(f"{name}: {figure:.4f}" if name.endswith("seconds") else f"{name}: {figure:.1f}")


if __name__ == "__main__":
    main()

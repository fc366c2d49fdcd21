"""``python -m protome`` is the ``protome`` command."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())

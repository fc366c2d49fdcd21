"""The ``protome`` command, also as ``python -m protome``."""

from __future__ import annotations

import os
import signal

if interruptible := signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while modules are imported would print a traceback.
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))

from . import cli


def main() -> int:
    """Run the command; return its exit status."""
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())

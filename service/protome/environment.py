"""What has to be settled before other modules are imported: for programs of ours, not for those
that use the client."""

from __future__ import annotations

import os
import signal

# gRPC's own lines come from the threads that serve connections: nobody may hold those up.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# With it gRPC ends its threads around each fork, and is lost where the system then denies it new
# ones. No process of ours goes on in gRPC after one: workers are programs of their own.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# NumPy's: one a core otherwise, and none of them would ever have anything to do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if os.getpid() == 1:
    # The first process of a container is not ended by a signal that it does not handle, and while
    # modules are imported there is nothing to clean up.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))

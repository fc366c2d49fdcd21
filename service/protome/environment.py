"""Set environment variables and signals of the program before other modules are imported.

Programs of this package import it first; the client library does not.
"""

from __future__ import annotations

import os
import signal

# gRPC logs from the threads that serve connections, which a full standard error would block.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# With fork support gRPC stops its threads around each fork, and fails if the system then denies it
# new ones. No process here uses gRPC after a fork: workers are new programs.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# NumPy would otherwise start a thread per core, none of which would have work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if os.getpid() == 1:
    # The system does not end the first process of a container by a signal without a handler. There
    # is nothing to clean up while modules are imported.
    signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))

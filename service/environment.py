"""What libraries read as they are imported, set before: for programs of ours, not for those that
use the client."""

from __future__ import annotations

import os

# gRPC's own lines come from the threads that serve connections: nobody may hold those up.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# With it gRPC ends its threads around each fork, and is lost where the system then denies it new
# ones. No process of ours goes on in gRPC after one: workers are programs of their own.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# NumPy's: one a core otherwise, and none of them would ever have anything to do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

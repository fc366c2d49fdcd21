"""Take a photo through all stages: in the server, or in one process."""

from protome.extras import require_server

require_server("protome.pipeline")

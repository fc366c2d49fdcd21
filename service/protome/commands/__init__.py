"""Commands of ``protome`` that call a server."""

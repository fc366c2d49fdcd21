"""Take calls, read their photos and send the answers."""

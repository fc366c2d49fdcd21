"""Run CPU work in worker processes."""

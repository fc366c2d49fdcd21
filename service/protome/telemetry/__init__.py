"""Log, trace, count, and answer probes."""

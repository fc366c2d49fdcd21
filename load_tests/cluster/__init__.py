"""Test several servers on loopback addresses of one machine, like the pods of a cluster."""

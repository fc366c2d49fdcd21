"""Several servers on loopback addresses of one machine, as pods of a cluster would be."""

"""Train the network that tells how much of a face is covered."""

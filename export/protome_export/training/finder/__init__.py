"""Train the network that finds the face in its crop."""

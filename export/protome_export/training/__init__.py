"""Train the network on rendered photos."""

"""Train the network of hair and headgear."""

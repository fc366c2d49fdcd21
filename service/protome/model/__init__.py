"""Run the network: crops in, volumes out."""

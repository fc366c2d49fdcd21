"""Read pretrained networks out of packages, as PyTorch modules."""

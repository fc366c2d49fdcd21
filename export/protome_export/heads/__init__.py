"""Make synthetic heads and pose them."""

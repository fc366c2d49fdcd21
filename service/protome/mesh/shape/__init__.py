"""Make the closed surface of a head with hair."""

"""Give synthetic heads skin, hair, glasses and surroundings."""

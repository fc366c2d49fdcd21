"""Write coloured meshes in the formats of the contract."""

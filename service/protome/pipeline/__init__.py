"""Take a photo through all stages."""

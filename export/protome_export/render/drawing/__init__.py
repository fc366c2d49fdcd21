"""Draw pixels: triangles, paint, noise, JPEG."""

"""Train the reader, which finds pose and shape of a head in a window of a photo."""

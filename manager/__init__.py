"""Takes batches in, keeps them, serves the service discovery API and draws the map."""

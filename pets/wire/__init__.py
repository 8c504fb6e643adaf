"""Generated from proto/pets/v1 with grpcio-tools 1.85.1; ``python -m pets.wire`` makes it anew. Not edited by hand."""

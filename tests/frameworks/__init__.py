"""One tiny API for each framework, wrapped as its users would do it; every view answers what reached it."""

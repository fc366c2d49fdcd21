"""Compare Protome with its own stages behind other servers, under the same load."""

"""Stories on many machines: Ray Data deals out the requests, Redis keeps what all must know."""

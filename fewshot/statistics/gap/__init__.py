"""How far apart two domains are: pure functions of their rows, with intervals."""

"""How weights are made of conductances."""

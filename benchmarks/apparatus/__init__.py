"""The parts that every measure is made of."""

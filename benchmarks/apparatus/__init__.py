"""The parts that the measures share: loops, threads, contenders, rounds and results."""

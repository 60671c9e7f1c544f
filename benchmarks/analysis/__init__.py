"""Tables, pictures and verdicts. They read the results of a run, and measure nothing."""

"""Tables, pictures and verdicts, made of the results of a run."""

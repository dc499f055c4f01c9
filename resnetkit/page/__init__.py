"""Pages for people: what a run, an evaluation or a look at the data came to, each one file without a connection."""

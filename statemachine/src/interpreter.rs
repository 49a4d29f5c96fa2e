//! Runs a definition, one step at a time, without doing any I/O.

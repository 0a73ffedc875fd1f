//! One scenario, run on every host, with one transcript.

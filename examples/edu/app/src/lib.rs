//! The edu plugin's app.

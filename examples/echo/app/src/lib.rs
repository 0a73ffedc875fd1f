//! The echo plugin's app.

//! C++: a header over C's.
use super::{File, c};
use anyhow::Result;
use kp_tool::schema::Schema;

/// The header, and C's.
pub fn files(schema: &Schema) -> Result<Vec<File>> {
    c::files(schema)
}

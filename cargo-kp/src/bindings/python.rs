//! Python. Not offered yet.
use super::File;
use anyhow::{Result, bail};
use kp_tool::schema::Schema;

/// The package.
pub fn files(_schema: &Schema) -> Result<Vec<File>> {
    bail!("there are no bindings for Python yet")
}

//! A pool holds values that have bytes.
use kp_core::*;

pub fn handler(pool: &Pool) -> Result<PoolBox<()>> {
    pool.alloc(())
}

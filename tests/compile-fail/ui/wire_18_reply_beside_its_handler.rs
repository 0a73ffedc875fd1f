//! A reply that is none is said so, also to who has written the handler, for whom the module is missing.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn all() -> Vec<u32> = 1;
    }
}
pub struct Sums;
impl sums::Handler<()> for Sums {
    fn all(&self, _: &mut (), _: &()) -> kp_abi::Result<Vec<u32>> {
        Ok(Vec::new())
    }
}

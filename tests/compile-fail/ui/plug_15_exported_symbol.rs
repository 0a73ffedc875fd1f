//! Why `plugin!` exports nothing: an exported symbol is itself unsafe code.
#[unsafe(no_mangle)]
pub extern "C" fn kp_plugin_entry() {}

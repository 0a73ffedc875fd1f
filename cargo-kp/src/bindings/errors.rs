//! The table of statuses, as the templates have it: kp-abi's own, and what the bindings answer by themselves.
use super::names::screaming;
use kp_abi::Status;
use minijinja::{Value, context};

/// Not on the wire: what bindings answer where a device could not be opened, so that no driver was reached.
const NOT_OPENED: (u32, &str, &str) =
    (0xFFFF_FFF0, "NotOpened", "The device could not be opened; detail = the system's own number of why.");

/// The rows: `number`, `name` (`BarTooShort`), `constant` (`BAR_TOO_SHORT`), `errno`, `ntstatus`, `transport` (whether it comes without a head),
/// `sentence`.
#[must_use]
pub fn rows() -> Vec<Value> {
    let row = |number: u32, name: &str, errno: u16, ntstatus: u32, transport: bool, sentence: &str| {
        context! { number, name, constant => screaming(name), errno, ntstatus, transport, sentence }
    };
    let table = Status::TABLE
        .iter()
        .map(|of| row(of.status.0, of.name, of.errno, of.ntstatus, of.status.is_transport(), &sentence(of.meaning)));
    let (number, name, text) = NOT_OPENED;
    table.chain([row(number, name, 0, 0, false, text)]).collect()
}

/// The meaning as a sentence, without the word that says who answers so.
fn sentence(meaning: &str) -> String {
    let rest = ["T: ", "T, Windows: ", "Windows: ", "Client side: "].iter().find_map(|who| meaning.strip_prefix(who));
    let mut letters = rest.unwrap_or(meaning).chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meaning_is_a_sentence() {
        assert_eq!(sentence("T, Windows: a buffer has no room."), "A buffer has no room.");
        assert_eq!(sentence("Done."), "Done.");
    }

    #[test]
    fn what_bindings_add_is_no_number_of_the_table() {
        assert!(Status::TABLE.iter().all(|row| row.status.0 != NOT_OPENED.0 && row.name != NOT_OPENED.1));
        assert_eq!(rows().len(), Status::TABLE.len() + 1);
    }
}

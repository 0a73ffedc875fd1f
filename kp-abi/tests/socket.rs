//! What a socket carries in the place of a node, as `docs/socket.md` says.
use kp_abi::{
    request::{RequestNr, control_code, in_direct_code, of_control_code},
    socket::{Hello, MAGIC, MAX_BUFFER, ReplyFrame, RequestFrame, VARIABLE, Welcome},
};

const PAGE: &str = include_str!("../../docs/socket.md");

#[test]
fn a_control_code_stands_for_its_request_and_any_other_for_none() {
    for request in RequestNr::ALL {
        let nr = *request as u32;
        let code = control_code(nr).expect("each request has one");
        assert_eq!(of_control_code(code), Some(nr));
        for other in (0..32).map(|bit| code ^ 1 << bit) {
            let is_its = in_direct_code(nr) == Some(other);
            assert_eq!(of_control_code(other) == Some(nr), is_its, "{other:#010x} for {request:?}");
        }
    }
    assert_eq!(of_control_code(0), None);
}

#[test]
fn the_page_has_the_protocols_figures() {
    let thousands = format!("{},{:03}", MAX_BUFFER / 1000, MAX_BUFFER % 1000);
    assert!(PAGE.contains(&format!("`in_len` and `out_len` are at most {thousands}.")), "{thousands}");
    let magic = String::from_utf8_lossy(&MAGIC);
    assert!(PAGE.contains(&format!("| `magic` | `{magic}` | `magic` | `{magic}` |")));
    assert!(PAGE.contains(VARIABLE));
    let sizes = [size_of::<Hello>(), size_of::<Welcome>(), size_of::<RequestFrame>(), size_of::<ReplyFrame>()];
    assert_eq!(sizes, [16; 4], "what the page says of each");
}

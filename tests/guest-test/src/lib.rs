//! `#[guest_test]`: a function of the conformance program that is a test, registered where it is written.
//!
//! The attribute leaves the function as it is. Beside it stands a call of `conformance::registry::register!`, which has the rest.
use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

/// Makes a function a test of the conformance program.
///
/// ```text
/// /// What the list says of it.
/// #[guest_test("stress kills", stage = "tear-down", short = "1", long = "2")]
/// pub fn run(rounds: u32) { … }
/// ```
///
/// The first argument is the words that ask for the test. Without it they are the function's path: `loader device a_call_…`. The others are
/// fields of `conformance::registry::Test`. The function takes texts and numbers, and gives nothing or a `Result<(), String>`.
#[proc_macro_attribute]
pub fn guest_test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    register(false, &arguments, function)
}

/// Makes a function what this program does when one of its tests starts it again: a client to be killed, for instance. It is in no list.
#[proc_macro_attribute]
pub fn helper(arguments: TokenStream, function: TokenStream) -> TokenStream {
    register(true, &arguments, function)
}

fn register(is_helper: bool, arguments: &TokenStream, function: TokenStream) -> TokenStream {
    let Some((name, parameters)) = signature(function.clone()) else {
        return "compile_error!(\"only a function can be a test\");".parse().expect("it is Rust");
    };
    let about = documentation(function.clone());
    let call = format!(
        "crate::registry::register! {{ {name}, {parameters:?}, concat!({about}), is_helper = {is_helper}; {arguments} }}"
    );
    let call: TokenStream = call.parse().expect("it is Rust");
    function.into_iter().chain(call).collect()
}

/// A function's name, and the names of its parameters.
fn signature(function: TokenStream) -> Option<(Ident, String)> {
    let mut tokens = function.into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    let Some(TokenTree::Ident(name)) = tokens.next() else { return None };
    let parameters = tokens.find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream()),
        _ => None,
    })?;
    let mut names = Vec::new();
    let mut is_next = true;
    for token in parameters {
        match token {
            TokenTree::Ident(name) if is_next => {
                names.push(name.to_string());
                is_next = false;
            }
            TokenTree::Punct(mark) if mark.as_char() == ',' => is_next = true,
            _ => {}
        }
    }
    Some((name, names.join(" ")))
}

/// A function's documentation, as arguments of `concat!`: the literals of its lines, each with its end.
fn documentation(function: TokenStream) -> String {
    let mut lines = Vec::new();
    for token in function {
        if let TokenTree::Group(group) = token
            && group.delimiter() == Delimiter::Bracket
        {
            let mut words = group.stream().into_iter();
            let is_doc = matches!(words.next(), Some(TokenTree::Ident(word)) if word.to_string() == "doc");
            if let (true, Some(TokenTree::Literal(line))) = (is_doc, words.nth(1)) {
                lines.push(line.to_string());
            }
        }
    }
    lines.join(", \"\\n\", ")
}

//! What bindings say of a device that could not be opened: the texts of kp's own client, as the templates have them.
use super::render::quoted;
use kp_user::sentences::{ALL, pieces};
use minijinja::{Value, context};
use std::collections::BTreeMap;

/// How long a piece of a string is in a line of a header.
const WIDTH: usize = 100;

/// The sentences by name: `linux`, `windows`.
pub fn all() -> BTreeMap<&'static str, Value> {
    ALL.iter().map(|(name, of)| (*name, context! { linux => of.linux, windows => of.windows })).collect()
}

/// A sentence as snprintf takes it, behind the place: the format and its arguments. There has to be a variable for each: `plugin`, a `kp_plugin`;
/// `name`, its name; `module`, `group`, `why`.
pub fn say(text: &str) -> String {
    let (mut format, mut arguments) = ("%s: ".to_owned(), "plugin->place".to_owned());
    for (before, name) in pieces(text) {
        format += &before.replace('%', "%%");
        if let Some(name) = name {
            format += "%s";
            let variable = match name {
                "place" => "plugin->place",
                "plugin" => "name",
                name => name,
            };
            arguments += &format!(", {variable}");
        }
    }
    let indent = "\n\t\t\t ";
    format!("{},{indent}{arguments}", lines(&format).iter().map(|line| quoted(line)).collect::<Vec<_>>().join(indent))
}

/// A text in lines of a bearable length, each with the blank that it ends at.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() <= WIDTH => line.push_str(word),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_a_format_of_c_and_its_arguments() {
        assert_eq!(
            say("100 % \"{plugin}\" at {place}"),
            "\"%s: 100 %% \\\"%s\\\" at %s\",\n\t\t\t plugin->place, name, plugin->place"
        );
    }

    /// What the runtime in C has room for: as its own fields, and the longest that Linux has of the others.
    #[test]
    fn the_longest_sentence_fits_in_cs_room_for_it() {
        let base = include_str!("../../templates/bindings/c/base.h.jinja");
        let room = |declared: &str| -> usize {
            let rest = base.split(declared).nth(1).unwrap_or_else(|| panic!("{declared} is there"));
            rest.split(']').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let (place, name, text) = (room("char place["), room("char name["), room("char kpi_text["));
        let most = |name_of: &str| match name_of {
            "place" => place - 1,
            "plugin" => name - 1,
            "module" => "kp_".len() + name - 1,
            // As groupadd has it.
            "group" => 32,
            // The longest of glibc's, "Invalid or incomplete multibyte or wide character".
            "why" => 49,
            other => panic!("nothing is known of {other}"),
        };
        for (sentence, of) in ALL {
            for said in [of.linux, of.windows] {
                let pieces = pieces(said).map(|(before, name)| before.len() + name.map_or(0, most));
                let len = place - 1 + ": ".len() + pieces.sum::<usize>();
                assert!(len < text, "{sentence} takes {len} bytes of {text}");
            }
        }
    }
}

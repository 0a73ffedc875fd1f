//! What a header says of a node that cannot be opened is, word for word, what kp's own client says.
use crate::{
    bindings, examples,
    folder::Folder,
    refused::{PLUGIN, refused},
};
use cargo_kp::bindings::Language;
use std::process::Command;

/// A program that says of a node why open(2) has failed.
const PROGRAM: &str = r#"
#include "echo.h"

int main(int argc, char **argv)
{
	static kp_plugin plugin;

	if (argc != 4)
		return 2;
	plugin.node = plugin.first = -1;
	strcpy(plugin.name, argv[1]);
	strcpy(plugin.place, argv[2]);
	puts(kpi_not_opened(&plugin, (uint32_t)atoi(argv[3])));
	return 0;
}
"#;

#[test]
fn what_c_says_of_a_node_that_cannot_be_opened_is_what_kp_user_says() {
    let folder = Folder::new();
    folder.put(&bindings(Language::C, examples()));
    folder.write("app.c", PROGRAM);
    folder.compile("gcc", "-std=c99 -O2 -Wall -Wextra -Werror -pedantic -pthread -o app app.c");
    for case in refused(folder.path()) {
        let mut app = Command::new(folder.path().join("app"));
        let output = app.args([PLUGIN, &case.node, &case.errno.to_string()]).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), case.due);
    }
}

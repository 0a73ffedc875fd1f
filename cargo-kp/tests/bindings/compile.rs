//! Compilers have nothing to say of the headers.
use crate::{
    awkward::{awkward, of_libraries},
    bindings, examples,
    folder::Folder,
    made_up,
};
use cargo_kp::bindings::Language;

/// What a careful author asks for.
const WARNINGS: &str = "-Wall -Wextra -Werror -pedantic";

/// What an app may include beside.
const LIBRARIES: &[&str] =
    &["math.h", "mqueue.h", "semaphore.h", "signal.h", "stdlib.h", "sys/stat.h", "time.h", "unistd.h"];

/// A program of one file that includes all headers of the files: two interfaces' fit beside each other.
fn program(folder: &Folder, name: &str, ending: &str, files: &[cargo_kp::bindings::File]) {
    let included = files.iter().filter(|file| file.path.ends_with(ending));
    let lines: String = included.map(|file| format!("#include \"{}\"\n", file.path)).collect();
    folder.write(name, &format!("{lines}int main(void)\n{{\n\treturn 0;\n}}\n"));
}

/// The headers of the examples, and those of 200 made-up interfaces, with the programs that include them; 20 of them are enough for most
/// compilers, with those whose names are awkward.
fn folder() -> Folder {
    let folder = Folder::new();
    let few: Vec<_> = made_up().take(20).collect();
    let few = awkward().into_iter().chain(few).collect();
    for (name, schemas) in [("examples", examples().to_vec()), ("made-up", made_up().collect()), ("few", few)] {
        let files = bindings(Language::Cpp, schemas);
        folder.put(&files);
        program(&folder, &format!("{name}.c"), ".h", &files);
        program(&folder, &format!("{name}.cpp"), ".hpp", &files);
        // A C header is for C++ too.
        program(&folder, &format!("{name}-c.cpp"), ".h", &files);
    }
    let files = bindings(Language::Cpp, of_libraries());
    folder.put(&files);
    for (ending, ours) in [("c", ".h"), ("cpp", ".hpp")] {
        let own = LIBRARIES.iter().map(|header| format!("#include <{header}>\n"));
        let included = files.iter().filter(|file| file.path.ends_with(ours));
        let included = included.map(|file| format!("#include \"{}\"\n", file.path));
        let lines: String = own.chain(included).collect();
        folder.write(&format!("libraries.{ending}"), &format!("{lines}int main(void)\n{{\n\treturn 0;\n}}\n"));
    }
    for (name, text) in [
        ("story.c", include_str!("../../../tests/bindings/edu.c")),
        ("story.cpp", include_str!("../../../tests/bindings/edu.cpp")),
    ] {
        folder.write(name, text);
    }
    folder
}

/// The programs that the page shows in a language.
fn shown(language: &str) -> Vec<&'static str> {
    let page = include_str!("../../../docs/bindings.md");
    let begin = format!("```{language}\n");
    let blocks = page.split(begin.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn headers_of_examples_and_of_made_up_interfaces_compile_as_c() {
    let folder = folder();
    for standard in ["c99", "c11"] {
        folder.compile("gcc", &format!("-std={standard} {WARNINGS} -fsyntax-only examples.c few.c story.c"));
    }
    folder.compile("gcc", &format!("-std=gnu99 {WARNINGS} -fsyntax-only libraries.c"));
    folder.compile("gcc", &format!("-std=c99 -O2 {WARNINGS} -c examples.c"));
    let [program] = shown("c")[..] else { panic!("the page shows one program") };
    folder.write("shown.c", program);
    folder.compile("gcc", &format!("-std=c99 {WARNINGS} -fsyntax-only shown.c"));
    folder.compile("gcc", &format!("-std=c99 -DKP_NO_NODE {WARNINGS} -fsyntax-only examples.c"));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs g++, Clang, mingw-w64's compilers and a 32-bit C library; run by `cargo kp test --long`"]
fn headers_compile_as_cpp_for_32_bits_and_for_windows() {
    let folder = folder();
    let cpp = "examples.cpp few.cpp few-c.cpp story.cpp";
    folder.compile("gcc", &format!("-std=c99 {WARNINGS} -fsyntax-only made-up.c"));
    folder.compile("g++", &format!("-std=c++17 {WARNINGS} -fsyntax-only {cpp} made-up.cpp libraries.cpp"));
    folder.compile("g++", &format!("-std=c++17 -O2 {WARNINGS} -c story.cpp"));
    let [program] = shown("cpp")[..] else { panic!("the page shows one program") };
    folder.write("shown.cpp", program);
    folder.compile("g++", &format!("-std=c++17 {WARNINGS} -fsyntax-only shown.cpp"));
    folder.compile("clang-22", &format!("-std=c99 {WARNINGS} -fsyntax-only examples.c story.c"));
    folder.compile("clang++-22", &format!("-std=c++17 {WARNINGS} -fsyntax-only examples.cpp story.cpp"));
    let wide = "-m32 -idirafter /usr/include/x86_64-linux-gnu";
    folder.compile("gcc", &format!("{wide} -std=c99 {WARNINGS} -fsyntax-only examples.c few.c story.c"));
    mingw(&folder, "x86_64");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs mingw-w64's compilers for 32 bits; run by `cargo kp test --long`"]
fn headers_compile_for_windows_of_32_bits() {
    mingw(&folder(), "i686");
}

#[cfg(target_os = "linux")]
fn mingw(folder: &Folder, processor: &str) {
    let of = |compiler| format!("{processor}-w64-mingw32-{compiler}");
    folder.compile(&of("gcc"), &format!("-std=c99 {WARNINGS} -fsyntax-only examples.c few.c story.c"));
    folder.compile(&of("gcc"), &format!("-std=c99 -O2 {WARNINGS} -c story.c"));
    folder.compile(&of("g++"), &format!("-std=c++17 {WARNINGS} -fsyntax-only few.cpp examples-c.cpp story.cpp"));
}

//! The first steps in the README are the example that compiles.

#[test]
fn the_readme_shows_the_example() {
    let example = include_str!("../examples/first.rs");
    let (_, code) = example.split_once("\n\n").expect("a headline, then the code");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(code.trim()), "README.md differs from sdk/examples/first.rs");
}

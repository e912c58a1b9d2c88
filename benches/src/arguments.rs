//! The arguments of a bench.

/// The numbers on the command line, and whether `--test` requests a short run that only shows that the bench works. `cargo bench`
/// passes options of its own, which are ignored.
pub fn numbers() -> (Vec<usize>, bool) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    (numbers, arguments.iter().any(|argument| argument == "--test"))
}

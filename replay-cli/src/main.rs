//! The `replay` command; everything it does is in the library.

#[global_allocator]
static HEAP: replay::heap::EngineHeap = replay::heap::EngineHeap;

fn main() -> std::process::ExitCode {
    replay::heap::installed();
    replay::cli::main(std::env::args_os())
}

//! The `replay` command; everything it does is in the library.

#[global_allocator]
static HEAP: replay::base::heap::EngineHeap = replay::base::heap::EngineHeap;

fn main() -> std::process::ExitCode {
    replay::base::heap::installed();
    replay::cli::main(std::env::args_os())
}

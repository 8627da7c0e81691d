//! `replay run --stack netstack-smoltcp`: the netstack-smoltcp crate behind the protocol of docs/STACK_PROTOCOL.md.

rivals::virtual_time!();

fn main() -> std::io::Result<()> {
    rivals::program::run(rivals::stacks::Kind::NetstackSmoltcp)
}

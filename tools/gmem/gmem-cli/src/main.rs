//! x
fn main() { println!("{}", gmem::available()); }

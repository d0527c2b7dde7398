// SPDX-License-Identifier: MIT OR GPL-2.0
//! One pointer on the CPU and on an NPU: `cargo run --example hello`.

use gmem::{Buffer, Job, Npu};

fn main() -> gmem::Result<()> {
    let npu = Npu::open(0)?;
    let mut buffer = Buffer::new(1 << 20)?;

    npu.run(Job::new().fill(&mut buffer[..], 42)?)?;
    println!("the NPU wrote 42, the CPU reads {}", buffer[1 << 19]);

    for (i, word) in buffer.view_mut::<u32>().iter_mut().enumerate() {
        *word = i as u32;
    }
    let mut sum = Buffer::new(1 << 20)?;
    let words = buffer.view::<u32>();
    npu.run(Job::new().vadd(sum.view_mut::<u32>(), words, words)?)?;
    println!(
        "the CPU wrote 1000, the NPU doubled it: {}",
        sum.view::<u32>()[1000]
    );
    Ok(())
}

// SPDX-License-Identifier: MIT OR GPL-2.0
//! A chain of matrix products that alternates between the CPU and both NPUs, on
//! the same pointers.

use gmem::{Buffer, Gemm, Job, Npu};

use super::input::Text;
use super::report::Verdict;
use crate::cpu;
use crate::progress::Step;

const N: usize = 768;
const SHAPE: Gemm = Gemm {
    m: N as u16,
    n: N as u16,
    k: N as u16,
    shift: 10,
};
const STEPS: usize = 4;
const PLACES: [&str; STEPS] = [
    "CPU: int8 GEMM",
    "NPU 0: int8 GEMM of the CPU's product",
    "CPU: int8 GEMM of NPU 0's product",
    "NPU 1: int8 GEMM of the CPU's product",
];

/// A matrix of small numbers from text.
fn matrix(text: &[u8]) -> impl Iterator<Item = i8> + '_ {
    // The letters' middle becomes 0, so that sums do not all grow the same way.
    text.iter()
        .take(N * N)
        .map(|&byte| byte.wrapping_sub(80) as i8)
}

fn shared(values: &[i8]) -> gmem::Result<Buffer> {
    let mut buffer = Buffer::new(N * N)?;
    buffer.view_mut::<i8>().copy_from_slice(values);
    Ok(buffer)
}

/// Multiplies: CPU, NPU 0, CPU, NPU 1; each step uses the one before.
pub fn multiply(npus: &[Npu; 2], text: &Text, verdict: &mut Verdict) -> anyhow::Result<()> {
    let piece = text.ordinary.len() / (STEPS + 1);
    let inputs: Vec<Vec<i8>> = (0..=STEPS)
        .map(|i| matrix(&text.ordinary[i * piece..]).collect())
        .collect();
    let mut ordinary = inputs[0].clone();
    let mut x = shared(&inputs[0])?;
    for (number, weights) in inputs[1..].iter().enumerate() {
        let w = shared(weights)?;
        let mut out = Buffer::new(N * N)?;
        let place = PLACES[number];
        let step = Step::begin(place, 1);
        if number % 2 == 0 {
            cpu::gemm(out.view_mut(), x.view(), w.view(), SHAPE);
        } else {
            let job = Job::new().gemm(out.view_mut::<i8>(), x.view(), w.view(), SHAPE)?;
            npus[number / 2].run(job)?;
        }
        step.end();
        let step = Step::begin("CPU: the same in ordinary memory", 1);
        let mut expected = vec![0; N * N];
        cpu::gemm(&mut expected, &ordinary, weights, SHAPE);
        verdict.check(out.view::<i8>() == expected, || {
            format!("product {number} is wrong ({place})")
        });
        (x, ordinary) = (out, expected);
        step.end();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain that ends in equal numbers would prove little.
    #[test]
    fn the_chain_keeps_its_variety() {
        let source = concat!(
            include_str!("../cpu.rs"),
            include_str!("input.rs"),
            include_str!("text.rs"),
            include_str!("report.rs")
        );
        let text = |number: usize| -> Vec<i8> {
            let bytes = source.bytes().cycle().skip(number * 5003);
            matrix(&bytes.take(N * N).collect::<Vec<_>>()).collect()
        };
        let mut x = text(0);
        for number in 1..=STEPS {
            let mut out = vec![0; N * N];
            cpu::gemm(&mut out, &x, &text(number), SHAPE);
            x = out;
        }
        let mut seen = [false; 256];
        x.iter()
            .for_each(|&value| seen[usize::from(value as u8)] = true);
        let distinct = seen.iter().filter(|&&seen| seen).count();
        assert!(distinct >= 16, "{distinct} values");
    }
}

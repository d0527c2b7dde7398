// SPDX-License-Identifier: MIT OR GPL-2.0
//! Makes the modules that the tests check: each kernel file as it is, and once more with each of
//! the mistakes that the checks have to find.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// A name, and what is replaced by what.
type Mistake = (&'static str, &'static [(&'static str, &'static str)]);

/// A kernel file, the checks of which have a name, and the mistakes to find.
struct Subject {
    name: &'static str,
    file: &'static str,
    mistakes: &'static [Mistake],
}

const SUBJECTS: &[Subject] = &[
    Subject {
        name: "chunk",
        file: "mm/gmem/device/chunk.rs",
        mistakes: &[
            (
                "one_page_is_put_without_release",
                &[(
                    "map.fetch_sub(1 << (first % 64), Release);",
                    "map.fetch_sub(1 << (first % 64), Relaxed);",
                )],
            ),
            (
                "pages_are_put_without_release",
                &[(
                    "map.fetch_sub(bits(word, first, nr), Release);",
                    "map.fetch_sub(bits(word, first, nr), Relaxed);",
                )],
            ),
            (
                "free_pages_are_found_without_acquire",
                &[(
                    "let used = used.load(Acquire);",
                    "let used = used.load(Relaxed);",
                )],
            ),
            (
                "pages_are_counted_without_order",
                &[(
                    "chunk.live.fetch_sub(nr as i32, Full) == nr as i32",
                    "chunk.live.fetch_sub(nr as i32, Relaxed) == nr as i32",
                )],
            ),
            (
                "holds_are_read_before_the_bits",
                &[
                    (
                        "for (word, used) in chunk.map.iter().enumerate() {",
                        "let holds = chunk.holds.load(Relaxed);
                         for (word, used) in chunk.map.iter().enumerate() {",
                    ),
                    ("(chunk.holds.load(Relaxed) == 0)", "(holds == 0)"),
                ],
            ),
            (
                "a_hold_does_not_count",
                &[("chunk.live.fetch_add(1, Full);\n", "")],
            ),
            (
                "a_note_gets_lost",
                &[(
                    "Ok(_) => return true,\n            Err(now) => old = now,",
                    "_ => return true,",
                )],
            ),
            (
                "a_note_is_not_looked_at_again",
                &[("if self.live(index) == 0 {", "if true {")],
            ),
        ],
    },
    Subject {
        name: "gate",
        file: "mm/gmem/device/gate.rs",
        mistakes: &[
            (
                "who_leaves_gives_no_order",
                &[(
                    "match gate.state.cmpxchg(old, old - 1, Full) {",
                    "match gate.state.cmpxchg(old, old - 1, Relaxed) {",
                )],
            ),
            (
                "who_closes_sees_no_order",
                &[(
                    "self.state.fetch_add(flag, Full);",
                    "self.state.fetch_add(flag, Relaxed);",
                )],
            ),
            (
                "who_comes_in_sees_no_order",
                &[(
                    "if self.state.fetch_add(1usize, Full)",
                    "if self.state.fetch_add(1usize, Relaxed)",
                )],
            ),
            (
                "the_last_one_does_not_lock",
                &[(
                    "let _changing = self.changing.lock();
        if self.state.fetch_sub",
                    "if self.state.fetch_sub",
                )],
            ),
            (
                "who_is_turned_away_counts",
                &[(
                    "self.leave_closed();
        Err(ENODEV)",
                    "Err(ENODEV)",
                )],
            ),
            (
                "who_closes_does_not_wait",
                &[("self.empty.wait(&mut changing);", "break;")],
            ),
            (
                "a_second_end_does_not_look",
                &[("if is_new { FOR_EVER } else { 0 }", "FOR_EVER")],
            ),
            (
                "a_second_one_closes_too",
                &[("if self.state.load(Relaxed) & !INSIDE != 0 {", "if false {")],
            ),
            (
                "opening_is_for_ever",
                &[(
                    "self.state.fetch_sub(CLOSED, Full);",
                    "self.state.fetch_sub(self.state.load(Relaxed) & !INSIDE, Full);",
                )],
            ),
        ],
    },
    Subject {
        name: "tlb",
        file: "rust/kernel/gmem/soft/tlb.rs",
        mistakes: &[
            (
                "a_step_ends_without_release",
                &[(
                    "self.0.steps.fetch_add(1u64, Release);",
                    "self.0.steps.fetch_add(1u64, Relaxed);",
                )],
            ),
            (
                "the_end_of_a_step_is_seen_without_acquire",
                &[(
                    "self.steps.load(Acquire) as u32 == snapshot",
                    "self.steps.load(Relaxed) as u32 == snapshot",
                )],
            ),
            (
                "a_flush_forgets_nothing",
                &[("entries.small.flush(space, &bytes);", "")],
            ),
            (
                "the_drain_does_not_wait",
                &[("while snapshot & 1 != 0", "while snapshot & 1 == 0")],
            ),
            (
                "the_walk_is_not_under_the_lock",
                &[
                    (
                        "let mut entries = self.0.entries.lock();",
                        "let early = table.translate(va, write);
                         let mut entries = self.0.entries.lock();",
                    ),
                    ("table.translate(va, write)?;", "early?;"),
                ],
            ),
            (
                "a_step_begins_after_the_stop",
                &[("if old & (STOPPED | 1) != 0 {", "if old & 1 != 0 {")],
            ),
            (
                "a_step_begins_beside_another",
                &[("if old & (STOPPED | 1) != 0 {", "if old & STOPPED != 0 {")],
            ),
            (
                "the_stop_does_not_wait",
                &[("self.drain(self.snapshot());", "")],
            ),
            (
                "the_stop_is_lost",
                &[(
                    "while let Err(now) = self.steps",
                    "if let Err(now) = self.steps",
                )],
            ),
        ],
    },
];

/// Returns the file as the body of a module.
fn body(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start() {
        // The attributes of pinned initialisation; nothing moves here once it is shared.
        "#[pin_data]" | "#[pin]" => "",
        doc if doc.starts_with("//!") => "",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Makes a mistake, each part of which has one place.
fn mistaken(text: &str, changes: &[(&str, &str)]) -> Option<String> {
    changes
        .iter()
        .try_fold(text.to_owned(), |text, (from, to)| {
            (text.matches(from).count() == 1).then(|| text.replace(from, to))
        })
}

fn module(root: &Path, subject: &Subject, name: &str, body: &str, test: &str) -> String {
    let checks = root
        .join("tools/gmem/gmem-loom/src/checks")
        .join(format!("{}.rs", subject.name));
    format!(
        "mod {name} {{
            #[allow(unused_imports)] use crate::super_of_{}::*;
            #[allow(unused, missing_docs, clippy::all)] mod subject {{ {body} }}
            #[allow(clippy::arc_with_non_send_sync)] mod checks {{ include!({checks:?}); }}
            #[test] fn {test}() {{ crate::{test}(checks::ALL); }}
        }}\n",
        subject.name
    )
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../..");
    let root = root.canonicalize().unwrap();
    let mut out = String::new();
    for subject in SUBJECTS {
        let path = root.join(subject.file);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).unwrap();
        out += &module(&root, subject, subject.name, &body(&text), "holds");
        for (name, changes) in subject.mistakes {
            out += &match mistaken(&text, changes) {
                Some(wrong) => module(&root, subject, name, &body(&wrong), "is_found"),
                // The file has changed: said by the tests, so that the rest can be built.
                None => format!("#[test] fn {name}() {{ panic!(\"nowhere to make it\"); }}\n"),
            };
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let to = PathBuf::from(env::var("OUT_DIR").unwrap()).join("subjects.rs");
    fs::write(to, out).unwrap();
}

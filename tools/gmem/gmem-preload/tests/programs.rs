// SPDX-License-Identifier: MIT OR GPL-2.0
//! Ordinary programs do the same with the library as without.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The library, which cargo builds beside the tests' directory.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dirs = test.ancestors().skip(1).take(2);
    let mut places = dirs.map(|dir| dir.join("libgmem_preload.so"));
    places
        .find(|path| path.exists())
        .expect("cargo builds the library with its tests")
}

fn run(program: &[&str], preload: bool, extra: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).env_remove("LD_PRELOAD");
    if preload {
        command.env("LD_PRELOAD", library());
    }
    command.envs(extra.iter().copied());
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{}: {error}; install it", program[0]))
}

fn same(program: &[&str]) {
    let (plain, ours) = (run(program, false, &[]), run(program, true, &[]));
    assert_eq!(ours.status, plain.status, "{program:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&ours.stdout), text(&plain.stdout), "{program:?}");
    assert_eq!(text(&ours.stderr), "", "{program:?} must say nothing");
}

fn same_python(script: &str) {
    same(&[
        "env",
        "PYTHONMALLOC=malloc",
        "/usr/bin/python3",
        "-c",
        script,
    ]);
}

#[test]
fn ls() {
    same(&["ls", "-lR", "/etc/default"]);
}

#[test]
fn sort_with_threads() {
    same(&[
        "sh",
        "-c",
        "seq 1 200000 | sort -R --random-source=/etc/passwd | sort -n --parallel=4 | md5sum",
    ]);
}

#[test]
fn python_objects() {
    same_python(
        "d = {str(i): [i] * 10 for i in range(50000)}; print(sum(v[0] for v in d.values()))",
    );
}

#[test]
fn python_threads_and_forks() {
    same_python(
        "
import os, threading
stop = False
def churn():
    while not stop:
        [bytearray(n * 37 % 5000) for n in range(200)]
threads = [threading.Thread(target=churn) for _ in range(3)]
for t in threads: t.start()
for _ in range(50):
    pid = os.fork()
    if pid == 0:
        churn_once = [bytearray(n) for n in range(2000)]
        os._exit(len(churn_once) % 251)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2000 % 251
stop = True
for t in threads: t.join()
print('done')
",
    );
}

/// Every function, through ctypes.
#[test]
fn the_whole_family() {
    same_python(
        "
import ctypes
c = ctypes.CDLL(None, use_errno=True)
P, N = ctypes.c_void_p, ctypes.c_size_t
for f in 'malloc calloc realloc reallocarray memalign aligned_alloc valloc pvalloc'.split():
    getattr(c, f).restype = P
c.malloc_usable_size.restype = N
def use(p, n, align=16):
    assert p and p % align == 0, (p, n, align)
    assert c.malloc_usable_size(P(p)) >= n
    ctypes.memset(p, 0x5a, n)
    return p
for n in [0, 1, 15, 16, 17, 100, 4095, 70000, 1 << 20, 5 << 20]:
    p = use(c.malloc(N(n)), n)
    p = c.realloc(P(p), N(2 * n + 1))
    assert ctypes.string_at(p, n) == b'Z' * n
    c.free(P(p))
    p = c.calloc(N(n), N(3))
    assert ctypes.string_at(p, 3 * n) == bytes(3 * n)
    c.free(P(p))
    for align in [1, 16, 64, 4096, 1 << 21]:
        for f in c.memalign, c.aligned_alloc:
            c.free(P(use(f(N(align), N(n)), n, align)))
    out = P()
    assert c.posix_memalign(ctypes.byref(out), N(256), N(n)) == 0
    c.free(P(use(out.value, n, 256)))
    c.free(P(use(c.valloc(N(n)), n, 4096)))
    c.free(P(use(c.pvalloc(N(n)), (n + 4095) // 4096 * 4096, 4096)))
    c.free(P(use(c.reallocarray(None, N(n), N(2)), 2 * n)))
big = N(1 << 63)
for p in c.malloc(big), c.calloc(big, N(2)), c.reallocarray(None, big, N(2)), c.valloc(big):
    assert p is None
assert ctypes.get_errno() == 12, ctypes.get_errno()
assert c.posix_memalign(ctypes.byref(P()), N(24), N(1)) == 22
assert c.malloc_usable_size(None) == 0
c.free(None)
print('family ok')
",
    );
}

#[test]
fn sqlite() {
    same(&[
        "sqlite3",
        ":memory:",
        "create table t(a, b);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
         insert into t select i, hex(i * 7919 % 65537) from n;
         create index x on t(b);
         select count(*), sum(a), max(b) from t where b > '4';",
    ]);
}

#[test]
fn a_limit_on_addresses_is_no_obstacle() {
    same(&[
        "sh",
        "-c",
        "ulimit -v 2000000; exec /usr/bin/python3 -c 'print(len(bytearray(10**8)))'",
    ]);
}

#[test]
fn a_wrong_free_is_named() {
    // The heap's own addresses are dlmalloc's; an address elsewhere is ours to judge.
    let script = "import ctypes, mmap; m = mmap.mmap(-1, 8192); \
                  a = ctypes.addressof(ctypes.c_char.from_buffer(m)); \
                  ctypes.CDLL(None).free(ctypes.c_void_p(a + 4096))";
    let python = ["/usr/bin/python3", "-c", script];
    let output = run(&python, true, &[]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("not from malloc"), "{errors}");
}

#[test]
fn counts_are_appended_per_process() {
    let file = std::env::temp_dir().join(format!("gmem-stats-{}", std::process::id()));
    let name = file.to_str().unwrap();
    for _ in 0..2 {
        let extra = [("GMEM_RUN_STATS", name), ("GMEM_RUN_SHUFFLE_MS", "10")];
        assert!(run(&["ls", "/"], true, &extra).status.success());
    }
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.lines().all(|line| line.contains("\"errors\":0,")),
        "{text}"
    );
}

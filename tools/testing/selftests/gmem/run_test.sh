#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Unmodified programs with their heap in peer-shared memory, while a thread of
# the preload moves parts of it to a device every 10 ms: results as without.
here=$(dirname "$0")
. "$here/shell_util.sh"
skip_unless_there gmem python3 sqlite3

# A debug kernel moves a page a hundred times slower: less work, and more time between moves.
shuffle=10
scale=1
if [ -n "$GMEM_TEST_SMALL" ]; then
	shuffle=40
	scale=16
fi
export SCALE=$scale

cat >"$work/work.py" <<'PY'
import hashlib
import json
import os
import random
import zlib

scale = int(os.environ["SCALE"])
random.seed(7)
words = ["%x" % random.getrandbits(64) for _ in range(10000 // scale)]
index = {}
for i, word in enumerate(words):
    index.setdefault(word[:3], []).append((i, word))
text = json.dumps({k: sorted(v, key=lambda x: x[1]) for k, v in sorted(index.items())})
packed = zlib.compress(text.encode(), 6)
assert zlib.decompress(packed).decode() == text
back = json.loads(text)
total = sum(i for rows in back.values() for i, _ in rows)
big = bytearray(random.randbytes((1 << 20) // scale))
for step in (1, 4097, 65537):
    big[::step] = bytes(b ^ 0x5A for b in big[::step])
side = 48 // scale + 2
matrix = [[(i * j) % 97 for j in range(side)] for i in range(side)]
product = [[sum(a * b for a, b in zip(row, col)) for col in zip(*matrix)] for row in matrix]
print(total, len(packed), hashlib.sha256(text.encode()).hexdigest())
print(hashlib.sha256(bytes(big)).hexdigest(), sum(map(sum, product)))
PY

cat >"$work/work.sql" <<'SQL'
CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
  INSERT INTO t SELECT i, hex(i * 2654435761 % 4294967296), i * 7919 % 10007 FROM n;
CREATE INDEX tk ON t(k);
UPDATE t SET v = v + length(k) WHERE id % 3 = 0;
DELETE FROM t WHERE id % 11 = 0;
SELECT count(*), sum(v), min(k), max(k) FROM t;
SELECT substr(k, 1, 1) AS p, count(*), sum(v) FROM t GROUP BY p ORDER BY p;
SELECT count(*) FROM t a JOIN t b ON a.v = b.id WHERE b.k > 'A';
PRAGMA integrity_check;
SQL

# stat NAME: a number of the preload's statistics, whatever stands around it.
stat_of() {
	tr -c 'A-Za-z0-9_\n' ' ' <"$work/stats" | tr -s ' ' '\n' |
		awk -v k="$1" 'found { print; exit } $0 == k { found = 1 }'
}

moved_something() {
	moves=$(stat_of moves)
	[ "${moves:-0}" -gt 0 ] && [ "$(vmstat gmem_to_device)" -gt "$before" ]
}

# both NAME INPUT CMD...: run plainly and under gmem, and compare.
both() {
	name=$1 input=$2
	shift 2
	"$@" <"$input" >"$work/plain" 2>&1
	plain=$?
	before=$(vmstat gmem_to_device)
	rm -f "$work/stats"
	GMEM_RUN_SHUFFLE_MS=$shuffle GMEM_RUN_STATS="$work/stats" \
		timeout 240 gmem run "$@" <"$input" >"$work/gmem" 2>&1
	gmem=$?
	result "$name: plain run succeeds" test "$plain" -eq 0
	result "$name: exit status under gmem ($gmem)" test "$gmem" -eq "$plain"
	result "$name: output equal" cmp "$work/plain" "$work/gmem"
	[ -f "$work/stats" ] || : >"$work/stats"
	show "$work/stats"
	result "$name: the heap moved meanwhile" moved_something
	result "$name: no move failed" test "$(stat_of errors)" = 0
}

both python3 /dev/null python3 "$work/work.py"
both sqlite3 "$work/work.sql" sqlite3 -batch :memory:
finish

// SPDX-License-Identifier: GPL-2.0
/*
 * A process for the shell tests to look at: holds MIB of shared memory on the
 * device that NPU 0 is, and does what it reads on its standard input.
 *
 * Usage: hold MIB - prints its pid; then "touch KIB", "check", "use" (NPU 0
 * reads it all), "node" (where its first page is), "quit", each answered with a
 * line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "numa_util.h"

int main(int argc, char **argv)
{
	size_t len = argc > 1 ? strtoul(argv[1], NULL, 0) * MiB : BLOCK;
	int fd = npu_open(0), seed = 9;
	char *buf = buf_alloc(len), line[64];
	unsigned long kib;

	setvbuf(stdout, NULL, _IOLBF, 0);
	buf_fill(buf, len, seed);
	if (to_device(fd, buf, len) || !on_device(buf, len))
		die("hold: not all of it is on the device");
	printf("%d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "touch %lu", &kib) == 1) {
			size_t i;

			for (i = 0; i < kib * KiB; i += page_size())
				(void)*(volatile char *)(buf + i);
			puts("touched");
		} else if (!strncmp(line, "check", 5)) {
			puts(buf_check(buf, len, seed) ? "intact" : "corrupt");
		} else if (!strncmp(line, "use", 3)) {
			puts(npu_run1(fd, cmd_read(buf, len)) ? "failed" : "used");
		} else if (!strncmp(line, "node", 4)) {
			printf("%d\n", page_node(buf));
		} else if (strncmp(line, "quit", 4)) {
			puts("?");
		} else {
			return 0;
		}
	}
	return 0;
}

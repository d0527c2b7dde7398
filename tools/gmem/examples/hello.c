/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * One pointer on the CPU and on an NPU.
 *
 *   cc hello.c -o hello $(pkg-config --cflags --libs gmem)
 */
#include <gmem.h>
#include <stdio.h>

int main(void)
{
	const size_t size = 1 << 20;
	unsigned char *bytes = gmem_alloc(size);
	struct gmem_npu_cmd fill = { .op = GMEM_OP_FILL, .len = size, .arg = { 42 } };
	int npu, error;

	if (!bytes) {
		perror("gmem_alloc");
		return 1;
	}
	npu = gmem_npu_open(0);
	if (npu < 0) {
		fprintf(stderr, "hello: %s\n", gmem_strerror(npu));
		return 1;
	}

	fill.dst = (uintptr_t)bytes;
	error = gmem_npu_run(npu, &fill, 1, NULL);
	if (error) {
		fprintf(stderr, "hello: %s\n", gmem_strerror(error));
		return 1;
	}
	printf("the NPU wrote %u, the CPU reads %u\n", 42, bytes[size / 2]);

	gmem_free(bytes);
	return 0;
}

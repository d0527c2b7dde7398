/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* The C interface on a machine that may have neither GMEM nor a device. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <gmem.h>
#include <stdio.h>
#include <string.h>

#define CHECK(what)							\
	do {								\
		if (!(what)) {						\
			fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
			return 1;					\
		}							\
	} while (0)

int main(void)
{
	const size_t size = 3 << 20;
	unsigned char *bytes = gmem_alloc(size);
	struct gmem_npu_info info;
	const char *map;
	uint64_t job;
	size_t len;
	FILE *file;
	int npu;

	CHECK(bytes && (uintptr_t)bytes % (2 << 20) == 0);
	CHECK(bytes[0] == 0 && bytes[size - 1] == 0);
	memset(bytes, 7, size);
	CHECK(gmem_prefetch(bytes, size, 0) == 0);
	CHECK(gmemPrefetch((unsigned long)bytes, size, 0, NULL) == 0);
	CHECK(gmemPrefetch((unsigned long)bytes, size, 0, bytes) == -EOPNOTSUPP);
	CHECK(gmem_free_eager(bytes + 4096, 4097) == 0);
	CHECK(bytes[4095] == 7 && bytes[4096] == 0 && bytes[8191] == 0 && bytes[8192] == 7);
	CHECK(gmemFreeEager((unsigned long)bytes, size, NULL) == 0);
	CHECK(bytes[0] == 0 && bytes[size - 1] == 0);
	gmem_free(bytes);
	gmem_free(NULL);

	file = tmpfile();
	CHECK(file && fwrite("weights", 1, 7, file) == 7 && fflush(file) == 0);
	map = gmem_map_file(fileno(file), &len);
	CHECK(map && len == 7 && memcmp(map, "weights", 7) == 0);
	gmem_unmap_file(map, len);
	gmem_unmap_file(NULL, 0);
	fclose(file);
	CHECK(gmem_map_file(-1, &len) == NULL && errno == EBADF);

	CHECK(gmem_available() == 0 || gmem_available() == 1);
	CHECK(strstr(gmem_strerror(-ENOSYS), "CONFIG_GMEM"));
	CHECK(gmem_npu_open(-1) == -EINVAL);
	CHECK(gmem_npu_info(-1, &info) == -EBADF);
	CHECK(gmem_npu_submit(0, NULL, 1, -1, &job) == -EINVAL);
	CHECK(gmem_npu_wait(-1, 1, 0, NULL) == -EBADF);
	if (gmem_npu_count() == 0) {
		npu = gmem_npu_open(0);
		CHECK(npu == -ENODEV);
		CHECK(gmemGetNumaId() == -ENODEV);
	}
	puts("c ok");
	return 0;
}

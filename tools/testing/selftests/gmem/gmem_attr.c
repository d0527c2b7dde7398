// SPDX-License-Identifier: GPL-2.0
/* Reads /sys/kernel/debug/gmem/attributes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gmem_attr.h"
#include "gmem_util.h"

const struct attr attr_none = { .preferred = -1, .pinned = -1 };

/* All of the file; the kernel makes it at the first read. */
static char *read_all(void)
{
	size_t size = 1 << 16, len = 0;
	char *text = malloc(size);
	ssize_t got;
	int fd;

	fd = open(ATTR_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("cannot open " ATTR_FILE ": %s", strerror(errno));
	while (text && (got = read(fd, text + len, size - len - 1)) > 0) {
		len += got;
		if (size - len < 4096)
			text = realloc(text, size *= 2);
	}
	close(fd);
	if (!text)
		die("no memory");
	text[len] = 0;
	return text;
}

/* The next line of the process; NULL at the end. */
static char *next_line(char **rest, pid_t pid)
{
	char *line, *end;

	while (**rest) {
		line = *rest;
		end = strchrnul(line, '\n');
		*rest = *end ? end + 1 : end;
		if (strtol(line, NULL, 10) == pid)
			return line;
	}
	return NULL;
}

static uint64_t nodes(const char *text)
{
	uint64_t bits = 0;
	char *end;

	do {
		bits |= 1ULL << strtol(text, &end, 10);
		text = end + 1;
	} while (*end == ',');
	return bits;
}

static struct attr parse(char *line)
{
	struct attr attr = attr_none;
	char *save, *word;

	for (word = strtok_r(line, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		if (!strncmp(word, "preferred=", 10))
			attr.preferred = atoi(word + 10);
		else if (!strncmp(word, "accessed_by=", 12))
			attr.accessed_by = nodes(word + 12);
		else if (!strcmp(word, "read_mostly"))
			attr.read_mostly = 1;
		else if (!strncmp(word, "pinned=", 7))
			attr.pinned = atoi(word + 7);
		else
			die("unknown attribute '%s'", word);
	}
	return attr;
}

void attr_read(const void *buf, size_t pages, struct attr *attr)
{
	char *text = read_all(), *rest = text, *line, *end, *words;
	uint64_t start, stop, page;
	size_t i;

	for (i = 0; i < pages; i++)
		attr[i] = attr_none;
	while ((line = next_line(&rest, getpid()))) {
		start = strtoull(strchr(line, ' '), &end, 16);
		stop = strtoull(end + 1, &end, 16);
		/* In place: the line after this one begins behind its end. */
		words = strndup(end, strchrnul(end, '\n') - end);
		if (!words)
			die("no memory");
		for (page = start; page < stop; page += page_size()) {
			i = (page - (uintptr_t)buf) / page_size();
			if (page >= (uintptr_t)buf && i < pages) {
				char *copy = strdup(words);

				attr[i] = parse(copy);
				free(copy);
			}
		}
		free(words);
	}
	free(text);
}

size_t attr_count(const char *text, pid_t pid)
{
	char *rest = (char *)text;
	size_t nr = 0;

	while (next_line(&rest, pid))
		nr++;
	return nr;
}

size_t attr_lines(void)
{
	char *text = read_all();
	size_t nr = attr_count(text, getpid());

	free(text);
	return nr;
}

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

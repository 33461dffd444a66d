/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feed a target its corpus: a text file with one input per line, as hex
 * digits; '#' begins a comment. Builds of any compiler run it in their tests.
 *
 *     fuzz_NAME CORPUS      replay every line; the last line counts them
 *     fuzz_NAME --raw FILE  one input as libFuzzer writes it (crash-...)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

#define INPUT_MAX 65536

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A heap block of its own, so that a sanitizer sees one byte too far. */
static void
run(const uint8_t *bytes, size_t len)
{
	uint8_t *own = malloc(len != 0 ? len : 1);

	if (own == NULL)
		abort();
	memcpy(own, bytes, len);
	LLVMFuzzerTestOneInput(own, len);
	free(own);
}

/* @return 1 an input was run, 0 nothing in this line, -1 not hex. */
static int
run_line(const char *line)
{
	static uint8_t bytes[INPUT_MAX];
	size_t len = 0;

	if (line[0] == '#')
		return 0;
	for (; digit(line[0]) >= 0 && len < sizeof(bytes); line += 2) {
		if (digit(line[1]) < 0)
			return -1;
		bytes[len++] = (uint8_t)(digit(line[0]) << 4 | digit(line[1]));
	}
	if (*line != '\n' && *line != '\0')
		return -1;
	if (len == 0)
		return 0;
	run(bytes, len);
	return 1;
}

static int
run_corpus(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int number = 0, inputs = 0;
	char *line = NULL;
	size_t room = 0;
	int rc = 0;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	while (rc >= 0 && getline(&line, &room, file) > 0) {
		number++;
		rc = run_line(line);
		if (rc < 0)
			fprintf(stderr, "%s:%u: not hex\n", path, number);
		else
			inputs += (unsigned int)rc;
	}
	free(line);
	fclose(file);
	printf("%s: %u inputs\n", path, inputs);
	return rc < 0 || inputs == 0;
}

static int
run_raw(const char *path)
{
	static uint8_t bytes[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	run(bytes, len);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--raw") == 0)
		return run_raw(argv[2]);
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: %s CORPUS | --raw FILE\n", argv[0]);
		return 2;
	}
	return run_corpus(argv[1]);
}

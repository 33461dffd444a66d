/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Options of the weir program: numbers with units, suggestions, and what each
 * mistake on a command line answers. What is printed is checked too: one line
 * that names the subject.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "exit.h"
#include "opt.h"

static struct {
	bool flag, clear;
	const char *text;
	uint64_t count, size, time;
	int choice;
	int calls;
} got;

static int
count_call(const struct weir_opt *opt, const char *value)
{
	assert_ptr_equal(opt->target, &got.calls);
	if (strcmp(value, "refuse") == 0)
		return WEIR_EXIT_ASSERT;
	got.calls++;
	return WEIR_OPT_RUN;
}

static const char *const choices[] = { "red", "green", "blue", NULL };

static const struct weir_opt options[] = {
	{ 'f', "flag", WEIR_OPT_FLAG, &got.flag, NULL, "a flag" },
	{ 0, "no-clear", WEIR_OPT_CLEAR, &got.clear, NULL, "clears" },
	{ 't', "text", WEIR_OPT_STRING, &got.text, "TEXT", "a text" },
	{ 'n', "count", WEIR_OPT_COUNT, &got.count, "N", "a count", .min = 1,
	  .max = 1000000 },
	{ 's', "size", WEIR_OPT_SIZE, &got.size, "SIZE", "a size" },
	{ 'w', "wait", WEIR_OPT_TIME, &got.time, "TIME", "a time" },
	{ 0, "colour", WEIR_OPT_CHOICE, &got.choice, "C", "a choice",
	  .choices = choices },
	{ 'c', NULL, WEIR_OPT_CALL, &got.calls, "[WHAT]", "a call",
	  .call = count_call },
	{ 0 },
};

static const struct weir_opt common[] = {
	{ 'q', "quiet", WEIR_OPT_FLAG, &got.flag, NULL, "common" },
	{ 's', "same-letter", WEIR_OPT_FLAG, &got.clear, NULL, "loses" },
	{ 0 },
};

static struct weir_opt_command command = {
	.name = "weir test",
	.usage = "[OPTION]... THING",
	.summary = "summary",
	.options = options,
	.args_max = 2,
};

static char said[4096];

/* Parse a line of words; what goes to stdout and stderr ends up in said. */
static int
parse(const char *line, int *argc, char ***argv)
{
	static char words[256];
	static char *list[32];
	int count = 0, rc, out = dup(1), err = dup(2);
	FILE *file = tmpfile();
	size_t len;

	snprintf(words, sizeof(words), "test %s", line);
	for (char *word = strtok(words, " "); word != NULL;
	     word = strtok(NULL, " "))
		list[count++] = word;
	list[count] = NULL;
	*argc = count;
	*argv = list;
	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	rc = weir_opt_parse(&command, argc, argv);
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	rewind(file);
	len = fread(said, 1, sizeof(said) - 1, file);
	said[len] = '\0';
	fclose(file);
	return rc;
}

static int
setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	got.clear = true;
	weir_opt_set_common(common);
	command.stop = false;
	command.args_min = 0;
	return 0;
}

static void
numbers_have_units(void **state)
{
	static const struct {
		const char *text;
		int (*parse)(const char *, uint64_t *);
		int rc;
		uint64_t value;
	} cases[] = {
		{ "0", weir_opt_count, 0, 0 },
		{ "10k", weir_opt_count, 0, 10000 },
		{ "1.5M", weir_opt_count, 0, 1500000 },
		{ "2G", weir_opt_count, 0, UINT64_C(2000000000) },
		{ "64Ki", weir_opt_size, 0, 65536 },
		{ "16Mi", weir_opt_size, 0, 16777216 },
		{ "16MiB", weir_opt_size, 0, 16777216 },
		{ "10B", weir_opt_size, 0, 10 },
		{ "50us", weir_opt_time, 0, 50000 },
		{ "1.5s", weir_opt_time, 0, 1500000000 },
		{ "2m", weir_opt_time, 0, UINT64_C(120000000000) },
		{ "10", weir_opt_time, 0, UINT64_C(10000000000) },
		{ "18446744073709551615", weir_opt_count, 0, UINT64_MAX },
		{ "18446744073709551616", weir_opt_count, -ERANGE, 0 },
		{ "99999999999G", weir_opt_count, -ERANGE, 0 },
		{ "", weir_opt_count, -EINVAL, 0 },
		{ "k", weir_opt_count, -EINVAL, 0 },
		{ "-1", weir_opt_count, -EINVAL, 0 },
		{ "+1", weir_opt_count, -EINVAL, 0 },
		{ " 1", weir_opt_count, -EINVAL, 0 },
		{ "1 k", weir_opt_count, -EINVAL, 0 },
		{ "1.k", weir_opt_count, -EINVAL, 0 },
		{ "1.5", weir_opt_count, -EINVAL, 0 },
		{ "1KB2", weir_opt_size, -EINVAL, 0 },
		{ "B", weir_opt_size, -EINVAL, 0 },
		{ "10x", weir_opt_time, -EINVAL, 0 },
		{ "0x10", weir_opt_size, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 4711;

		print_message("%s\n", cases[i].text);
		assert_int_equal(cases[i].parse(cases[i].text, &value),
				 cases[i].rc);
		/* Nothing is written on failure. */
		assert_int_equal(value,
				 cases[i].rc == 0 ? cases[i].value : 4711);
	}
}

static void
a_slip_finds_the_word(void **state)
{
	static const char *const names[] = { "frame", "count", "listen",
					     "hex",   "cat",   NULL };

	(void)state;
	assert_string_equal(weir_opt_nearest("frmae", names), "frame");
	assert_string_equal(weir_opt_nearest("fram", names), "frame");
	assert_string_equal(weir_opt_nearest("conut", names), "count");
	assert_string_equal(weir_opt_nearest("listne", names), "listen");
	assert_string_equal(weir_opt_nearest("hx", names), "hex");
	assert_string_equal(weir_opt_nearest("cta", names), "cat");
	assert_null(weir_opt_nearest("zzzzz", names));
	assert_null(weir_opt_nearest("", names));
	assert_null(weir_opt_nearest("a-word-that-is-far-longer-than-any-name",
				     names));
}

static void
every_type_reaches_its_target(void **state)
{
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(parse("-f --no-clear --text=hi -n 5k -s 4Ki "
			       "--wait 3ms --colour blue -c -cx one two",
			       &argc, &argv),
			 WEIR_OPT_RUN);
	assert_true(got.flag);
	assert_false(got.clear);
	assert_string_equal(got.text, "hi");
	assert_int_equal(got.count, 5000);
	assert_int_equal(got.size, 4096);
	assert_int_equal(got.time, 3000000);
	assert_int_equal(got.choice, 2);
	assert_int_equal(got.calls, 2);
	assert_int_equal(argc, 2);
	assert_string_equal(argv[0], "one");
	assert_string_equal(argv[1], "two");
	assert_string_equal(said, "");
}

static void
options_and_arguments_mix_unless_told(void **state)
{
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(parse("one -f", &argc, &argv), WEIR_OPT_RUN);
	assert_true(got.flag);
	assert_int_equal(argc, 1);

	got.flag = false;
	command.stop = true;
	assert_int_equal(parse("one -f", &argc, &argv), WEIR_OPT_RUN);
	assert_false(got.flag);
	assert_int_equal(argc, 2);
	assert_string_equal(argv[1], "-f");

	command.stop = false;
	assert_int_equal(parse("-- -f", &argc, &argv), WEIR_OPT_RUN);
	assert_false(got.flag);
	assert_string_equal(argv[0], "-f");
}

static void
the_command_wins_over_common_options(void **state)
{
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(parse("-s 1 --quiet", &argc, &argv), WEIR_OPT_RUN);
	assert_int_equal(got.size, 1);
	assert_true(got.clear);
	assert_true(got.flag);
}

/* One line on stderr that begins with "weir: " and holds a word. */
static void
expect_refusal(const char *line, int rc, const char *word)
{
	char **argv;
	int argc;

	assert_int_equal(parse(line, &argc, &argv), rc);
	print_message("%s", said);
	assert_memory_equal(said, "weir: ", 6);
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	assert_non_null(strchr(said, ';'));
	assert_non_null(strstr(said, word));
}

static void
every_mistake_is_one_line(void **state)
{
	(void)state;
	expect_refusal("--colr=red", WEIR_EXIT_USAGE, "--colour?");
	expect_refusal("--zzzzzz", WEIR_EXIT_USAGE, "'weir test --help'");
	expect_refusal("-z", WEIR_EXIT_USAGE, "-z");
	expect_refusal("-n", WEIR_EXIT_USAGE, "needs a value");
	expect_refusal("--count", WEIR_EXIT_USAGE, "needs a value");
	expect_refusal("--flag=1", WEIR_EXIT_USAGE, "takes no value");
	expect_refusal("-n 0", WEIR_EXIT_USAGE, "1 to 1000000");
	expect_refusal("-n 1000001", WEIR_EXIT_USAGE, "1 to 1000000");
	expect_refusal("-n 5x", WEIR_EXIT_USAGE, "not a number");
	expect_refusal("-s big", WEIR_EXIT_USAGE, "not a size");
	expect_refusal("-w 5y", WEIR_EXIT_USAGE, "not a time");
	expect_refusal("--colour=pink", WEIR_EXIT_USAGE, "red, green or blue");
	expect_refusal("a b c", WEIR_EXIT_USAGE, "too many");
	command.args_min = 1;
	expect_refusal("-f", WEIR_EXIT_USAGE, "usage: weir test");
}

static void
a_call_may_end_the_program(void **state)
{
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(parse("-crefuse", &argc, &argv), WEIR_EXIT_ASSERT);
	assert_int_equal(got.calls, 0);
}

static void
help_names_every_option(void **state)
{
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(parse("--help", &argc, &argv), WEIR_EXIT_OK);
	assert_memory_equal(said, "usage: weir test [OPTION]... THING\n", 35);
	for (int i = 0; options[i].letter != 0 || options[i].name != NULL; i++)
		assert_non_null(strstr(said, options[i].help));
	assert_non_null(strstr(said, "--quiet"));
	assert_non_null(strstr(said, "--count=N"));
	assert_null(strstr(said, "same-letter"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_units),
		cmocka_unit_test(a_slip_finds_the_word),
		cmocka_unit_test_setup(every_type_reaches_its_target, setup),
		cmocka_unit_test_setup(options_and_arguments_mix_unless_told,
				       setup),
		cmocka_unit_test_setup(the_command_wins_over_common_options,
				       setup),
		cmocka_unit_test_setup(every_mistake_is_one_line, setup),
		cmocka_unit_test_setup(a_call_may_end_the_program, setup),
		cmocka_unit_test_setup(help_names_every_option, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

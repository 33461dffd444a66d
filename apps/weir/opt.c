/* SPDX-License-Identifier: BSD-3-Clause */
#include "opt.h"

/*
 * Parsing by getopt_long() from a command's table. getopt knows an option by
 * a number: its place in the table (the common table follows the command's)
 * plus OPT_BASE, so that a number is never a letter.
 */

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exit.h"

#define OPT_BASE 256
#define OPT_MAX  64

/* Both tables of a command, as one list. */
struct opt_list {
	const struct weir_opt_command *command;
	const struct weir_opt *opt[OPT_MAX];
	int count;
	char letters[2 + 3 * OPT_MAX];
	struct option longs[OPT_MAX + 1];
};

static bool help_wanted;

static int
wants_help(const struct weir_opt *opt, const char *value)
{
	(void)opt;
	(void)value;
	help_wanted = true;
	return WEIR_OPT_RUN;
}

static const struct weir_opt help_option[] = {
	{ 'h', "help", WEIR_OPT_CALL, NULL, NULL, "print this text and stop",
	  .call = wants_help },
	{ 0 },
};

static const struct weir_opt *common_options = help_option + 1;

void
weir_opt_set_common(const struct weir_opt *options)
{
	common_options = options;
}

__attribute__((format(printf, 1, 2))) static int
complain(const char *format, ...)
{
	va_list ap;

	fputs("weir: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return WEIR_EXIT_USAGE;
}

/* ---- numbers -------------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit count_units[] = {
	{ "", 1 },
	{ "k", 1000 },
	{ "K", 1000 },
	{ "M", 1000000 },
	{ "G", 1000000000 },
	{ "Ki", UINT64_C(1) << 10 },
	{ "Mi", UINT64_C(1) << 20 },
	{ "Gi", UINT64_C(1) << 30 },
	{ NULL, 0 },
};

static const struct unit time_units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "", 1000000000 },
	{ "m", UINT64_C(60000000000) },
	{ "min", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
	{ NULL, 0 },
};

/* Digits, maybe a point and up to nine more, then a unit. */
static int
parse_scaled(const char *text, const struct unit *unit, uint64_t *value)
{
	unsigned __int128 number = 0;
	uint64_t divisor = 1;
	const char *at = text;

	for (; isdigit((unsigned char)*at); at++) {
		number = number * 10 + (unsigned int)(*at - '0');
		if (number > UINT64_MAX)
			return -ERANGE;
	}
	if (at == text)
		return -EINVAL;
	if (*at == '.') {
		const char *point = at++;

		for (; isdigit((unsigned char)*at) && at - point <= 9; at++) {
			number = number * 10 + (unsigned int)(*at - '0');
			divisor *= 10;
		}
		if (at == point + 1 || *at == '\0')
			return -EINVAL;
	}
	while (unit->name != NULL && strcmp(unit->name, at) != 0)
		unit++;
	if (unit->name == NULL)
		return -EINVAL;
	number = number * unit->factor / divisor;
	if (number > UINT64_MAX)
		return -ERANGE;
	*value = (uint64_t)number;
	return 0;
}

int
weir_opt_count(const char *text, uint64_t *value)
{
	return parse_scaled(text, count_units, value);
}

int
weir_opt_size(const char *text, uint64_t *bytes)
{
	size_t len = strlen(text);
	char copy[32];

	/* "64KiB" and "10B" mean what they say. */
	if (len > 1 && len < sizeof(copy) && text[len - 1] == 'B') {
		memcpy(copy, text, len - 1);
		copy[len - 1] = '\0';
		text = copy;
	}
	return parse_scaled(text, count_units, bytes);
}

int
weir_opt_time(const char *text, uint64_t *ns)
{
	return parse_scaled(text, time_units, ns);
}

/* ---- suggestions ------------------------------------------------------------ */

#define WORD_MAX 32

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Edits that turn a into b: insert, delete, replace, swap neighbours. */
static unsigned int
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++)
		for (size_t j = 1; j <= lb; j++) {
			unsigned int cost = a[i - 1] != b[j - 1];

			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
					d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[la][lb];
}

const char *
weir_opt_nearest(const char *word, const char *const *names)
{
	size_t len = strlen(word);
	unsigned int limit = (unsigned int)(len < 3 ? 1 : 1 + len / 4);
	unsigned int best = limit + 1;
	const char *found = NULL;

	for (; *names != NULL; names++) {
		unsigned int d = distance(word, *names);

		/* A long enough beginning is as good as one slip. */
		if (len >= 3 && strncmp(word, *names, len) == 0)
			d = least(d, 1);
		if (d < best) {
			best = d;
			found = *names;
		}
	}
	return found;
}

/* ---- parsing ------------------------------------------------------------------ */

static bool
has_option(const struct opt_list *list, const struct weir_opt *opt)
{
	for (int i = 0; i < list->count; i++) {
		if (opt->letter != 0 && list->opt[i]->letter == opt->letter)
			return true;
		if (opt->name != NULL && list->opt[i]->name != NULL &&
		    strcmp(list->opt[i]->name, opt->name) == 0)
			return true;
	}
	return false;
}

/* getopt's word for it: no value, a value, or a value that may be absent. */
static int
value_kind(const struct weir_opt *opt)
{
	if (opt->value == NULL)
		return no_argument;
	return opt->value[0] == '[' ? optional_argument : required_argument;
}

static void
add_options(struct opt_list *list, const struct weir_opt *opt)
{
	for (; opt->letter != 0 || opt->name != NULL; opt++) {
		if (list->count == OPT_MAX || has_option(list, opt))
			continue;
		list->opt[list->count++] = opt;
	}
}

/* What getopt_long() wants to know. */
static void
list_options(struct opt_list *list, const struct weir_opt_command *command)
{
	char *letters = list->letters;
	int longs = 0;

	memset(list, 0, sizeof(*list));
	list->command = command;
	if (command->options != NULL)
		add_options(list, command->options);
	add_options(list, help_option);
	add_options(list, common_options);
	if (command->stop)
		*letters++ = '+';
	*letters++ = ':';
	for (int i = 0; i < list->count; i++) {
		const struct weir_opt *opt = list->opt[i];

		if (opt->letter != 0) {
			*letters++ = opt->letter;
			for (int n = value_kind(opt); n > 0; n--)
				*letters++ = ':';
		}
		if (opt->name != NULL)
			list->longs[longs++] =
				(struct option){ opt->name, value_kind(opt),
						 NULL, OPT_BASE + i };
	}
}

static const struct weir_opt *
find_option(const struct opt_list *list, int got)
{
	if (got >= OPT_BASE && got < OPT_BASE + list->count)
		return list->opt[got - OPT_BASE];
	for (int i = 0; i < list->count; i++)
		if (got != 0 && list->opt[i]->letter == got)
			return list->opt[i];
	return NULL;
}

/* "--frame", or "-l" if it has no long name. */
static const char *
option_name(const struct weir_opt *opt)
{
	static char name[64];

	if (opt->name != NULL)
		snprintf(name, sizeof(name), "--%s", opt->name);
	else
		snprintf(name, sizeof(name), "-%c", opt->letter);
	return name;
}

/* getopt refused the word: say which one, and what was meant perhaps. */
static int
refuse_word(const struct opt_list *list, const char *word)
{
	const char *names[OPT_MAX + 1];
	const char *end = strchr(word, '=');
	const char *near;
	char bare[WORD_MAX + 1];
	int count = 0, len;

	if (word[0] != '-' || word[1] != '-')
		return complain("-%c: no such option; '%s --help' lists them",
				optopt, list->command->name);
	len = end != NULL ? (int)(end - word - 2) : (int)strlen(word) - 2;
	snprintf(bare, sizeof(bare), "%.*s", len, word + 2);
	for (int i = 0; i < list->count; i++)
		if (list->opt[i]->name != NULL && list->opt[i]->help != NULL)
			names[count++] = list->opt[i]->name;
	names[count] = NULL;
	near = weir_opt_nearest(bare, names);
	if (near != NULL)
		return complain("--%s: no such option; did you mean --%s?",
				bare, near);
	return complain("--%s: no such option; '%s --help' lists them", bare,
			list->command->name);
}

static int
refuse(const struct opt_list *list, int got, const char *word)
{
	const struct weir_opt *opt = find_option(list, optopt);

	if (got == ':' && opt != NULL)
		return complain("%s: needs a value; give %s %s",
				option_name(opt), option_name(opt), opt->value);
	if (opt != NULL && optopt >= OPT_BASE)
		return complain("%s: takes no value; leave out what follows "
				"the '='",
				option_name(opt));
	return refuse_word(list, word);
}

static int
set_number(const struct weir_opt *opt, const char *text)
{
	uint64_t *target = opt->target;
	uint64_t value = 0;
	int rc;

	if (opt->type == WEIR_OPT_TIME)
		rc = weir_opt_time(text, &value);
	else if (opt->type == WEIR_OPT_SIZE)
		rc = weir_opt_size(text, &value);
	else
		rc = weir_opt_count(text, &value);
	if (rc == -EINVAL)
		return complain("%s: '%s' is not a %s; write it as %s",
				option_name(opt), text,
				opt->type == WEIR_OPT_TIME   ? "time"
				: opt->type == WEIR_OPT_SIZE ? "size"
							     : "number",
				opt->type == WEIR_OPT_TIME
					? "50us, 10s or 2m"
					: "1000, 64k or 16Mi");
	if (rc != 0 || value < opt->min || (opt->max != 0 && value > opt->max))
		return complain(
			"%s: %s is out of range; give %llu to %llu",
			option_name(opt), text, (unsigned long long)opt->min,
			(unsigned long long)(opt->max != 0 ? opt->max
							   : UINT64_MAX));
	*target = value;
	return WEIR_OPT_RUN;
}

/* "line, length or file". */
static const char *
choice_list(const char *const *choices)
{
	static char text[256];
	size_t used = 0;

	for (int i = 0; choices[i] != NULL && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s%s",
					 i == 0                   ? ""
					 : choices[i + 1] == NULL ? " or "
								  : ", ",
					 choices[i]);
	return text;
}

static int
set_choice(const struct weir_opt *opt, const char *text)
{
	for (int i = 0; opt->choices[i] != NULL; i++)
		if (strcmp(opt->choices[i], text) == 0) {
			*(int *)opt->target = i;
			return WEIR_OPT_RUN;
		}
	return complain("%s: there is no '%s'; give %s", option_name(opt), text,
			choice_list(opt->choices));
}

static int
set_option(const struct weir_opt *opt, const char *text)
{
	switch (opt->type) {
	case WEIR_OPT_FLAG:
		*(bool *)opt->target = true;
		return WEIR_OPT_RUN;
	case WEIR_OPT_CLEAR:
		*(bool *)opt->target = false;
		return WEIR_OPT_RUN;
	case WEIR_OPT_STRING:
		*(const char **)opt->target = text;
		return WEIR_OPT_RUN;
	case WEIR_OPT_CHOICE:
		return set_choice(opt, text);
	case WEIR_OPT_CALL:
		return opt->call(opt, text != NULL ? text : "");
	default:
		return set_number(opt, text);
	}
}

static int
check_args(const struct weir_opt_command *command, int count, char **args)
{
	const char *word = strrchr(command->name, ' ');

	word = word != NULL ? word + 1 : command->name;
	if (count < command->args_min)
		return complain("%s: an argument is missing; usage: %s %s",
				word, command->name, command->usage);
	if (command->args_max >= 0 && count > command->args_max)
		return complain("%s: one argument too many; usage: %s %s",
				args[command->args_max], command->name,
				command->usage);
	return WEIR_OPT_RUN;
}

int
weir_opt_parse(const struct weir_opt_command *command, int *argc, char ***argv)
{
	struct opt_list list;
	int got, rc;

	list_options(&list, command);
	help_wanted = false;
	opterr = 0;
	optind = 0; /* glibc: start afresh, a command may parse twice */
	while ((got = getopt_long(*argc, *argv, list.letters, list.longs,
				  NULL)) != -1) {
		const char *word = (*argv)[optind - 1];
		const struct weir_opt *opt;

		if (got == '?' || got == ':')
			return refuse(&list, got, word);
		opt = find_option(&list, got);
		rc = set_option(opt, optarg);
		if (rc != WEIR_OPT_RUN)
			return rc;
		if (help_wanted) {
			weir_opt_help(command);
			return WEIR_EXIT_OK;
		}
	}
	*argc -= optind;
	*argv += optind;
	return check_args(command, *argc, *argv);
}

/* ---- help ---------------------------------------------------------------------- */

#define HELP_COLUMN 28

static void
help_option_line(const struct weir_opt *opt)
{
	char left[80];
	int used = 0;

	if (opt->help == NULL)
		return;
	used = opt->letter == 0
		       ? snprintf(left, sizeof(left), "      ")
		       : snprintf(left, sizeof(left), "  -%c%s", opt->letter,
				  opt->name != NULL ? ", " : "");
	if (opt->name != NULL)
		used += snprintf(left + used, sizeof(left) - (size_t)used,
				 "--%s", opt->name);
	if (opt->value != NULL)
		used += snprintf(left + used, sizeof(left) - (size_t)used,
				 "%s%s", opt->name != NULL ? "=" : " ",
				 opt->value);
	if (used < HELP_COLUMN)
		printf("%-*s%s\n", HELP_COLUMN, left, opt->help);
	else
		printf("%s\n%*s%s\n", left, HELP_COLUMN, "", opt->help);
}

void
weir_opt_help(const struct weir_opt_command *command)
{
	struct opt_list list;
	int own = 0;

	list_options(&list, command);
	printf("usage: %s %s\n%s\n", command->name, command->usage,
	       command->summary);
	if (command->options != NULL)
		while (command->options[own].letter != 0 ||
		       command->options[own].name != NULL)
			own++;
	if (own > 0)
		puts("\nOptions:");
	for (int i = 0; i < own; i++)
		help_option_line(list.opt[i]);
	puts("\nCommon options:");
	for (int i = own; i < list.count; i++)
		help_option_line(list.opt[i]);
	if (command->details != NULL)
		printf("\n%s\n", command->details);
}

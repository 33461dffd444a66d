/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * weir check [ENDPOINT]: the state of this machine for weir, and what the
 * endpoint would get here. Exit code 0, or 3 if something must be mended.
 */

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

static struct check check;
static bool as_json;

static const struct weir_opt options[] = {
	{ 'J', "json", WEIR_OPT_FLAG, &as_json, NULL, "one JSON object" },
	{ 0, "clean", WEIR_OPT_FLAG, &check.clean, NULL,
	  "remove what dead processes left behind" },
	{ 0 },
};

static const struct weir_opt_command command = {
	.name = "weir check",
	.usage = "[OPTION]... [ENDPOINT]",
	.summary = "is this machine ready, and for this endpoint?",
	.details = "Examples: weir check, weir check shm:, "
		   "weir check dpdk:10.0.0.1:7400,dev=net_af_packet0,"
		   "dev.iface=eth0\nExit codes: 0 ready, 2 usage, 3 something "
		   "must be mended first.",
	.options = options,
	.args_max = 1,
};

static const char *const state_names[] = { "ok", "info", "warn", "fail" };

/* ---- findings ---------------------------------------------------------------- */

struct check_finding *
weir_check_add(struct check *c, enum check_state state, const char *name,
	       const char *format, ...)
{
	static struct check_finding spare;
	struct check_finding *finding = &spare;
	va_list ap;

	if (c->count < CHECK_FINDINGS_MAX)
		finding = &c->findings[c->count++];
	*finding = (struct check_finding){ .state = state };
	snprintf(finding->name, sizeof(finding->name), "%s", name);
	va_start(ap, format);
	vsnprintf(finding->value, sizeof(finding->value), format, ap);
	va_end(ap);
	return finding;
}

void
weir_check_effect(struct check_finding *finding, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(finding->effect, sizeof(finding->effect), format, ap);
	va_end(ap);
}

void
weir_check_fix(struct check_finding *finding, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(finding->fix, sizeof(finding->fix), format, ap);
	va_end(ap);
}

bool
weir_check_read(char *line, size_t size, const char *format, ...)
{
	char path[256];
	va_list ap;
	FILE *file;
	bool good;

	va_start(ap, format);
	vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	good = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (good)
		line[strcspn(line, "\n")] = '\0';
	return good;
}

const char *
weir_check_bytes(uint64_t bytes)
{
	static char texts[4][24];
	static unsigned int turn;
	char *text = texts[turn++ % 4];

	if (bytes >= UINT64_C(10) << 30)
		snprintf(text, 24, "%llu GiB",
			 (unsigned long long)(bytes >> 30));
	else if (bytes >= 1u << 20)
		snprintf(text, 24, "%llu MiB",
			 (unsigned long long)(bytes >> 20));
	else if (bytes >= 1024)
		snprintf(text, 24, "%llu KiB",
			 (unsigned long long)(bytes >> 10));
	else
		snprintf(text, 24, "%llu B", (unsigned long long)bytes);
	return text;
}

/* ---- target -------------------------------------------------------------------- */

static void
take_key(const char *endpoint, const char *key, char *value, size_t size)
{
	size_t len = strlen(key);
	const char *at = endpoint;

	while ((at = strchr(at, ',')) != NULL) {
		at++;
		if (strncmp(at, key, len) == 0 && at[len] == '=') {
			snprintf(value, size, "%.*s",
				 (int)strcspn(at + len + 1, ","), at + len + 1);
			return;
		}
	}
}

static int
read_target(struct check_target *target, const char *arg)
{
	int rc = weir_tool_endpoint(arg, target->endpoint);

	if (rc != 0)
		return rc;
	target->given = true;
	snprintf(target->scheme, sizeof(target->scheme), "%.*s",
		 (int)strcspn(arg, ":"), arg);
	take_key(target->endpoint, "dev", target->device,
		 sizeof(target->device));
	take_key(target->endpoint, "dev.iface", target->interface,
		 sizeof(target->interface));
	return 0;
}

/* ---- printing ------------------------------------------------------------------- */

static void
print_human(void)
{
	static const char *const colors[] = { "\033[32m", "\033[36m",
					      "\033[33m", "\033[31m" };

	for (unsigned int i = 0; i < check.count; i++) {
		const struct check_finding *f = &check.findings[i];

		if (weir_tool.quiet && f->state < CHECK_WARN)
			continue;
		printf("%s%-4s%s  %-11s %s%s%s\n",
		       weir_tool.no_color ? "" : colors[f->state],
		       state_names[f->state],
		       weir_tool.no_color ? "" : "\033[0m", f->name, f->value,
		       f->effect[0] != '\0' ? "; " : "", f->effect);
		if (f->fix[0] != '\0')
			printf("%18sfix: %s\n", "", f->fix);
	}
}

static void
print_json(bool ready)
{
	json_t *root = json_object(), *list = json_array();

	for (unsigned int i = 0; i < check.count; i++) {
		const struct check_finding *f = &check.findings[i];

		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:s,s:s}", "state",
					state_names[f->state], "name", f->name,
					"value", f->value, "effect", f->effect,
					"fix", f->fix));
	}
	json_object_set_new(root, "schema", json_string("weir.check/1"));
	json_object_set_new(root, "endpoint",
			    check.target.given
				    ? json_string(check.target.endpoint)
				    : json_null());
	json_object_set_new(root, "ready", json_boolean(ready));
	json_object_set_new(root, "findings", list);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

int
weir_cmd_check(int argc, char **argv)
{
	int rc = weir_opt_parse(&command, &argc, &argv);
	bool ready = true;

	if (rc == WEIR_OPT_RUN && argc == 1)
		rc = read_target(&check.target, argv[0]);
	if (rc != WEIR_OPT_RUN && rc != 0)
		return rc;
	if (rc == WEIR_EXIT_OK && argc != 1)
		return rc; /* --help */

	weir_check_cpu(&check);
	weir_check_memory(&check);
	weir_check_leftovers(&check);
	weir_check_device(&check);
	weir_check_endpoint(&check);
	for (unsigned int i = 0; i < check.count; i++)
		if (check.findings[i].state == CHECK_FAIL)
			ready = false;
	if (as_json)
		print_json(ready);
	else
		print_human();
	return ready ? WEIR_EXIT_OK : WEIR_EXIT_NOT_READY;
}

/* SPDX-License-Identifier: BSD-3-Clause */

/* weir info: what this weir is, how it was built, what it can carry. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "driver_load.h"
#include "tool.h"

#ifdef WEIR_DEBUG
#define MISUSE_CHECKS "on"
#else
#define MISUSE_CHECKS "off"
#endif

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static bool as_json;

static const struct weir_opt options[] = {
	{ 'J', "json", WEIR_OPT_FLAG, &as_json, NULL, "one JSON object" },
	{ 0 },
};

static const struct weir_opt_command command = {
	.name = "weir info",
	.usage = "[OPTION]...",
	.summary = "version, build, drivers, DPDK and limits",
	.options = options,
};

/* What a user should know before choosing; NULL ends a list. */
static const struct property {
	const char *scheme;
	const char *carries;
	const char *notes[5];
} properties[] = {
	{ "mem",
	  "messages between threads of one process",
	  { "needs nothing; the reference for the others" } },
	{ "shm",
	  "messages between processes of one machine",
	  { "no root, no huge pages needed, no poller",
	    "peers need not trust each other; a killed peer is reported" } },
	{ "dpdk",
	  "messages over any DPDK device, between machines too",
	  { "its port is polled by the thread that opened it",
	    "without dev=: a memif pair between two processes of this machine",
	    "memif is for trusted, cooperating peers: when one is killed, "
	    "DPDK's memif can take the other down",
	    "as root: dev=net_af_packet0,dev.iface=IF or "
	    "dev=net_af_xdp0,dev.iface=IF" } },
};

static const struct {
	const char *name;
	const char *unit;
	uint64_t value;
} limits[] = {
	{ "message_size_default", "bytes", WEIR_MSG_SIZE_DEFAULT },
	{ "message_size_max", "bytes", WEIR_MSG_SIZE_LIMIT },
	{ "endpoint_length_max", "characters", WEIR_TOOL_ENDPOINT_MAX - 1 },
};

static const struct property *
property_of(const char *scheme)
{
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if (strcmp(properties[i].scheme, scheme) == 0)
			return &properties[i];
	return NULL;
}

/* Every driver there is; dpdk also when its library cannot be loaded. */
static json_t *
driver_object(const char *scheme)
{
	const struct property *property = property_of(scheme);
	const struct weir_driver *driver = weir_driver_find(scheme, 0);
	json_t *object = json_object(), *notes = json_array();

	json_object_set_new(object, "scheme", json_string(scheme));
	json_object_set_new(object, "available", json_boolean(driver != NULL));
	if (driver == NULL)
		json_object_set_new(object, "reason",
				    json_string(weir_driver_load_error()));
	if (property != NULL) {
		json_object_set_new(object, "carries",
				    json_string(property->carries));
		for (int i = 0; i < 5 && property->notes[i] != NULL; i++)
			json_array_append_new(notes,
					      json_string(property->notes[i]));
	}
	json_object_set_new(object, "notes", notes);
	if (driver != NULL)
		json_object_set_new(object, "stable_mode",
				    json_boolean(weir_driver_supports(
					    driver, WEIR_MODE_STABLE)));
	return object;
}

static json_t *
collect(void)
{
	json_t *root = json_object(), *list = json_array();
	json_t *bounds = json_object();
	const struct weir_driver *driver;

	(void)weir_driver_load("dpdk");
	json_object_set_new(root, "schema", json_string("weir.info/1"));
	json_object_set_new(root, "version", json_string(weir_version()));
	json_object_set_new(root, "build",
			    json_pack("{s:s,s:s,s:s}", "type", WEIR_BUILD_TYPE,
				      "compiler", COMPILER, "misuse_checks",
				      MISUSE_CHECKS));
	for (unsigned int i = 0; (driver = weir_driver_find(NULL, i)); i++)
		json_array_append_new(
			list, driver_object(weir_driver_scheme(driver)));
	if (weir_driver_find("dpdk", 0) == NULL)
		json_array_append_new(list, driver_object("dpdk"));
	json_object_set_new(root, "drivers", list);
	json_object_set_new(root, "dpdk",
			    weir_driver_dpdk_version() != NULL
				    ? json_string(weir_driver_dpdk_version())
				    : json_null());
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		json_object_set_new(bounds, limits[i].name,
				    json_integer((json_int_t)limits[i].value));
	json_object_set_new(root, "limits", bounds);
	return root;
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static void
print_driver(const json_t *driver)
{
	json_t *note;
	size_t i;

	printf("%-12s%s:%*s%s\n", "driver", text_of(driver, "scheme"),
	       (int)(6 - strlen(text_of(driver, "scheme"))), "",
	       text_of(driver, "carries"));
	if (!json_is_true(json_object_get(driver, "available")))
		printf("%19snot available: %s\n", "",
		       text_of(driver, "reason"));
	json_array_foreach(json_object_get(driver, "notes"), i, note)
		printf("%19s%s\n", "", json_string_value(note));
}

static void
print_human(const json_t *root)
{
	json_t *build = json_object_get(root, "build"), *driver;
	size_t i;

	printf("%-12s%s\n", "weir", text_of(root, "version"));
	printf("%-12s%s, compiler %s, misuse checks %s\n", "build",
	       text_of(build, "type"), text_of(build, "compiler"),
	       text_of(build, "misuse_checks"));
	printf("%-12s%s\n", "dpdk",
	       json_is_string(json_object_get(root, "dpdk"))
		       ? text_of(root, "dpdk")
		       : "not available");
	json_array_foreach(json_object_get(root, "drivers"), i, driver)
		print_driver(driver);
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		printf("%-12s%s %llu %s\n", "limit", limits[i].name,
		       (unsigned long long)limits[i].value, limits[i].unit);
}

int
weir_cmd_info(int argc, char **argv)
{
	int rc = weir_opt_parse(&command, &argc, &argv);
	json_t *root;

	if (rc != WEIR_OPT_RUN)
		return rc;
	root = collect();
	if (as_json) {
		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_human(root);
	}
	json_decref(root);
	return WEIR_EXIT_OK;
}

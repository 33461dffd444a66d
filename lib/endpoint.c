/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Endpoints: scheme:address[,key=value]... taken apart, and their values read.
 * Every refusal names the endpoint, what is wrong with it and what to write.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

static const char *
take_scheme(char *text)
{
	char *colon = strchr(text, ':');

	if (colon == NULL || colon == text)
		return NULL;
	for (const char *c = text; c < colon; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ||
		      *c == '-' || *c == '_'))
			return NULL;
	*colon = '\0';
	return colon + 1;
}

/* Cut the next ",key=value" off. @return 0; -EINVAL. */
static int
take_key(struct weir_endpoint *ep, const char *whole, char *item)
{
	char *equals = strchr(item, '=');

	if (equals == NULL || equals == item)
		return weir_fail(-EINVAL,
				 "endpoint '%s': '%s' is not key=value; write "
				 "scheme:address,key=value",
				 whole, item);
	*equals = '\0';
	if (weir_endpoint_get(ep, item) != NULL)
		return weir_fail(-EINVAL,
				 "endpoint '%s': key '%s' is given twice; "
				 "leave one out",
				 whole, item);
	if (ep->key_count == WEIR_ENDPOINT_KEYS_MAX)
		return weir_fail(-EINVAL,
				 "endpoint '%s': more than %d keys; leave some "
				 "out",
				 whole, WEIR_ENDPOINT_KEYS_MAX);
	ep->keys[ep->key_count].key = item;
	ep->keys[ep->key_count].value = equals + 1;
	ep->key_count++;
	return 0;
}

int
weir_endpoint_parse(const char *text, struct weir_endpoint *ep)
{
	char *rest, *item;
	int rc = 0;

	*ep = (struct weir_endpoint){ 0 };
	if (text == NULL || strlen(text) >= sizeof(ep->text))
		return weir_fail(-EINVAL,
				 "endpoint: missing or over %zu characters; "
				 "write scheme:address[,key=value]...",
				 sizeof(ep->text) - 1);
	memcpy(ep->text, text, strlen(text) + 1);
	rest = (char *)take_scheme(ep->text);
	if (rest == NULL)
		return weir_fail(-EINVAL,
				 "endpoint '%s': no scheme; write for example "
				 "shm:NAME or dpdk:NAME",
				 text);
	ep->scheme = ep->text;
	ep->address = strsep(&rest, ",");
	while (rc == 0 && (item = strsep(&rest, ",")) != NULL)
		rc = take_key(ep, text, item);
	if (*ep->address == '\0')
		ep->address = "default";
	return rc;
}

const char *
weir_endpoint_get(const struct weir_endpoint *ep, const char *key)
{
	for (unsigned int i = 0; i < ep->key_count; i++)
		if (strcmp(ep->keys[i].key, key) == 0)
			return ep->keys[i].value;
	return NULL;
}

/* A known key that ends in '.' stands for all keys that begin with it. */
static bool
key_matches(const char *known, const char *key)
{
	size_t len = strlen(known);

	if (known[len - 1] == '.')
		return strncmp(known, key, len) == 0 && key[len] != '\0';
	return strcmp(known, key) == 0;
}

static bool
key_known(const struct weir_driver *driver, const char *key)
{
	for (const char *const *known = driver->keys; *known != NULL; known++)
		if (key_matches(*known, key))
			return true;
	return false;
}

static void
list_keys(const struct weir_driver *driver, char *list, size_t size)
{
	list[0] = '\0';
	for (const char *const *known = driver->keys; *known != NULL; known++) {
		if (known != driver->keys)
			strncat(list, ", ", size - strlen(list) - 1);
		strncat(list, *known, size - strlen(list) - 1);
	}
}

int
weir_endpoint_check(const struct weir_endpoint *ep,
		    const struct weir_driver *driver)
{
	char list[256];

	for (unsigned int i = 0; i < ep->key_count; i++) {
		if (key_known(driver, ep->keys[i].key))
			continue;
		list_keys(driver, list, sizeof(list));
		return weir_fail(-EINVAL,
				 "endpoint '%s:%s': unknown key '%s'; %s: "
				 "endpoints know: %s",
				 ep->scheme, ep->address, ep->keys[i].key,
				 ep->scheme, list[0] != '\0' ? list : "none");
	}
	return 0;
}

static uint64_t
suffix_factor(const char *suffix)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} factors[] = {
		{ "", 1 },           { "k", 1000 },      { "M", 1000000 },
		{ "G", 1000000000 }, { "Ki", 1u << 10 }, { "Mi", 1u << 20 },
		{ "Gi", 1u << 30 },
	};

	for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++)
		if (strcmp(suffix, factors[i].suffix) == 0)
			return factors[i].factor;
	return 0;
}

int
weir_endpoint_u64(const struct weir_endpoint *ep, const char *key, uint64_t min,
		  uint64_t max, uint64_t *value)
{
	const char *text = weir_endpoint_get(ep, key);
	uint64_t number, factor;
	char *end;

	if (text == NULL)
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	factor = suffix_factor(end);
	if (*text < '0' || *text > '9' || errno != 0 || factor == 0 ||
	    number > UINT64_MAX / factor || number * factor < min ||
	    number * factor > max)
		return weir_fail(-EINVAL,
				 "endpoint '%s:%s': %s=%s is not a number from "
				 "%" PRIu64 " to %" PRIu64 "; write digits, "
				 "then k, M, G, Ki, Mi, Gi or nothing",
				 ep->scheme, ep->address, key, text, min, max);
	*value = number * factor;
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* See side.h. */

#include "side.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* ---- meeting ------------------------------------------------------------------- */

uint64_t
in_limit(void)
{
	return weir_now_ns() + LIMIT_S * UINT64_C(1000000000);
}

void
nap_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&t, NULL);
}

static struct weir_link *
meet(struct weir_port *port, const char *endpoint,
     const struct weir_link_config *config, bool listens)
{
	struct weir_listener *listener;
	struct weir_link *link = NULL;

	if (!listens) {
		if (weir_link_connect(port, endpoint, config, &link) != 0)
			return NULL;
		if (weir_link_wait(link, in_limit()) == 1)
			return link;
		weir_link_destroy(link);
		return NULL;
	}
	if (weir_listener_open(port, endpoint, config, &listener) != 0)
		return NULL;
	if (weir_link_accept_wait(listener, in_limit(), &link) != 1)
		link = NULL;
	weir_listener_close(listener);
	return link;
}

int
side_open(struct side *side, const char *endpoint,
	  const struct weir_link_config *given, bool listens)
{
	struct weir_link_config config = { .size = sizeof(config) };

	if (given != NULL)
		config = *given;
	/* The machine may be busy with other things. */
	config.connect_timeout_ns = LIMIT_S * UINT64_C(1000000000);
	memset(side, 0, sizeof(*side));
	if (weir_port_open(endpoint, NULL, &side->port) != 0)
		return -1;
	side->link = meet(side->port, endpoint, &config, listens);
	if (side->link == NULL) {
		weir_port_close(side->port);
		return -1;
	}
	(void)weir_link_split(side->link, &side->tx, &side->rx);
	return 0;
}

int
side_close(struct side *side)
{
	int rc;

	weir_link_destroy(side->link);
	weir_tx_destroy(side->tx);
	weir_rx_destroy(side->rx);
	rc = weir_port_close(side->port);
	memset(side, 0, sizeof(*side));
	return rc == 0 ? 0 : -1;
}

/* ---- messages ------------------------------------------------------------------ */

static uint64_t
pattern_word(uint64_t number, uint32_t i)
{
	return (number + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ i;
}

void
pattern_write(void *data, uint32_t len, uint64_t number)
{
	uint64_t *words = data; /* slots are aligned to 8 */
	uint8_t *bytes = data;

	for (uint32_t i = 0; i < len / 8; i++)
		words[i] = pattern_word(number, i);
	for (uint32_t i = len / 8 * 8; i < len; i++)
		bytes[i] = (uint8_t)(number + i);
}

bool
pattern_ok(const void *data, uint32_t len, uint64_t number)
{
	const uint64_t *words = data;
	const uint8_t *bytes = data;

	for (uint32_t i = 0; i < len / 8; i++)
		if (words[i] != pattern_word(number, i))
			return false;
	for (uint32_t i = len / 8 * 8; i < len; i++)
		if (bytes[i] != (uint8_t)(number + i))
			return false;
	return true;
}

void
side_fill(struct side *side, struct weir_permit *permit, uint32_t len)
{
	struct weir_slot slot;

	(void)weir_permit_alloc(permit, len, &slot);
	pattern_write(slot.data, len, side->sent);
	weir_slot_commit(&slot);
	side->sent++;
}

int
side_send(struct side *side, uint32_t len)
{
	struct weir_permit permit;
	int rc = weir_tx_reserve_burst(side->tx, len, &permit, 1);

	if (rc == 1)
		side_fill(side, &permit, len);
	return rc;
}

void
side_check(struct side *side, const struct weir_msg *msg)
{
	side->torn |= !pattern_ok(msg->data, msg->len, side->received);
	side->received++;
}

int
side_receive(struct side *side, struct weir_msg *msg)
{
	int rc = weir_rx_recv(side->rx, msg);

	if (rc == 1)
		side_check(side, msg);
	return rc;
}

/* ---- what is left ---------------------------------------------------------------- */

static int
entries(const char *path, const char *part)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int count = 0;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL)
		count += strstr(e->d_name, part) != NULL;
	closedir(dir);
	return count;
}

static int
lines(const char *path, const char *part)
{
	FILE *file = fopen(path, "r");
	char line[512];
	int count = 0;

	if (file == NULL)
		return -1;
	while (fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, part) != NULL;
	fclose(file);
	return count;
}

int
fds_open(void)
{
	return entries("/proc/self/fd", "");
}

int
segments_mapped(void)
{
	return lines("/proc/self/maps", "/memfd:weir");
}

int
names_left(const char *name)
{
	const char *dir = getenv("WEIR_RUNTIME_DIR");

	return lines("/proc/net/unix", name) + entries("/dev/shm", "weir") +
	       (dir != NULL ? entries(dir, name) : 0);
}

void *
shared_page(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return page;
}

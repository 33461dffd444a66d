/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads the boards of other processes, lib/board.h. See stat_read.h. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board.h"
#include "counters.h"
#include "stat_read.h"
#include "tool.h"

static const char *const half_names[] = {
#define NAME(name) #name,
	WEIR_HALF_COUNTERS(NAME)
};

/* One process being read. */
struct reading {
	const struct board_head *head;
	uint32_t used;
	json_t *ports; /* by number */
	json_t *links;
	uint64_t now_ns;
};

/* ---- values ---------------------------------------------------------------- */

/* Text of a stranger: ended, and nothing that a terminal obeys. */
static json_t *
text_json(const char *text, size_t size)
{
	char clean[256];
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++)
		clean[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	clean[len] = '\0';
	return json_string(clean);
}

static void
set_count(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void
set_age(json_t *object, const struct reading *r, uint64_t updated_ns)
{
	/* It may have been made anew since we looked at the clock. */
	uint64_t age_ns = updated_ns < r->now_ns ? r->now_ns - updated_ns : 0;

	if (updated_ns != 0)
		set_count(object, "age_ms", age_ns / 1000000);
}

struct part_filter {
	const char *part;
	json_t *object;
};

static void
add_counter(void *arg, const char *part, const struct weir_counter *counter,
	    uint64_t value)
{
	const struct part_filter *filter = arg;

	if (strcmp(part, filter->part) == 0)
		set_count(filter->object, counter->name, value);
}

/* The copy of a struct of weir_stats.h, or of the beginning of a longer one. */
static json_t *
copy_json(const char *part, const struct weir_counters *counters)
{
	struct part_filter filter = { part, json_object() };

	weir_counters_each(counters, add_counter, &filter);
	return filter.object;
}

static const uint8_t *
body_of(const struct board_slot *slot)
{
	return (const uint8_t *)slot + BOARD_BODY;
}

static size_t
body_size(const struct board_slot *slot, size_t known)
{
	return slot->body_size < known ? slot->body_size : known;
}

/* ---- slots ----------------------------------------------------------------- */

/* The object of that number, made if need be. */
static json_t *
numbered(json_t *all, uint32_t number)
{
	char key[16];
	json_t *object;

	snprintf(key, sizeof(key), "%u", number);
	object = json_object_get(all, key);
	if (object == NULL) {
		object = json_object();
		set_count(object, "id", number);
		json_object_set_new(all, key, object);
	}
	return object;
}

static void
set_name(json_t *object, const struct board_slot *slot)
{
	json_object_set_new(object, "driver",
			    text_json(slot->driver, sizeof(slot->driver)));
	json_object_set_new(object, "endpoint",
			    text_json(slot->endpoint, sizeof(slot->endpoint)));
}

static void
port_read(struct reading *r, const struct board_slot *slot)
{
	json_t *port = numbered(r->ports, slot->port);
	struct weir_counters counters = { 0 };

	set_name(port, slot);
	if (slot->updated_ns == 0)
		return;
	set_age(port, r, slot->updated_ns);
	memcpy(&counters.port, body_of(slot),
	       body_size(slot, sizeof(counters.port)));
	json_object_set_new(port, "counters", copy_json("port", &counters));
}

/* What weir_link_status() says, in a word. */
static const char *
state_name(int status)
{
	switch (status) {
	case 0:
		return "up";
	case -EINPROGRESS:
		return "setting up";
	case WEIR_EOF:
		return "closed";
	default:
		return weir_strerror(status);
	}
}

static void
link_read(struct reading *r, const struct board_slot *slot)
{
	json_t *link = numbered(r->links, slot->link);
	struct weir_counters counters = { 0 };

	set_count(link, "port", slot->port);
	set_name(link, slot);
	json_object_set_new(link, "peer",
			    text_json(slot->peer, sizeof(slot->peer)));
	if (slot->updated_ns == 0)
		return;
	json_object_set_new(link, "state",
			    json_string(state_name(slot->status)));
	set_age(link, r, slot->updated_ns);
	memcpy(&counters.link, body_of(slot),
	       body_size(slot, sizeof(counters.link)));
	json_object_set_new(link, "transport", copy_json("link", &counters));
}

/* @return false: it has none, or somebody wants us to read elsewhere. */
static bool
half_value(const struct board_slot *slot, unsigned int i, uint64_t *value)
{
	const struct weir_half_counter *at = &slot->counters[i];
	uint32_t narrow;

	if ((at->width != 4 && at->width != 8) ||
	    at->offset > BOARD_SLOT - BOARD_BODY - at->width)
		return false;
	if (at->width == 8) {
		memcpy(value, body_of(slot) + at->offset, 8);
		return true;
	}
	memcpy(&narrow, body_of(slot) + at->offset, 4);
	*value = narrow;
	return true;
}

/* A half knows how it ended; where nobody polls that is all there is. */
static void
half_state(json_t *link, const char *side, int32_t status)
{
	if (json_object_get(link, "state") != NULL)
		return;
	if (status == 0)
		return;
	if (status == WEIR_EOF || status == -EPIPE)
		json_object_set_new(link, "state",
				    json_string(strcmp(side, "tx") == 0
							? "send half closed"
							: "peer closed"));
	else
		json_object_set_new(link, "state",
				    json_string(weir_strerror(status)));
}

static void
half_read(struct reading *r, const struct board_slot *slot, const char *side)
{
	json_t *link, *half;
	uint64_t value;

	if (slot->link == 0)
		return;
	link = numbered(r->links, slot->link);
	half = json_object();
	set_count(link, "port", slot->port);
	set_name(link, slot);
	for (unsigned int i = 0; i < WEIR_HALF_COUNTERS_COUNT; i++) {
		if (!half_value(slot, i, &value))
			continue;
		if (i == WEIR_HALF_status)
			half_state(link, side, (int32_t)(uint32_t)value);
		else
			set_count(half, half_names[i], value);
	}
	json_object_set_new(link, side, half);
}

/* Links and ports first: they know more than halves. */
static void
slots_read(struct reading *r, bool halves)
{
	static uint64_t copy[BOARD_SLOT / 8];
	const struct board_slot *slot = (const void *)copy;

	for (uint32_t i = 0; i < r->used; i++) {
		if (!board_read(board_slot_at(r->head, i), copy))
			continue;
		if (!halves && slot->kind == BOARD_PORT)
			port_read(r, slot);
		else if (!halves && slot->kind == BOARD_LINK)
			link_read(r, slot);
		else if (halves && slot->kind == BOARD_TX)
			half_read(r, slot, "tx");
		else if (halves && slot->kind == BOARD_RX)
			half_read(r, slot, "rx");
	}
}

static json_t *
values_of(json_t *all, bool links)
{
	json_t *array = json_array(), *object;
	const char *key;

	json_object_foreach(all, key, object)
	{
		if (links && json_object_get(object, "state") == NULL)
			json_object_set_new(object, "state",
					    json_string("open"));
		json_array_append(array, object);
	}
	json_decref(all);
	return array;
}

/* ---- processes ------------------------------------------------------------- */

static json_t *
program_json(int pid)
{
	char path[64], name[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (file != NULL) {
		if (fgets(name, sizeof(name), file) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	return text_json(name, sizeof(name));
}

static json_t *
process_json(const struct board_head *head, uint32_t most)
{
	struct reading r = {
		.head = head,
		.ports = json_object(),
		.links = json_object(),
		.now_ns = weir_now_ns(),
	};
	json_t *process = json_object();

	r.used = atomic_load_explicit(&head->used, memory_order_acquire);
	if (r.used > most)
		r.used = most;
	set_count(process, "pid", head->pid);
	json_object_set_new(process, "program", program_json((int)head->pid));
	json_object_set_new(process, "version",
			    text_json(head->release, sizeof(head->release)));
	if (head->start_ns <= r.now_ns)
		set_count(process, "uptime_s",
			  (r.now_ns - head->start_ns) / 1000000000);
	set_count(process, "without_place",
		  atomic_load_explicit(&head->refused, memory_order_relaxed));
	slots_read(&r, false);
	slots_read(&r, true);
	json_object_set_new(process, "ports", values_of(r.ports, false));
	json_object_set_new(process, "links", values_of(r.links, true));
	return process;
}

enum verdict {
	DEAD,    /* the entry leads nowhere: remove it */
	CLOSED,  /* alive, and not for us */
	STRANGE, /* of another version */
	GOOD,
};

/* Sealed, so that it cannot shrink under our eyes; and what it should be. */
static enum verdict
check_file(int fd, size_t *size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0 ||
	    !S_ISREG(st.st_mode) || st.st_size < (off_t)BOARD_HEAD ||
	    st.st_size > (off_t)BOARD_BYTES)
		return DEAD;
	*size = (size_t)st.st_size;
	return GOOD;
}

static enum verdict
check_head(const struct board_head *head, int pid)
{
	if (memcmp(head->magic, BOARD_MAGIC, sizeof(head->magic)) != 0 ||
	    head->pid != (uint32_t)pid)
		return DEAD;
	return head->version == BOARD_VERSION ? GOOD : STRANGE;
}

/* @param target of the entry: /proc/PID/fd/N and nothing else. */
static enum verdict
process_read(const char *target, int pid, json_t *list)
{
	int fd = open(target, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	enum verdict verdict;
	size_t size;
	void *head;

	if (fd < 0)
		return errno == ENOENT ? DEAD : CLOSED;
	verdict = check_file(fd, &size);
	head = verdict == GOOD ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)
			       : MAP_FAILED;
	close(fd);
	if (head == MAP_FAILED)
		return verdict == GOOD ? CLOSED : verdict;
	verdict = check_head(head, pid);
	if (verdict == GOOD)
		json_array_append_new(
			list,
			process_json(head, (uint32_t)((size - BOARD_HEAD) /
						      BOARD_SLOT)));
	munmap(head, size);
	return verdict;
}

static void
entry_read(int dir, const char *name, int only, json_t *list)
{
	char target[64], expected[64];
	ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);
	int pid, fd, end = 0;

	if (len < 0 || sscanf(name, BOARD_PREFIX "%d%n", &pid, &end) != 1 ||
	    name[end] != '\0' || (only != 0 && only != pid))
		return;
	target[len] = '\0';
	if (sscanf(target, "/proc/%*d/fd/%d", &fd) != 1)
		return;
	snprintf(expected, sizeof(expected), "/proc/%d/fd/%d", pid, fd);
	if (strcmp(target, expected) != 0)
		return;
	switch (process_read(target, pid, list)) {
	case DEAD:
		unlinkat(dir, name, 0);
		break;
	case CLOSED:
		weir_tool_note("process %d: may not be read: %s", pid,
			       strerror(errno));
		break;
	case STRANGE:
		weir_tool_note("process %d: uses another version of weir; "
			       "read it with the weir of that version",
			       pid);
		break;
	case GOOD:
		break;
	}
}

int
weir_stat_read(int pid, json_t **list)
{
	char path[256];
	struct dirent *entry;
	DIR *dir;
	int rc = weir_runtime_dir(path, sizeof(path));

	if (rc != 0)
		return weir_tool_fail("runtime directory", rc);
	dir = opendir(path);
	if (dir == NULL) {
		weir_tool_error("%s: cannot be read: %s; set WEIR_RUNTIME_DIR",
				path, strerror(errno));
		return WEIR_EXIT_NOT_READY;
	}
	*list = json_array();
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, BOARD_PREFIX,
			    strlen(BOARD_PREFIX)) == 0)
			entry_read(dirfd(dir), entry->d_name, pid, *list);
	closedir(dir);
	return 0;
}

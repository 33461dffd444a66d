/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a port knows before a stranger comes: secrets, names, and tables of
 * links by their peer's token, and by who opened them. Peers choose tokens and
 * names, so the tables hash them with a key.
 */

#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "dpdk_stranger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RESET_KEY_MIN 16
#define RESET_KEY_MAX 64

#define CHAINS_FIRST 64u

/* ---- endpoint keys -------------------------------------------------------------- */

/* The value's place in a list of words, or an error that names the key. */
static int
read_word(const struct weir_endpoint *ep, const char *key,
	  const char *const words[3], uint8_t *value)
{
	const char *text = weir_endpoint_get(ep, key);

	if (text == NULL)
		return 0;
	for (uint8_t i = 0; i < 3; i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*value = i;
		return 0;
	}
	return weir_fail(-EINVAL, "dpdk: %s=%s: write %s=%s, %s or %s", key,
			 text, key, words[0], words[1], words[2]);
}

/* cc= and cc-target=. */
static int
read_control(const struct weir_endpoint *ep, struct dpdk_link_keys *keys)
{
	const char *text = weir_endpoint_get(ep, "cc");
	unsigned long us;
	char *end;

	for (int kind = 0; text != NULL && kind < CC_KINDS; kind++)
		if (strcmp(text, weir_cc_name((enum cc_kind)kind)) == 0)
			keys->cc = (uint8_t)kind;
	if (text != NULL && keys->cc == CC_KINDS)
		return weir_fail(-EINVAL,
				 "dpdk: cc=%s: write cc=fixed, newreno, dctcp "
				 "or swift",
				 text);
	text = weir_endpoint_get(ep, "cc-target");
	if (text == NULL)
		return 0;
	us = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || us < 1 ||
	    us > 1000000)
		return weir_fail(-EINVAL,
				 "dpdk: cc-target=%s: write microseconds, 1 to "
				 "1000000",
				 text);
	keys->cc_target_ns = us * 1000;
	return 0;
}

int
weir_dpdk_link_keys_read(const struct weir_endpoint *ep,
			 struct dpdk_link_keys *keys)
{
	static const char *const words[3] = {
		[DPDK_CRC_OFF] = "off",
		[DPDK_CRC_ON] = "on",
		[DPDK_CRC_REQUIRE] = "require",
	};

	int rc;

	*keys = (struct dpdk_link_keys){ .crc = DPDK_CRC_OFF, .cc = CC_KINDS };
	rc = read_word(ep, "crc", words, &keys->crc);
	return rc != 0 ? rc : read_control(ep, keys);
}

int
weir_dpdk_cookie_read(const struct weir_endpoint *ep, bool no_wire,
		      uint8_t *cookie)
{
	static const char *const words[3] = {
		[LISTEN_COOKIE_ALWAYS] = "always",
		[LISTEN_COOKIE_PRESSURE] = "pressure",
		[LISTEN_COOKIE_OFF] = "off",
	};

	*cookie = no_wire ? LISTEN_COOKIE_OFF : LISTEN_COOKIE_ALWAYS;
	return read_word(ep, "cookie", words, cookie);
}

/* ---- secrets -------------------------------------------------------------------- */

static int
draw_key(struct siphash_key *key)
{
	if (getrandom(key, sizeof(*key), 0) != (ssize_t)sizeof(*key))
		return weir_fail(-EIO, "dpdk: no random numbers; try again");
	return 0;
}

static int
check_file(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return weir_fail(-EINVAL,
				 "dpdk: reset-key=%s is not a regular file; "
				 "name one of %d to %d bytes",
				 path, RESET_KEY_MIN, RESET_KEY_MAX);
	if (st.st_mode & (S_IROTH | S_IWOTH))
		return weir_fail(-EACCES,
				 "dpdk: reset-key=%s is open to everybody, who "
				 "could end links with it; chmod o-rw it",
				 path);
	return 0;
}

/* @return the length, or negative. */
static int
read_file(const char *path, uint8_t *bytes, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t len;
	int rc;

	if (fd < 0)
		return weir_fail(-errno,
				 "dpdk: reset-key=%s: %s; make it with head "
				 "-c 32 /dev/urandom",
				 path, strerror(errno));
	rc = check_file(fd, path);
	if (rc == 0) {
		len = read(fd, bytes, size);
		rc = len >= 0 ? (int)len
			      : weir_fail(-errno,
					  "dpdk: reset-key=%s: %s; "
					  "name another file",
					  path, strerror(errno));
	}
	close(fd);
	return rc;
}

static int
read_secret(const char *path, struct siphash_key *secret)
{
	uint8_t bytes[RESET_KEY_MAX + 1], folded[16];
	int len = read_file(path, bytes, sizeof(bytes));

	if (len < 0)
		return len;
	if (len < RESET_KEY_MIN || len > RESET_KEY_MAX)
		return weir_fail(-EINVAL,
				 "dpdk: reset-key=%s has %s than %d bytes; "
				 "it takes %d to %d",
				 path, len < RESET_KEY_MIN ? "less" : "more",
				 len < RESET_KEY_MIN ? RESET_KEY_MIN
						     : RESET_KEY_MAX,
				 RESET_KEY_MIN, RESET_KEY_MAX);
	secret->k[0] = siphash_load(bytes, 8);
	secret->k[1] = siphash_load(bytes + 8, 8);
	siphash128(*secret, bytes, (size_t)len, folded);
	secret->k[0] = siphash_load(folded, 8);
	secret->k[1] = siphash_load(folded + 8, 8);
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

int
weir_dpdk_gate_open(struct dpdk_gate *gate, const struct weir_endpoint *ep)
{
	const char *path = weir_endpoint_get(ep, "reset-key");
	struct siphash_key fresh;
	struct timespec now;
	int rc = draw_key(&fresh);

	if (rc == 0)
		rc = draw_key(&gate->hash);
	if (rc == 0)
		rc = path != NULL ? read_secret(path, &gate->listen.secret)
				  : draw_key(&gate->listen.secret);
	if (rc != 0)
		return rc;
	weir_cookie_rotate(&gate->listen.keys, fresh);
	/* Without a secret that lasts anyone may know the name; a cookie
	 * keeps him from using it. */
	if (path != NULL)
		gate->names = gate->listen.secret;
	/* Grows from one life to the next also over a reboot. */
	clock_gettime(CLOCK_REALTIME, &now);
	gate->epoch = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		      (uint64_t)now.tv_nsec;
	return 0;
}

void
weir_dpdk_gate_close(struct dpdk_gate *gate)
{
	free(gate->peers.chains);
	free(gate->lives.chains);
	explicit_bzero(gate, sizeof(*gate));
}

uint64_t
weir_dpdk_gate_instance(const struct dpdk_gate *gate,
			const struct dpdk_addr *local)
{
	uint8_t bytes[DPDK_ADDR_BYTES];

	dpdk_addr_bytes(local, bytes);
	return siphash64(gate->names, bytes, sizeof(bytes));
}

/* ---- tables of links -------------------------------------------------------- */

static void
table_link(struct dpdk_table *table, struct dpdk_node *node)
{
	struct dpdk_node **at = &table->chains[node->hash & (table->size - 1)];

	node->next = *at;
	*at = node;
}

/* Twice as large; as it is if there is no memory: chains may be longer. */
static void
table_grow(struct dpdk_table *table)
{
	struct dpdk_table old = *table;
	uint32_t size = old.size != 0 ? 2 * old.size : CHAINS_FIRST;
	struct dpdk_node **chains = calloc(size, sizeof(struct dpdk_node *));

	if (chains == NULL)
		return;
	table->chains = chains;
	table->size = size;
	for (uint32_t i = 0; i < old.size; i++) {
		while (old.chains[i] != NULL) {
			struct dpdk_node *node = old.chains[i];

			old.chains[i] = node->next;
			table_link(table, node);
		}
	}
	free(old.chains);
}

static void
table_enter(struct dpdk_table *table, struct dpdk_node *node, uint64_t hash)
{
	if (table->count == table->size)
		table_grow(table);
	if (table->size == 0)
		return;
	node->hash = hash;
	node->entered = true;
	table->count++;
	table_link(table, node);
}

static void
table_leave(struct dpdk_table *table, struct dpdk_node *node)
{
	struct dpdk_node **at;

	if (!node->entered)
		return;
	at = &table->chains[node->hash & (table->size - 1)];
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->entered = false;
	table->count--;
}

/* This node, or the next one in its chain with that hash. */
static struct dpdk_node *
same_hash(struct dpdk_node *node, uint64_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

static struct dpdk_node *
table_find(const struct dpdk_table *table, uint64_t hash)
{
	if (table->size == 0)
		return NULL;
	return same_hash(table->chains[hash & (table->size - 1)], hash);
}

/* ---- by their peer's token --------------------------------------------------- */

static uint64_t
token_hash(const struct dpdk_gate *gate, uint64_t token)
{
	uint8_t bytes[8];

	siphash_store(bytes, token);
	return siphash64(gate->hash, bytes, sizeof(bytes));
}

static struct dpdk_flow *
flow_of_peer(struct dpdk_node *node)
{
	return node != NULL ? WEIR_CONTAINER_OF(node, struct dpdk_flow, of_peer)
			    : NULL;
}

struct dpdk_flow *
weir_dpdk_peer_find(const struct dpdk_gate *gate, uint64_t token)
{
	return flow_of_peer(table_find(&gate->peers, token_hash(gate, token)));
}

struct dpdk_flow *
weir_dpdk_peer_next(const struct dpdk_flow *flow)
{
	return flow_of_peer(same_hash(flow->of_peer.next, flow->of_peer.hash));
}

/* ---- by who opened them ------------------------------------------------------- */

static uint64_t
life_hash(const struct dpdk_gate *gate, const struct dpdk_addr *from,
	  uint64_t instance)
{
	uint8_t bytes[8 + DPDK_ADDR_BYTES];

	siphash_store(bytes, instance);
	dpdk_addr_bytes(from, bytes + 8);
	return siphash64(gate->hash, bytes, sizeof(bytes));
}

static struct dpdk_flow *
flow_of_life(struct dpdk_node *node)
{
	return node != NULL ? WEIR_CONTAINER_OF(node, struct dpdk_flow, of_life)
			    : NULL;
}

struct dpdk_flow *
weir_dpdk_life_find(const struct dpdk_gate *gate, const struct dpdk_addr *from,
		    uint64_t instance)
{
	return flow_of_life(
		table_find(&gate->lives, life_hash(gate, from, instance)));
}

struct dpdk_flow *
weir_dpdk_life_next(const struct dpdk_flow *flow)
{
	return flow_of_life(same_hash(flow->of_life.next, flow->of_life.hash));
}

void
weir_dpdk_life_leave(struct dpdk_flow *flow)
{
	table_leave(&flow->port->gate.lives, &flow->of_life);
}

/* ---- both --------------------------------------------------------------------- */

void
weir_dpdk_peer_enter(struct dpdk_flow *flow)
{
	const struct wire_params *peer = weir_conn_peer(flow->conn);
	struct dpdk_gate *gate = &flow->port->gate;
	struct dpdk_addr from = flow->peer;

	if (peer == NULL || flow->of_peer.entered)
		return;
	table_enter(&gate->peers, &flow->of_peer,
		    token_hash(gate, peer->token));
	if (flow->connector)
		return;
	from.port = flow->init_port;
	table_enter(&gate->lives, &flow->of_life,
		    life_hash(gate, &from, peer->instance));
}

void
weir_dpdk_peer_leave(struct dpdk_flow *flow)
{
	struct dpdk_gate *gate = &flow->port->gate;

	table_leave(&gate->peers, &flow->of_peer);
	weir_dpdk_life_leave(flow);
}

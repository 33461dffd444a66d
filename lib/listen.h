/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listen: what a port says to a packet that belongs to none of its links
 * (docs/wire.md 4.3, 4.5, 8.6), without remembering who sent it.
 *
 *     INIT --> read() --LOOK--> caller looks for links --> judge()
 *                |                                           |
 *                v                                           v
 *        DROP, ANSWER (REJECT)       AGAIN, ANSWER (RETRY, REJECT), ACCEPT
 *
 *     unknown token --> unknown() --> DROP, ANSWER (GONE)
 *
 * It decides and writes the answers; the caller finds, makes and ends links,
 * and sends. The driver, the simulator and the fuzzer link this very object.
 *
 * Pure: no clock, no allocation, no random numbers, no I/O. A struct listen
 * belongs to one thread.
 */
#ifndef WEIR_LISTEN_H
#define WEIR_LISTEN_H

#include "bucket.h"
#include "conn.h"
#include "cookie.h"

/* Links of a listener that are not yet the application's. */
#define LISTEN_BACKLOG 256u

/* While so many are half open, LISTEN_COOKIE_PRESSURE asks for cookies. */
#define LISTEN_PRESSURE 64u

/* What became of them; each has a counter and a name. */
enum listen_count {
	LISTEN_INIT_MALFORMED,
	LISTEN_INIT_AGAIN,     /* of a link that is half open */
	LISTEN_INIT_WELCOME,   /* ACCEPT follows; counted by the caller */
	LISTEN_INIT_RETRY,     /* asked to come again with a cookie */
	LISTEN_INIT_REFUSED,   /* told so by REJECT */
	LISTEN_INIT_NO_ROOM,   /* of these, soft: too many links half open */
	LISTEN_COOKIE_WRONG,   /* or too old */
	LISTEN_REJECT_LIMITED, /* REJECT not sent: too many */
	LISTEN_SUPERSEDED,     /* links that ended as the peer was restarted;
				* counted by the caller, as are GONEs taken */
	LISTEN_TOKEN_UNKNOWN,
	LISTEN_GONE_SENT,
	LISTEN_GONE_LIMITED, /* GONE not sent: too many */
	LISTEN_GONE_TAKEN,   /* links that ended by it */
	LISTEN_GONE_UNKNOWN, /* about a peer of none of our links */
	LISTEN_GONE_FORGED,  /* without the right proof */
	LISTEN_COUNTS,
};

/* When a cookie is asked for; docs/wire.md 4.3. */
enum listen_cookie {
	LISTEN_COOKIE_ALWAYS,
	LISTEN_COOKIE_PRESSURE, /* while many links are half open */
	LISTEN_COOKIE_OFF,      /* only of who would end former links */
};

/* What all listeners of a port share. All 0, but for keys and the secret. */
struct listen {
	struct cookie_keys keys;
	struct siphash_key secret; /* of proofs */
	struct bucket rejects;
	struct bucket gones;
	uint64_t busy_until_ns; /* there was no memory for another link */
	uint64_t counts[LISTEN_COUNTS];
};

/* The listener that an INIT came to, as it is now. */
struct listen_door {
	const struct conn_config *policy; /* as of weir_conn_check_init() */
	bool open;                        /* false: nobody listens there */
	bool paired;    /* its sender can only be who he says he is */
	uint8_t cookie; /* enum listen_cookie */
	uint32_t half_open;
	uint32_t waiting; /* open, but not yet the application's */
};

/* A packet that came by. */
struct listen_visit {
	/* The caller's. hdr and addr are looked at until it is dealt with. */
	const struct wire_hdr *hdr;
	uint32_t len;        /* of the packet */
	const uint8_t *addr; /* both addresses and ports, for cookies */
	uint32_t addr_len;   /* at most COOKIE_ADDR_MAX */
	uint64_t now_ns;

	struct conn_init init; /* from LISTEN_LOOK on */

	/* With LISTEN_ANSWER; as of weir_conn_build_reject() the caller appends
	 * the trailer if answer[1] has WIRE_F_TRAILER. */
	uint32_t answer_len; /* less than len */
	uint8_t answer[CONN_REJECT_MAX];
};

/* What the caller knows of the sender of visit->init. */
struct listen_known {
	bool same;    /* a link from that address is_same_init() */
	bool crowded; /* more links have its token than are looked at */
	bool former;  /* a link from that address may be listen_is_former();
		       * not looked at if weir_listen_asks() */
};

enum listen_verdict {
	LISTEN_DROP,
	LISTEN_MALFORMED, /* drop it, and count it as that */
	LISTEN_ANSWER,    /* send visit->answer back, then weir_listen_sent() */
	LISTEN_LOOK,      /* fill a listen_known, then weir_listen_judge() */
	LISTEN_AGAIN,     /* hand it to the link that is the same */
	LISTEN_ACCEPT,    /* make a link, or say weir_listen_no_memory() */
};

/** A short lower-case name for statistics: "init_retry", ... */
const char *weir_listen_count_name(enum listen_count what);

/** Does this listener want a cookie of everybody now? */
bool weir_listen_asks(const struct listen_door *door);

/** Look at an INIT. @return MALFORMED, DROP, ANSWER or LOOK. */
enum listen_verdict weir_listen_read(struct listen *listen,
				     const struct listen_door *door,
				     struct listen_visit *visit);

/**
 * After LOOK: who may come in? If visit->init.validated is set afterwards,
 * then the caller first ends, with weir_conn_supersede(), those links from that
 * address that are listen_is_former(), whatever the verdict is.
 * @return DROP, ANSWER, AGAIN or ACCEPT.
 */
enum listen_verdict weir_listen_judge(struct listen *listen,
				      const struct listen_door *door,
				      struct listen_visit *visit,
				      const struct listen_known *known);

/**
 * After ACCEPT: there is no memory for a link, nor will be for a while.
 * @return DROP or ANSWER.
 */
enum listen_verdict weir_listen_no_memory(struct listen *listen,
					  struct listen_visit *visit);

/** A packet whose token nobody here knows. @return DROP or ANSWER. */
enum listen_verdict weir_listen_unknown(struct listen *listen,
					struct listen_visit *visit);

/** The answer was sent, and not dropped for want of room. */
void weir_listen_sent(struct listen *listen, const struct listen_visit *visit);

/** Is this a living link of a former life of the sender of init? */
static inline bool
listen_is_former(const struct weir_conn *conn, const struct conn_init *init)
{
	return weir_conn_is_superseded(conn, init) && !weir_conn_finished(conn);
}

#endif

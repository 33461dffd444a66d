/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that belong to no link: see listen.h. */
#include <errno.h>
#include "listen.h"

#define SECOND_NS UINT64_C(1000000000)

/* Nobody needs more of these. */
#define REJECT_EVERY_NS UINT64_C(100000)
#define REJECT_BURST    256u
#define GONE_EVERY_NS   UINT64_C(1000000)
#define GONE_BURST      64u

/* Memory that is not there is not looked for with every INIT. */
#define BUSY_NS UINT64_C(1000000)

const char *
weir_listen_count_name(enum listen_count what)
{
	static const char *const names[LISTEN_COUNTS] = {
		[LISTEN_INIT_MALFORMED] = "init_malformed",
		[LISTEN_INIT_AGAIN] = "init_again",
		[LISTEN_INIT_WELCOME] = "init_welcome",
		[LISTEN_INIT_RETRY] = "init_retry",
		[LISTEN_INIT_REFUSED] = "init_refused",
		[LISTEN_INIT_NO_ROOM] = "init_no_room",
		[LISTEN_COOKIE_WRONG] = "cookie_wrong",
		[LISTEN_REJECT_LIMITED] = "reject_limited",
		[LISTEN_SUPERSEDED] = "superseded",
		[LISTEN_TOKEN_UNKNOWN] = "token_unknown",
		[LISTEN_GONE_SENT] = "gone_sent",
		[LISTEN_GONE_LIMITED] = "gone_limited",
		[LISTEN_GONE_TAKEN] = "gone_taken",
		[LISTEN_GONE_UNKNOWN] = "gone_unknown",
		[LISTEN_GONE_FORGED] = "gone_forged",
	};

	return what < LISTEN_COUNTS ? names[what] : "unknown";
}

/* --- answers ---------------------------------------------------------- */

static enum listen_verdict
reject(struct listen *listen, struct listen_visit *visit,
       enum wire_error reason)
{
	listen->counts[LISTEN_INIT_REFUSED]++;
	if (!bucket_take(&listen->rejects, visit->now_ns, REJECT_EVERY_NS,
			 REJECT_BURST)) {
		listen->counts[LISTEN_REJECT_LIMITED]++;
		return LISTEN_DROP;
	}
	visit->answer_len =
		weir_conn_build_reject(visit->hdr, reason, visit->answer);
	return LISTEN_ANSWER;
}

static enum listen_verdict
no_room(struct listen *listen, struct listen_visit *visit)
{
	listen->counts[LISTEN_INIT_NO_ROOM]++;
	return reject(listen, visit, WIRE_E_BUSY);
}

enum listen_verdict
weir_listen_no_memory(struct listen *listen, struct listen_visit *visit)
{
	listen->busy_until_ns = visit->now_ns + BUSY_NS;
	return no_room(listen, visit);
}

void
weir_listen_sent(struct listen *listen, const struct listen_visit *visit)
{
	uint8_t type = visit->answer[0] & 15;

	listen->counts[LISTEN_INIT_RETRY] += type == WIRE_RETRY;
	listen->counts[LISTEN_GONE_SENT] += type == WIRE_GONE;
}

/* --- INIT ------------------------------------------------------------- */

bool
weir_listen_asks(const struct listen_door *door)
{
	return door->cookie == LISTEN_COOKIE_ALWAYS ||
	       (door->cookie == LISTEN_COOKIE_PRESSURE &&
		door->half_open >= LISTEN_PRESSURE);
}

enum listen_verdict
weir_listen_read(struct listen *listen, const struct listen_door *door,
		 struct listen_visit *visit)
{
	enum wire_error reason = WIRE_E_NONE;

	if (weir_conn_check_init(door->policy, visit->hdr, &visit->init,
				 &reason) == -EPROTO) {
		listen->counts[LISTEN_INIT_MALFORMED]++;
		return LISTEN_MALFORMED;
	}
	if (!door->open)
		reason = WIRE_E_NO_LISTENER;
	return reason == WIRE_E_NONE ? LISTEN_LOOK
				     : reject(listen, visit, reason);
}

/* Does he have to show first that he is where he says he is? */
static bool
must_come_again(struct listen *listen, const struct listen_door *door,
		struct listen_visit *visit, bool former)
{
	const struct wire_hdr *hdr = visit->hdr;
	struct conn_stranger who = {
		.keys = &listen->keys,
		.addr = visit->addr,
		.addr_len = visit->addr_len,
		.now_s = (uint32_t)(visit->now_ns / SECOND_NS),
	};

	if (weir_conn_check_cookie(&who, hdr, &visit->init))
		return false;
	if (hdr->cookie != NULL)
		listen->counts[LISTEN_COOKIE_WRONG]++;
	if (!weir_listen_asks(door)) {
		/* A pair has one other end, and it is not a wire to lie on. */
		visit->init.validated = door->paired;
		/* Nobody ends links just by saying that he is their peer. */
		if (door->paired || !former)
			return false;
	}
	visit->answer_len =
		weir_conn_build_retry(&who, hdr, &visit->init, visit->answer);
	return true;
}

enum listen_verdict
weir_listen_judge(struct listen *listen, const struct listen_door *door,
		  struct listen_visit *visit, const struct listen_known *known)
{
	bool full = door->half_open + door->waiting >= LISTEN_BACKLOG ||
		    visit->now_ns < listen->busy_until_ns;

	if (known->same) {
		listen->counts[LISTEN_INIT_AGAIN]++;
		return LISTEN_AGAIN;
	}
	if (known->crowded || (full && !weir_listen_asks(door)))
		return no_room(listen, visit);
	if (must_come_again(listen, door, visit, known->former))
		return LISTEN_ANSWER;
	return full ? no_room(listen, visit) : LISTEN_ACCEPT;
}

/* --- tokens that nobody here knows ------------------------------------ */

enum listen_verdict
weir_listen_unknown(struct listen *listen, struct listen_visit *visit)
{
	uint64_t token = visit->hdr->token;
	uint8_t proof[WIRE_PROOF_LEN];

	listen->counts[LISTEN_TOKEN_UNKNOWN]++;
	if (!weir_conn_gone_may_answer(visit->hdr, visit->len))
		return LISTEN_DROP;
	if (!bucket_take(&listen->gones, visit->now_ns, GONE_EVERY_NS,
			 GONE_BURST)) {
		listen->counts[LISTEN_GONE_LIMITED]++;
		return LISTEN_DROP;
	}
	weir_cookie_proof(listen->secret, token, proof);
	weir_wire_put_gone(token, proof, visit->answer);
	visit->answer_len = WIRE_HDR_LEN;
	return LISTEN_ANSWER;
}

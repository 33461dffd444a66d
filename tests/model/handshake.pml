/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Set-up (docs/wire.md, section 4): a client, a listener, a stranger who
 * sends INITs in the name of others, and a wire that loses, doubles, reorders
 * and keeps packets for as long as it likes.
 *
 *   client --INIT--> | the wire: a set | --INIT-->  listener
 *          <-RETRY-- | of packets; any | <-RETRY--    | cookie good
 *          --INIT+-> | of them may come| --INIT+->    v
 *          <-ACCEPT- | next, twice, or | <-ACCEPT-  link s: HALF --> LIVE
 *          --ACK---> | never           | --ACK-->
 *
 * The client has up to two attempts. The second is another one of the same
 * life, after the first has failed, or one of a later life, after a crash; its
 * token is another in both cases. Tokens of the server are numbers that are
 * never used twice (4.1: 48 random bits). Losses, copies, timers that go off
 * early and the like are drawn from small budgets, so that every run ends and
 * what must happen can be asked for.
 *
 * Choose at the command line: MUTANT=n breaks the rule that is marked so.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#ifndef FAULTS
#define FAULTS 2
#endif

#define ATTEMPTS 2 /* 1 and 2 are the client's; 3 is the stranger's */
#define STRANGER 3
#define LINKS    3 /* server tokens 1..3 */
#define TRIES	 3 /* INITs of one attempt, ACCEPTs of one link */
#define RETRIES	 3 /* 4.3: RETRY is obeyed at most 3 times */

/* The wire: which packets are on their way. Index: attempt or server token. */
bool p_init[4];	/* INIT without a cookie */
bool p_initc[4];	/* INIT with one */
bool p_retry[4];
bool p_busy[4];	/* REJECT, soft */
bool p_never[4];	/* REJECT, final */
bool p_accept[4]; /* to the attempt that the link s belongs to */
bool p_ack[4];	/* anything short with token s: establishes, no answer */
bool p_ping[4];	/* the same, but long enough to be answered by GONE */
bool p_gone[4];

/*
 * What may go wrong, in any mixture: a packet is lost, or comes twice; a timer
 * goes off while its answer is under way; there is no room for a link for a
 * moment; a cookie becomes too old.
 */
byte faults = FAULTS;
#ifdef CALM
byte forged = 0;
bool crash = false;
#else
byte forged = 1; /* INITs of the stranger */
bool crash = true;
#endif

/* The run's choice. */
bool cookies;  /* cookie=always, else off */
bool agreeing; /* the listener takes such offers at all */

/* The client: one attempt at a time. */
mtype = { INIT_SENT, OPEN, FAILED, NONE, HALF, LIVE, FORGOTTEN };
mtype state = INIT_SENT;
byte me = 0;	 /* attempt, that is token and ISN */
byte epoch = 0;	 /* life of the client */
byte epochs[4];	 /* of each attempt */
byte chosen = 0; /* server token that the ACCEPT brought */
byte chose[4];	 /* the same for every attempt; it never changes */
bool cookie = false;
byte tries = 0;
byte retried = 0;

/* The listener. */
mtype link[4] = NONE;
byte owner[4];	  /* attempt */
bool validated[4];
byte accepts[4];  /* how often ACCEPT was sent by the timer */
byte links = 0;	  /* tokens drawn */
bool cookie_good[4];
bool was_live[4]; /* an attempt's link became LIVE once */
byte owed[4];	  /* an INIT came that may be answered once */

/* One packet comes out of the wire, and perhaps stays in it as well. */
inline take(packet)
{
	if
	:: packet = false
	:: faults > 0 -> faults--
	fi
}

/* --- what must be true ------------------------------------------------ */

#define AGREED(s) \
	((link[s] == NONE || link[s] == FORGOTTEN) || \
	 (link[s] == LIVE && state == OPEN && chosen == s))
#define CLIENT_DONE \
	(state == FAILED || (state == OPEN && link[chosen] == LIVE))

/*
 * Both sides come to the same view and keep it: no link is half open for
 * ever, none stays without its client, the client is OPEN with a live link
 * or has failed.
 */
#ifndef CALM
ltl settles { <>[](CLIENT_DONE && AGREED(1) && AGREED(2) && AGREED(3)) }
#else
/* With FAULTS=0 and nobody who crashes or forges: a link, if wanted. */
ltl opens { <>[](!agreeing || (state == OPEN && link[chosen] == LIVE)) }
#endif

/* Rule 2: not more answers than INITs before the address is validated. */
inline answer(a)
{
	assert(owed[a] > 0);
	owed[a] = 0
}

/* Called whenever a link has become LIVE. */
inline check_live(s)
{
	/* ACCEPT was seen, so the address receives: no stranger gets here. */
	assert(owner[s] != STRANGER);
	/* The link that the client chose, and the only one of its attempt. */
	assert(chose[owner[s]] == s);
	assert(!was_live[owner[s]]);
	was_live[owner[s]] = true;
	/* 4.5: one instance has one link, that of its newest life. */
	i = 1;
	do
	:: i <= LINKS ->
		assert(i == s || link[i] != LIVE);
		i++
	:: else -> break
	od
}

/* --- client ----------------------------------------------------------- */

inline send_init()
{
	/* 4.3: repeats carry the cookie, too. */
	if
	:: cookie -> p_initc[me] = true
	:: else -> p_init[me] = true
	fi
}

/* In this life or, with one more, in the next. */
inline attempt(more)
{
	me++;
	epoch = epoch + more;
	epochs[me] = epoch;
	state = INIT_SENT;
	chosen = 0;
	cookie = false;
	retried = 0;
	tries = 1;
	send_init()
}

/* What comes for other attempts has an unknown token: 4.1, dropped. */
#if MUTANT == 7
#define MINE(s) (owner[s] != 0)
#else
#define MINE(s) (owner[s] == me)
#endif

inline on_accept(s)
{
	take(p_accept[s]);
	if
	:: state == INIT_SENT && MINE(s) ->
		/* 4, rule 4: established, and says so at once. */
		state = OPEN;
		chosen = s;
		assert(chose[me] == 0);
		chose[me] = s;
		p_ack[s] = true
	:: state == OPEN && MINE(s) ->
		/* 10: ACCEPT again is answered with an ACK. */
		p_ack[chosen] = true
	:: else
	fi
}

active proctype client()
{
	byte s;

	atomic {
		if :: cookies = true :: cookies = false fi;
		if :: agreeing = true :: agreeing = false fi;
		attempt(1)
	}
end:	do
	:: atomic { p_retry[1] -> s = 1; goto on_retry }
	:: atomic { p_retry[2] -> s = 2; goto on_retry }
	:: atomic { p_retry[STRANGER] -> s = STRANGER; goto on_retry }
	:: atomic { p_accept[1] -> on_accept(1) }
	:: atomic { p_accept[2] -> on_accept(2) }
	:: atomic { p_accept[3] -> on_accept(3) }
	:: atomic { p_busy[1] -> take(p_busy[1]) }	/* soft: keep trying */
	:: atomic { p_busy[2] -> take(p_busy[2]) }
	:: atomic { p_never[1] -> take(p_never[1]); s = 1; goto on_never }
	:: atomic { p_never[2] -> take(p_never[2]); s = 2; goto on_never }
	:: atomic { p_never[STRANGER] -> take(p_never[STRANGER]) }
	:: atomic { p_busy[STRANGER] -> take(p_busy[STRANGER]) }
	:: atomic { p_gone[1] -> s = 1; goto on_gone }
	:: atomic { p_gone[2] -> s = 2; goto on_gone }
	:: atomic { p_gone[3] -> s = 3; goto on_gone }

	/* 4, rule 1: unanswered, INIT again; then its own time is up. */
	:: atomic { state == INIT_SENT && faults > 0 -> faults--; goto again }
	:: atomic { state == INIT_SENT && timeout -> goto again }
	/* 8.5: keepalive. (It changes nothing where all is well.) */
	:: atomic { state == OPEN && link[chosen] != LIVE && timeout ->
		p_ping[chosen] = true }

	/* Another attempt after a failure, or a later life after a crash. */
	:: atomic { state == FAILED && me < ATTEMPTS ->
		attempt(0) }
	:: atomic { crash && me < ATTEMPTS ->
		crash = false;
		attempt(1) }
	od;

on_retry:
	atomic {
		take(p_retry[s]);
		if
		/* 4.3: its own token and ISN, at most 3 times. */
		:: s == me && state == INIT_SENT && retried < RETRIES ->
			retried++;
			cookie = true;
			send_init()
		:: else
		fi;
		goto end
	}
on_never:
	atomic {
		if
		:: s == me && state == INIT_SENT -> state = FAILED
		:: else
		fi;
		goto end
	}
on_gone:
	atomic {
		take(p_gone[s]);
		if
		/* 8.6: the proof is the one that this peer gave. */
		:: state == OPEN && s == chosen -> state = FAILED
		:: else
		fi;
		goto end
	}
again:
	atomic {
		if
		:: tries < TRIES -> tries++; send_init()
		:: else -> state = FAILED
		fi;
		goto end
	}
}

/* --- listener --------------------------------------------------------- */

/*
 * 4.5: a link of an earlier life of the same instance ends, whether it is
 * established or not: an ACK that comes late could establish it yet.
 */
#if MUTANT == 4
#define GOES(s) (link[s] == LIVE)
#elif MUTANT == 6
#define GOES(s) (link[s] == HALF)
#else
#define GOES(s) (link[s] == LIVE || link[s] == HALF)
#endif

inline drop_earlier_life(a)
{
	i = 1;
	do
	:: i <= LINKS ->
		if
		:: a != STRANGER && GOES(i) && epochs[owner[i]] < epochs[a] ->
			link[i] = FORGOTTEN
		:: else
		fi;
		i++
	:: else -> break
	od
}

inline create(a, good)
{
	/* The stranger's INIT leaves no trace if cookies are asked for. */
	assert(!cookies || (good && a != STRANGER));
	/* Never two links at once for one attempt. */
	i = 1;
	do
	:: i <= links ->
		assert(owner[i] != a || link[i] == FORGOTTEN);
		i++
	:: else -> break
	od;
	links++;
	owner[links] = a;
	link[links] = HALF;
	validated[links] = good;
	p_accept[links] = true
}

/* INIT of attempt a; good: with a cookie that is right and not too old. */
inline on_init(a, good)
{
	owed[a] = 1; /* each is answered at once, or not at all */
	/* Rule 3: the same INIT again is answered with the same ACCEPT. */
	same = 0;
	i = 1;
	do
	:: i <= LINKS ->
		if
		:: MUTANT != 3 && owner[i] == a &&
		   (link[i] == HALF || link[i] == LIVE) ->
			same = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	if
	:: same != 0 && link[same] == HALF ->
		if
		:: validated[same]
		:: else -> answer(a)
		fi;
		p_accept[same] = true
	:: same != 0 && link[same] == LIVE /* not listed in 10: dropped */
	:: same == 0 && cookies && !good && MUTANT != 1 ->
		/* 4.3: RETRY, and nothing is kept. */
		answer(a);
		cookie_good[a] = a != STRANGER;
		p_retry[a] = true
	:: same == 0 && !(cookies && !good && MUTANT != 1) ->
		if
		:: !agreeing -> /* rule 2 */
			answer(a);
			p_never[a] = true
		:: agreeing && (links == LINKS || faults > 0) ->
			if
			:: faults > 0 -> faults--
			:: else
			fi;
			answer(a);
			p_busy[a] = true
		:: agreeing && links < LINKS ->
			if
			:: good
			:: else -> answer(a)
			fi;
			drop_earlier_life(a);
			create(a, good)
		fi
	fi
}

/* Rule 5: the first packet with T_s and ACKV establishes. */
inline on_ack(s)
{
	if
	:: link[s] == HALF ->
		link[s] = LIVE;
		check_live(s)
	:: else
	fi
}

inline on_ping(s)
{
	take(p_ping[s]);
	if
	:: link[s] == FORGOTTEN -> p_gone[s] = true /* 8.6 */
	:: else -> on_ack(s)
	fi
}

/* Rule 3: repeated a few times, then forgotten; 2: only if validated. */
inline half_timer(s)
{
	if
	:: accepts[s] < TRIES ->
		accepts[s]++;
		if
		:: validated[s] -> p_accept[s] = true
		:: !validated[s] && MUTANT == 5 ->
			answer(owner[s]);
			p_accept[s] = true
		:: else
		fi
	:: else -> link[s] = FORGOTTEN
	fi
}

#if MUTANT == 2
#define HALF_TIMER(s) (false)
#else
#define HALF_TIMER(s) (link[s] == HALF && timeout)
#endif

/* 8.5: a peer that is silent for the dead time. */
#define DEAD(s) (link[s] == LIVE && !(state == OPEN && chosen == s) && timeout)

active proctype listener()
{
	byte i;
	byte same;
	byte s;

end:	do
	:: atomic { p_init[1] -> take(p_init[1]); on_init(1, false) }
	:: atomic { p_init[2] -> take(p_init[2]); on_init(2, false) }
	:: atomic { p_init[STRANGER] -> take(p_init[STRANGER]);
		on_init(STRANGER, false) }
	:: atomic { p_initc[1] -> take(p_initc[1]); on_init(1, cookie_good[1]) }
	:: atomic { p_initc[2] -> take(p_initc[2]); on_init(2, cookie_good[2]) }
	:: atomic { p_initc[STRANGER] -> take(p_initc[STRANGER]);
		on_init(STRANGER, cookie_good[STRANGER]) }
	:: atomic { p_ack[1] -> take(p_ack[1]); on_ack(1) }
	:: atomic { p_ack[2] -> take(p_ack[2]); on_ack(2) }
	:: atomic { p_ack[3] -> take(p_ack[3]); on_ack(3) }
	:: atomic { p_ping[1] -> on_ping(1) }
	:: atomic { p_ping[2] -> on_ping(2) }
	:: atomic { p_ping[3] -> on_ping(3) }
	:: atomic { DEAD(1) -> link[1] = FORGOTTEN }
	:: atomic { DEAD(2) -> link[2] = FORGOTTEN }
	:: atomic { DEAD(3) -> link[3] = FORGOTTEN }
	:: atomic { faults > 0 && link[1] == HALF -> faults--; half_timer(1) }
	:: atomic { faults > 0 && link[2] == HALF -> faults--; half_timer(2) }
	:: atomic { HALF_TIMER(1) -> s = 1; goto on_half_timer }
	:: atomic { HALF_TIMER(2) -> s = 2; goto on_half_timer }
	:: atomic { HALF_TIMER(3) -> s = 3; goto on_half_timer }
	od;
on_half_timer:
	atomic {
		half_timer(s);
		goto end
	}
}

/* --- the others ------------------------------------------------------- */

/* Who cannot see the answers: no token, no cookie that would be right. */
active proctype stranger()
{
end:	do
	:: atomic { forged > 0 ->
		forged--;
		if
		:: p_init[STRANGER] = true
		:: p_initc[STRANGER] = true
		fi }
	od
}

#define LOSE(packet) atomic { faults > 0 && packet -> faults--; packet = false }

active proctype wire()
{
end:	do
	:: LOSE(p_init[1])
	:: LOSE(p_init[2])
	:: LOSE(p_initc[1])
	:: LOSE(p_initc[2])
	:: LOSE(p_retry[1])
	:: LOSE(p_retry[2])
	:: LOSE(p_busy[1])
	:: LOSE(p_busy[2])
	:: LOSE(p_never[1])
	:: LOSE(p_never[2])
	:: LOSE(p_accept[1])
	:: LOSE(p_accept[2])
	:: LOSE(p_accept[3])
	:: LOSE(p_ack[1])
	:: LOSE(p_ack[2])
	:: LOSE(p_ack[3])
	:: LOSE(p_ping[1])
	:: LOSE(p_ping[2])
	:: LOSE(p_ping[3])
	:: LOSE(p_gone[1])
	:: LOSE(p_gone[2])
	:: LOSE(p_gone[3])
	/* 4.3: a cookie is good for a while. */
	:: atomic { faults > 0 && cookie_good[1] ->
		faults--;
		cookie_good[1] = false }
	:: atomic { faults > 0 && cookie_good[2] ->
		faults--;
		cookie_good[2] = false }
	od
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Window, credit and the zero-window probe (docs/wire.md, section 6): one
 * direction, for ever, over a wire that loses until it heals.
 *
 *   sender -- DATA seq, FIRST | PING -->  receiver -- held --> application
 *     ^                                       |                   |
 *     `---- ACK ack, window, credit ----------'<---- released ----'
 *
 * A message has one or two packets. The receiver has room for WINDOW packets
 * and CREDIT messages, the application releases packets when it likes. Numbers
 * are modulo MOD, as on the wire, and go round; all comparisons are of short
 * distances. The wire is two short queues that lose anything until the wire
 * heals, and mix up the ACKs.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#ifndef KEEPS
#define KEEPS true
#endif

#define MOD    8
#define WINDOW 3
#define CREDIT 2
#define TELL   2 /* stands for min(size / 4, 8): tell at such a growth */

/* a - b, and is a before b; within half the numbers. */
#define MINUS(a, b)  (((a) + MOD - (b)) % MOD)
#define BEFORE(a, b) (MINUS(b, a) > 0 && MINUS(b, a) < MOD / 2)
#define NEXT(a)	     (((a) + 1) % MOD)

#define PING MOD /* in the place of a sequence number */

chan data = [2] of { byte, bool, bool };	/* sequence number, FIRST, LAST */
chan acks = [2] of { byte, byte, byte, bool };	/* ack, window, credit; late */

#ifdef CALM
bool healed = true; /* nothing was ever lost */
#else
bool healed = false;
#endif

/* The sender. */
byte nxt = 0;		 /* next new sequence number */
byte una = 0;
byte limit = WINDOW;	 /* newest window heard */
byte msgs = 0;		 /* messages begun */
byte allowed = CREDIT;	 /* newest credit heard */
bool inside = false;	 /* a message lacks its second packet */
bool heads[MOD];	 /* the packet with this number has FIRST... */
bool tails[MOD];	 /* ...or LAST */

/* The receiver. */
byte rcv = 0;
byte begun = 0;		 /* messages of which FIRST came */
byte freed = 0;		 /* packets released: those before are not held */
bool ends[MOD];		 /* a message ends with this packet */
byte window = WINDOW;	 /* as it could be told */
byte credit = CREDIT;
byte told_window = WINDOW;
byte told_credit = CREDIT;

bool tick; /* changes with every packet that arrives in order */

/*
 * Messages keep coming, whatever was lost before the wire healed. With CALM
 * nothing is lost, and assertions see to it that nothing needs repair.
 */
ltl goes_on { []<> tick && []<> !tick }

/* --- sender ----------------------------------------------------------- */

#define WINDOW_OPEN (BEFORE(nxt, limit))
#if MUTANT == 3
#define CREDIT_OPEN (true)
#else
#define CREDIT_OPEN (BEFORE(msgs, allowed))
#endif

active proctype sender()
{
end:	do
	/* The second packet of a message needs window only. */
	:: atomic { inside && WINDOW_OPEN && nfull(data) ->
		inside = false;
		heads[nxt] = false;
		tails[nxt] = true;
		data ! nxt, false, true;
		nxt = NEXT(nxt) }
	/* FIRST needs credit as well. One packet or two. */
	:: atomic { !inside && WINDOW_OPEN && CREDIT_OPEN && nfull(data) ->
		if
		:: inside = true
		:: inside = false
		fi;
		heads[nxt] = true;
		tails[nxt] = !inside;
		data ! nxt, true, !inside;
		nxt = NEXT(nxt);
		msgs = NEXT(msgs) }
	od
}

active proctype listens()
{
	byte a;
	byte w;
	byte c;
	bool late;

end:	do
	:: atomic { acks ? a, w, c, late ->
		/* Nobody acknowledges what was never sent. */
		assert(!BEFORE(nxt, a));
		if
		:: BEFORE(una, a) ->
			do
			:: una != a ->
				heads[una] = false;
				tails[una] = false;
				una = NEXT(una)
			:: else -> break
			od
		:: else
		fi;
		/* Limits never go back, a smaller one is ignored. */
		if
		:: BEFORE(limit, w) || MUTANT == 4 -> limit = w
		:: else
		fi;
		if
		:: BEFORE(allowed, c) -> allowed = c
		:: else
		fi;
		/* Not behind what is used already. */
		assert(!BEFORE(limit, nxt));
		late = false;
		a = 0; w = 0; c = 0 }
	od
}

#ifdef CALM
#define QUIET timeout
#else
#define QUIET (empty(data) && empty(acks))
#endif
#define STOPPED_BY_LIMIT (!WINDOW_OPEN || (!inside && !CREDIT_OPEN))

active proctype timer()
{
end:	do
	/* 7: what is not acknowledged is sent again. */
	:: atomic { una != nxt && QUIET ->
#ifdef CALM
		assert(false);
#endif
		data ! una, heads[una], tails[una] }
	/* 6: stopped by a limit, nothing in flight: probe. */
	:: atomic { una == nxt && STOPPED_BY_LIMIT && QUIET && MUTANT != 1 ->
#ifdef CALM
		assert(false);
#endif
		data ! PING, false, false }
	od
}

/* --- receiver --------------------------------------------------------- */

/* Every ACK tells the newest limits. */
inline send_ack()
{
	acks ! rcv, window, credit, false;
	told_window = window;
	told_credit = credit
}

inline on_new(seq, first, tail)
{
	/* 6: more than was told is a violation. */
	assert(BEFORE(seq, told_window));
	assert(!first || BEFORE(begun, told_credit));
	/* The storage is there: what was told is what there is. */
	assert(MINUS(rcv, freed) < WINDOW);
	ends[seq] = tail;
	if
	:: first -> begun = NEXT(begun)
	:: else
	fi;
	rcv = NEXT(rcv);
	tick = !tick;
	if
	:: MUTANT == 2 -> window = (rcv + WINDOW) % MOD
	:: else
	fi
}

#define GROWN(now, told, step) (MINUS(now, told) >= step)
#define USED_UP (rcv == told_window || begun == told_credit)

active proctype receiver()
{
	byte seq;
	bool first;
	bool tail;

end:	do
	:: atomic { nfull(acks) && nempty(data) ->
		data ? seq, first, tail;
		if
		:: seq == rcv -> on_new(seq, first, tail)
		:: else /* PING, a repeat, or one before it was lost */
		fi;
		send_ack();
		seq = 0;
		first = false;
		tail = false }
#if MUTANT != 6
	/* 6: a limit has grown by so much since it was told... */
	:: atomic { nfull(acks) && (GROWN(window, told_window, TELL) ||
				    GROWN(credit, told_credit, TELL)) ->
		send_ack() }
#endif
#if MUTANT != 5 && MUTANT != 6
	/* ...or at all, while the peer has used up what it was told. */
	:: atomic { nfull(acks) && USED_UP && (GROWN(window, told_window, 1) ||
					       GROWN(credit, told_credit, 1)) ->
		send_ack() }
#endif
	od
}

/*
 * The application releases in order, whenever it likes; one kind keeps each
 * message until the next one has begun. Storage comes back packet by packet,
 * credit with the last packet of a message.
 */
#define MSGS_HELD MINUS((begun + CREDIT) % MOD, credit)

active proctype application()
{
	bool keeps = KEEPS;

end:	do
	:: atomic { freed != rcv && (!keeps || MSGS_HELD > 1) ->
		if
		:: ends[freed] -> credit = NEXT(credit)
		:: else
		fi;
		ends[freed] = false;
		freed = NEXT(freed);
		if
		:: MUTANT != 2 -> window = NEXT(window)
		:: else
		fi }
	od
}

/* --- the wire --------------------------------------------------------- */

#ifndef CALM
active proctype wire()
{
	byte a;
	byte w;
	byte c;
	bool late;

end:	do
	:: atomic { !healed && nempty(data) -> data ? _, _, _ }
	:: atomic { !healed && nempty(acks) -> acks ? _, _, _, _ }
	/* One ACK is overtaken by the next; it is so once only (5.2: ts). */
	:: atomic { !healed && len(acks) == 2 && acks ? [a, w, c, false] ->
		acks ? a, w, c, late;
		acks ! a, w, c, true;
		a = 0; w = 0; c = 0; late = false }
	od
}

active proctype heals()
{
	healed = true
}
#endif

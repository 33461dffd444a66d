/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ends (docs/wire.md, 8.1 to 8.3, 8.5, 8.6): two sides, each with a direction
 * of its own, over a wire that loses, doubles and reorders.
 *
 *   side 0  -- DATA 0, DATA 1, FIN -->  side 1
 *           <-------- ACK, STOP ------
 *           <-- DATA 0, DATA 1, FIN --
 *           --------- ACK, STOP ----->
 *
 * The application of a side commits up to two messages, then closes or aborts
 * its direction, before or after the other one; it may stop reading at any
 * time. Whoever is through lingers, then forgets the link. Where nothing else
 * can happen (timeout), timers go off.
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ODDITIES
#define ODDITIES 1
#endif
#define LINGER (FAULTS - 1) /* as many repeats find a side that lingers */

/* So many messages: number 0 and 1. FIN has number 0, 1 or 2. */
#define MOST(i) (2 - (i))
#define P(i) (1 - (i))
#define AT(i, q) ((i) * 4 + (q))

/* The wire, by sender and number. */
bool p_data[8];
bool p_fin[8];	 /* the stream ends well */
bool p_abort[8]; /* FIN with ERROR */
bool p_ack[8];	 /* number: the next expected */
bool p_stop[2];	 /* the flag STOP, in any packet */
bool p_gone[2];	 /* to side i: the other one has forgotten the link */

byte oddities = ODDITIES; /* applications that abort or stop reading */
byte faults = FAULTS; /* packets lost or doubled, timers that are early */

/* Sending. */
mtype = { GOING, CLOSED, ABORTED };
mtype wish[2] = GOING;
byte pushed[2];
byte nxt[2];
byte una[2];
bool fin_sent[2];
byte fin_seq[2];
bool fin_ok[2];
bool peer_stopped[2];
mtype = { NONE, WELL, ILL };
mtype sent[2] = NONE; /* what the sender is told in the end */

/* Receiving. */
byte rcv[2];
byte got[2];
bool stopped[2];
mtype heard[2] = NONE; /* NONE: more may come, WELL: EOF, ILL: an error */

bool over[2];	 /* has forgotten the link */
byte lingers[2]; /* repeats of the peer since this side is through */
bool knocked[2]; /* has sent something to a side that is over */

/* Every run comes to an end for both. */
ltl ends { <>[](over[0] && over[1]) }

inline take(packet)
{
	if
	:: packet = false
	:: faults > 0 -> faults--
	fi
}

/* 8.1: with its FIN acknowledged, a sender knows the peer has everything. */
inline check_sent(i)
{
	assert(stopped[P(i)] || (got[P(i)] == pushed[i] && heard[P(i)] != NONE))
}

/* At the end of side i: nobody stopped or aborted, so all went well. */
inline check_end(i)
{
	assert(sent[i] == WELL || wish[i] == ABORTED || stopped[P(i)]);
	assert(heard[i] == WELL || wish[P(i)] == ABORTED || stopped[i])
}

/* Every packet with ACKV acknowledges, and tells STOP (8.3). */
inline send_ack(i)
{
	p_ack[AT(i, rcv[i])] = true;
	if
	:: stopped[i] && MUTANT != 4 -> p_stop[i] = true
	:: else
	fi
}

inline send_fin(i)
{
	if
	:: fin_ok[i] -> p_fin[AT(i, fin_seq[i])] = true
	:: else -> p_abort[AT(i, fin_seq[i])] = true
	fi
}

/* --- receiver --------------------------------------------------------- */

/* A packet for a link that is forgotten: silence, or GONE (8.6). */
inline nobody(i)
{
	if
	:: p_gone[P(i)] = true
	:: true
	fi
}

inline on_data(i, q)
{
	take(p_data[AT(P(i), q)]);
	if
	:: over[i] -> nobody(i)
	:: !over[i] ->
		/* After FIN no other number is used. */
		assert(!fin_sent[P(i)] || q < fin_seq[P(i)]);
		if
		:: heard[i] == NONE && !stopped[i] && q == rcv[i] ->
			rcv[i]++;
			got[i]++
		:: else /* a repeat, or early, or 8.3: discarded */
		fi;
		send_ack(i)
	fi
}

#if MUTANT == 2
#define IN_TURN(i, q) (true)
#elif MUTANT == 6
#define IN_TURN(i, q) (q == rcv[i])
#else
/* 8.3: once stopped, a FIN is taken at any number. */
#define IN_TURN(i, q) (q == rcv[i] || stopped[i])
#endif

inline on_fin(i, q, packet, result)
{
	take(packet);
	if
	:: over[i] -> nobody(i)
	:: !over[i] ->
		if
		:: heard[i] == NONE && IN_TURN(i, q) ->
			rcv[i] = q + 1;
			heard[i] = result;
			/* EOF after everything that was committed. */
			assert(stopped[i] || result != WELL ||
			       (got[i] == pushed[P(i)] &&
				wish[P(i)] == CLOSED))
		:: else
		fi;
		send_ack(i)
	fi
}

/* --- sender ----------------------------------------------------------- */

inline on_ack(i, v)
{
	take(p_ack[AT(P(i), v)]);
	if
	:: over[i] /* ACK is never answered */
	:: !over[i] ->
		/* 5.2: nobody acknowledges what was never sent. */
		assert(v <= nxt[i]);
		if
		:: v > una[i] -> una[i] = v
		:: else
		fi;
		if
		:: fin_sent[i] && una[i] == fin_seq[i] + 1 && sent[i] == NONE ->
			sent[i] = (fin_ok[i] -> WELL : ILL);
			check_sent(i)
		:: else
		fi
	fi
}

#define FIN_ACKED(i) (fin_sent[i] && una[i] == fin_seq[i] + 1)
#define ONLY_FIN(i)  (fin_sent[i] && una[i] == fin_seq[i])

inline on_stop(i)
{
	take(p_stop[P(i)]);
	if
	:: over[i] || peer_stopped[i] || FIN_ACKED(i)
	:: else ->
		peer_stopped[i] = true;
		if
		/* 8.3: all data was acknowledged: it has ended well. */
		:: ONLY_FIN(i)
		:: else ->
			/* Give up what is not sent or not acknowledged. */
			sent[i] = ILL;
			fin_ok[i] = fin_sent[i] && fin_ok[i];
			wish[i] = (wish[i] == GOING -> ABORTED : wish[i])
		fi
	fi
}

/* Committed and sent in one step: what is under way counts here. */
inline commit(i)
{
	p_data[AT(i, nxt[i])] = true;
	pushed[i]++;
	nxt[i]++
}

inline first_fin(i)
{
	fin_sent[i] = true;
	fin_seq[i] = nxt[i];
	/* 8.2 and 8.3: with ERROR if aborted or stopped. */
	fin_ok[i] = wish[i] == CLOSED && !peer_stopped[i];
	nxt[i]++;
	send_fin(i)
}

/* 8.1: both FINs received and acknowledged; then it stays a while... */
#if MUTANT == 5
#define THROUGH(i) (fin_sent[i] && heard[i] != NONE)
#else
#define THROUGH(i) (FIN_ACKED(i) && heard[i] != NONE)
#endif
/* ...so long that the peer's repeats are answered, if not all are lost. */
#define LINGERED(i) (over[P(i)] || !UNACKED(P(i)) || lingers[i] == LINGER)

/* 7: send again what is not acknowledged; what was given up is not. */
inline repeat(i)
{
	knocked[i] = over[P(i)];
	if
	:: THROUGH(P(i)) && lingers[P(i)] < LINGER -> lingers[P(i)]++
	:: else
	fi;
	if
	:: fin_sent[i] && (una[i] == fin_seq[i] || peer_stopped[i]) ->
		if
		:: MUTANT != 3 -> send_fin(i)
		:: else
		fi
	:: else -> p_data[AT(i, una[i])] = true
	fi
}
#define UNACKED(i) (!over[i] && una[i] < nxt[i] && \
		    !(peer_stopped[i] && !fin_sent[i]))

/* --- the end ---------------------------------------------------------- */

inline forget(i)
{
	check_end(i);
	over[i] = true
}

/* 8.1, 8.5, 8.6: the peer is silent, or says that it has forgotten. */
inline lost(i)
{
	if
	:: ONLY_FIN(i) && heard[i] != NONE && sent[i] == NONE && MUTANT != 1 ->
		sent[i] = (fin_ok[i] -> WELL : ILL);
		check_sent(i)
	:: sent[i] == NONE && !(ONLY_FIN(i) && heard[i] != NONE &&
				MUTANT != 1) -> sent[i] = ILL
	:: else
	fi;
	forget(i)
}

proctype side(byte i)
{
end:	do
	/* The application: commits, then closes; may abort or stop. */
	:: atomic { wish[i] == GOING && pushed[i] < MOST(i) -> commit(i) }
	:: atomic { wish[i] == GOING -> wish[i] = CLOSED }
	:: atomic { wish[i] == GOING && oddities > 0 ->
		oddities--;
		wish[i] = ABORTED }
	:: atomic { !stopped[i] && heard[i] == NONE && oddities > 0 ->
		oddities--;
		stopped[i] = true;
		p_stop[i] = true }

	/* Sending. */
	:: atomic { wish[i] != GOING && !fin_sent[i] -> first_fin(i) }
	:: atomic { faults > 0 && UNACKED(i) -> faults--; repeat(i) }
	:: atomic { UNACKED(i) && !(over[P(i)] && knocked[i]) && timeout ->
		repeat(i) }
	/*
	 * 8.3: STOP again, as a probe, until the FIN has come. (Once the peer
	 * knows, it changes nothing more.)
	 */
	:: atomic { stopped[i] && heard[i] == NONE && !over[i] &&
		    !peer_stopped[P(i)] && MUTANT != 4 && timeout ->
		p_stop[i] = true }

	/* What arrives. */
	:: atomic { p_data[AT(P(i), 0)] -> on_data(i, 0) }
	:: atomic { p_data[AT(P(i), 1)] -> on_data(i, 1) }
	:: atomic { p_fin[AT(P(i), 0)] ->
		on_fin(i, 0, p_fin[AT(P(i), 0)], WELL) }
	:: atomic { p_fin[AT(P(i), 1)] ->
		on_fin(i, 1, p_fin[AT(P(i), 1)], WELL) }
	:: atomic { p_fin[AT(P(i), 2)] ->
		on_fin(i, 2, p_fin[AT(P(i), 2)], WELL) }
	:: atomic { p_abort[AT(P(i), 0)] ->
		on_fin(i, 0, p_abort[AT(P(i), 0)], ILL) }
	:: atomic { p_abort[AT(P(i), 1)] ->
		on_fin(i, 1, p_abort[AT(P(i), 1)], ILL) }
	:: atomic { p_abort[AT(P(i), 2)] ->
		on_fin(i, 2, p_abort[AT(P(i), 2)], ILL) }
	:: atomic { p_ack[AT(P(i), 0)] -> on_ack(i, 0) }
	:: atomic { p_ack[AT(P(i), 1)] -> on_ack(i, 1) }
	:: atomic { p_ack[AT(P(i), 2)] -> on_ack(i, 2) }
	:: atomic { p_ack[AT(P(i), 3)] -> on_ack(i, 3) }
	:: atomic { p_stop[P(i)] -> on_stop(i) }
	:: atomic { p_gone[i] ->
		take(p_gone[i]);
		if
		:: over[i]
		:: else -> lost(i)
		fi }

	/* Lingering ends at some time; so does the patience with silence. */
	:: atomic { !over[i] && THROUGH(i) && LINGERED(i) && timeout ->
		forget(i) }
	:: atomic { !over[i] && over[P(i)] && timeout -> lost(i) }
	od
}

#define LOSE(packet) atomic { faults > 0 && packet -> faults--; packet = false }

active proctype wire()
{
	atomic { run side(0); run side(1) }
end:	do
	:: LOSE(p_data[AT(0, 0)])
	:: LOSE(p_data[AT(0, 1)])
	:: LOSE(p_data[AT(1, 0)])
	:: LOSE(p_data[AT(1, 1)])
	:: LOSE(p_fin[AT(0, 0)])
	:: LOSE(p_fin[AT(0, 1)])
	:: LOSE(p_fin[AT(0, 2)])
	:: LOSE(p_fin[AT(1, 0)])
	:: LOSE(p_fin[AT(1, 1)])
	:: LOSE(p_fin[AT(1, 2)])
	:: LOSE(p_abort[AT(0, 0)])
	:: LOSE(p_abort[AT(0, 1)])
	:: LOSE(p_abort[AT(0, 2)])
	:: LOSE(p_abort[AT(1, 0)])
	:: LOSE(p_abort[AT(1, 1)])
	:: LOSE(p_abort[AT(1, 2)])
	:: LOSE(p_ack[AT(0, 1)])
	:: LOSE(p_ack[AT(0, 2)])
	:: LOSE(p_ack[AT(0, 3)])
	:: LOSE(p_ack[AT(1, 1)])
	:: LOSE(p_ack[AT(1, 2)])
	:: LOSE(p_ack[AT(1, 3)])
	:: LOSE(p_stop[0])
	:: LOSE(p_stop[1])
	:: LOSE(p_gone[0])
	:: LOSE(p_gone[1])
	od
}

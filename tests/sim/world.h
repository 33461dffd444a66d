/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the simulator: the wire and its clock (world.c), an application
 * (side.c) and its driver (driver.c), what must hold (check.c).
 */
#ifndef WEIR_TESTS_WORLD_H
#define WEIR_TESTS_WORLD_H

#include <stddef.h>
#include <stdio.h>
#include "conn_impl.h"
#include "listen.h"
#include "prng.h"
#include "sim.h"

#define US         UINT64_C(1000)
#define MS         UINT64_C(1000000)
#define SEC        UINT64_C(1000000000)
#define NEVER      UINT64_MAX
#define PACKET_MAX 1600
#define HELD_MAX   512

struct packet {
	struct packet *next;
	uint32_t len;
	bool marked;    /* CE */
	bool damaged;   /* not as it was sent */
	bool broken;    /* and UDP's sum would tell */
	bool late;      /* a copy that comes long after its original */
	uint32_t holds; /* messages in it that are not released */
	uint8_t bytes[PACKET_MAX];
};

struct event {
	uint64_t at_ns;
	uint64_t order;        /* ties in order of creation */
	struct packet *packet; /* NULL: poll */
	int side;
};

/* The newest copy of a numbered packet, and what the wire did to it. */
struct sent_copy {
	uint64_t arrives_ns; /* NEVER: it is lost, or not as it was sent */
	bool overtaken;      /* one that was sent later comes before it */
};

#define COPIES 512 /* more than any send window */

/* A received message that the application has not released yet. */
struct held {
	uint64_t until_ns;
	struct packet *packet; /* NULL: copied, only the credit is held */
};

struct world;

struct side {
	struct world *world;
	int index;
	struct conn_config config;
	void *mem;
	struct weir_conn *conn; /* NULL: server without a connection */
	struct packet *inbox;
	struct packet **inbox_end;
	bool starving; /* no memory for a packet in this poll */
	uint64_t crc_caught;
	struct listen listen;
	uint32_t life;     /* so many crashes */
	uint32_t conns;    /* connections made */
	uint64_t link_id;  /* the client's token: the same on both sides */
	uint64_t back_ns;  /* down until then */
	uint64_t bytes_in; /* since the connection was made */
	uint64_t bytes_out;
	struct prng evil;
	uint64_t poll_ns;    /* how long until it notices a packet */
	uint64_t poll_at_ns; /* the poll that is scheduled */
	struct prng app;
	struct prng net;

	/* the application */
	uint32_t pushed;
	uint64_t pushed_ns; /* the newest */
	uint32_t popped;
	uint32_t received;
	uint32_t rx_offset; /* of the message being put together */
	uint32_t end_at;    /* special end after so many messages */
	bool opened;        /* the link was up */
	bool ended;         /* special end has happened */
	bool closed;
	bool vanished;
	bool done;
	uint64_t wait_ns; /* the application pauses */
	int rx_state;
	int tx_state;
	struct held held[HELD_MAX];
	uint32_t held_count;

	uint64_t last_ns;
	struct conn_gauge last; /* to see that nothing retreats */
	uint64_t aborted_ns;    /* when its direction was, on its own clock */
	uint32_t echo_ts;
	uint32_t ack_ts;
	struct conn_stats stats;
	struct sent_copy copies[COPIES]; /* by number */
	uint64_t newest_ns;              /* the last of them to arrive */
	uint64_t needless;               /* repairs of what was not hurt */
};

struct world {
	uint64_t seed;
	bool trace;
	uint64_t now_ns;
	struct sim_draw draw;
	struct sim_count *count;
	struct sim_result *result;
	struct side sides[2];
	struct event *heap;
	uint32_t heap_len;
	uint32_t heap_size;
	uint64_t order;
	uint64_t free_at_ns[2]; /* the wire is busy until then */
	uint64_t last_ns[2];    /* newest arrival that kept its order */
	uint64_t cut_until_ns[2];
	uint64_t cut_look_ns;
	bool bad[2];    /* spell of losses */
	bool in_jam[2]; /* its queue is longer than a round trip */
	struct prng net;
	uint64_t stalls;      /* of either side */
	uint64_t hurt;        /* packets lost, repeated or out of order */
	uint64_t jams;        /* times that a queue became so long */
	uint64_t packets_out; /* allocated, not freed */
	struct packet *spare;
	bool crashed; /* one side was restarted */
	bool failed;
};

/* world.c */
void world_fail(struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void world_trace(struct world *world, const struct side *side,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));
struct packet *packet_new(struct world *world);
void packet_free(struct world *world, struct packet *packet);
void world_schedule(struct world *world, uint64_t at_ns, int side,
		    struct packet *packet);
uint64_t world_send(struct world *world, int from, struct packet *packet,
		    bool ect);

/* side.c */
void side_init(struct world *world, int index);
void side_poll(struct side *side);
void side_fini(struct side *side);

/* driver.c */
void side_config(struct side *side);
void side_listen(struct side *side);
void side_connect(struct side *side);
void side_schedule(struct side *side, uint64_t at_ns);
void side_arrive(struct side *side, struct packet *packet);
void side_drop_inbox(struct side *side);
void side_take_packets(struct side *side);
void side_forge(struct side *side);
void side_transmit(struct side *side);

/* check.c */
void check_side(struct side *side);
void check_end(struct world *world);

/* The side's own clock, and back: not before the clock shows clock_ns. */
#define CLOCK_ZERO (1000 * SEC)

static inline uint64_t
side_now(const struct side *side)
{
	const struct sim_draw *draw = &side->world->draw;
	uint64_t past = side->world->now_ns - CLOCK_ZERO;
	uint64_t rate = (uint64_t)(1000000 + draw->skew_ppm[side->index]);

	return draw->clock_ns[side->index] + past * rate / 1000000;
}

static inline uint64_t
side_when(const struct side *side, uint64_t clock_ns)
{
	const struct sim_draw *draw = &side->world->draw;
	uint64_t rate = (uint64_t)(1000000 + draw->skew_ppm[side->index]);

	if (clock_ns == NEVER)
		return NEVER;
	if (clock_ns <= draw->clock_ns[side->index])
		return side->world->now_ns;
	return CLOCK_ZERO +
	       (clock_ns - draw->clock_ns[side->index]) * 1000000 / rate + 1;
}

static inline struct side *
side_peer(const struct side *side)
{
	return &side->world->sides[1 - side->index];
}

#endif

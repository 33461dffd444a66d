/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packet as it stands on the wire: one 40-byte header, extensions in
 * 8-byte words, payload, room for a trailer. docs/wire.md is normative; this
 * header and wire.c are the only places that know offsets. Every length that
 * comes from the network is checked in weir_wire_decode() and nowhere else.
 *
 *      0      1       2      3      4             8                     16
 *     +------+-------+------+------+-------------+---------------------+
 *     | v|ty | flags | hlen |  ce  |     seq     |        token        |
 *     +------+-------+------+------+-------------+----------+----------+
 *  16 |     ack      |   window    |      ts     |      ts_echo        |
 *     +-------+------+-------------+-------------+---------------------+
 *  32 |credit |ackdly|     mlo     |  extensions ... | payload ...     |
 *     +-------+------+-------------+-----------------------------------+
 *
 * Pure: no clock, no allocation, no I/O.
 */
#ifndef WEIR_WIRE_H
#define WEIR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VERSION_MIN 1
#define WIRE_VERSION_MAX 1

#define WIRE_HDR_LEN       40  /* header without extensions */
#define WIRE_HDR_MAX       248 /* 31 words: the most hlen can say */
#define WIRE_SACK_MAX      16  /* 64-bit words of SACK in an ACK */
#define WIRE_SACK_DATA_MAX 8   /* in DATA: must fit before the payload */
#define WIRE_DATA_HDR_MAX  (WIRE_HDR_LEN + 8 + 8 * WIRE_SACK_DATA_MAX)
#define WIRE_FULL_HDR_LEN  56  /* in front of a full payload: one SACK word */
#define WIRE_INIT_LEN      256 /* INIT is padded: answers are never longer */
#define WIRE_PARAMS_LEN    88
#define WIRE_ERROR_LEN     16
#define WIRE_PROOF_LEN     16 /* what GONE carries */
#define WIRE_PAD_LEN       8  /* the PAD of PING and FIN */
#define WIRE_COOKIE_MAX    64 /* the longest COOKIE extension */
#define WIRE_TRAILER_LEN   4  /* CRC32C behind the payload */
#define WIRE_CONTROL_MAX \
	256                   /* no packet without payload is longer,
				  * but for a padded hello */
#define WIRE_CREDIT_MAX 32767 /* messages a credit may be ahead */
#define WIRE_WINDOW_MAX 32768 /* packets a window may be ahead */
#define WIRE_TIME_SHIFT 6     /* ts and ack_dly count 64 ns */

/* Messages in a BATCH. */
#define WIRE_RECORDS_MIN 2
#define WIRE_RECORDS_MAX 64

#define WIRE_TICK_NS ((uint64_t)1 << WIRE_TIME_SHIFT)

enum wire_type {
	WIRE_INIT = 1,   /* client hello, padded to WIRE_INIT_LEN */
	WIRE_RETRY = 2,  /* come again with this cookie; stateless */
	WIRE_ACCEPT = 3, /* server hello */
	WIRE_REJECT = 4, /* no link, with a reason */
	WIRE_DATA = 5,   /* consumes a sequence number */
	WIRE_ACK = 6,    /* acknowledgement, window, credit; never acked */
	WIRE_PING = 7,   /* asks for an ACK: keepalive, probe */
	WIRE_FIN = 8,    /* end of a direction; consumes a sequence number */
	WIRE_RESET = 9,  /* the whole link is aborted */
	WIRE_GONE = 10,  /* no such link any more, with proof; stateless */
	WIRE_PROBE = 11, /* padded path-MTU probe (reserved) */
	WIRE_KEYUP = 12, /* key update (reserved) */
	WIRE_BATCH = 13, /* several small messages as records */
	WIRE_TYPES = 14,
};

enum wire_flag {
	WIRE_F_FIRST = 0x01,    /* first fragment: mlo is the message length */
	WIRE_F_LAST = 0x02,     /* last fragment */
	WIRE_F_ACKREQ = 0x04,   /* acknowledge at once */
	WIRE_F_RETX = 0x08,     /* this sequence number was sent before */
	WIRE_F_ACKV = 0x10,     /* ack, window, credit, ts_echo are valid */
	WIRE_F_TRAILER = 0x20,  /* a CRC32C follows the payload */
	WIRE_F_KEYPHASE = 0x40, /* (reserved) */
	WIRE_F_STOP = 0x80,     /* the sender of this takes no more messages */
};

enum wire_ext {
	WIRE_EXT_SACK = 1,
	WIRE_EXT_AUTH = 2, /* reserved */
	WIRE_EXT_COOKIE = 3,
	WIRE_EXT_PARAMS = 4,
	WIRE_EXT_RESUME = 5, /* reserved */
	WIRE_EXT_ERROR = 6,
	WIRE_EXT_PAD = 130, /* from 128 on: unknown ones are skipped */
};

/* Bits of wire_params.features. */
#define WIRE_FEATURE_BATCH  (UINT64_C(1) << 0) /* takes BATCH */
#define WIRE_FEATURE_ECN    (UINT64_C(1) << 2) /* counts CE marks */
#define WIRE_FEATURE_CRC32C (UINT64_C(1) << 1) /* all packets have a trailer */

enum wire_mode {
	WIRE_MODE_BARE = 1,
	WIRE_MODE_STABLE = 2, /* reserved */
};

/* Codes of the ERROR extension (REJECT, RESET, abortive FIN). */
enum wire_error {
	WIRE_E_NONE = 0,
	/* REJECT */
	WIRE_E_NO_LISTENER = 0x01, /* soft: the client goes on trying */
	WIRE_E_BUSY = 0x02,        /* soft: no room for another link now */
	WIRE_E_VERSION = 0x03,     /* no common version */
	WIRE_E_FEATURES = 0x04,    /* a required feature is missing */
	WIRE_E_MODE = 0x05,        /* mode not supported */
	WIRE_E_LIMITS = 0x06,      /* sizes that cannot work together */
	/* RESET: protocol violations */
	WIRE_E_ACK = 0x10,      /* acknowledges what was never sent */
	WIRE_E_WINDOW = 0x11,   /* packet beyond the window */
	WIRE_E_CREDIT = 0x12,   /* message beyond the credit */
	WIRE_E_FRAGMENT = 0x13, /* FIRST/LAST/offset rules broken */
	WIRE_E_LENGTH = 0x14,   /* message or fragment too long or empty */
	WIRE_E_FIN = 0x15,      /* data after FIN, or FIN moved */
	WIRE_E_PARAMS = 0x16,   /* parameters out of range */
	/* RESET, abortive FIN: by intention */
	WIRE_E_ABORT = 0x20,   /* the application destroyed a half or link */
	WIRE_E_STOPPED = 0x21, /* answer to STOP */
	WIRE_E_GOING = 0x22,   /* the port is being closed */
	WIRE_E_DEAD = 0x23,    /* the sender had declared the peer dead */
	WIRE_E_NARROW = 0x24,  /* the path takes short packets only */
};

/*
 * A decoded header. The first 40 bytes mirror the wire in host byte order;
 * the rest points into the packet, which must stay in place meanwhile.
 */
struct wire_hdr {
	uint8_t vt; /* version << 4 | type */
	uint8_t flags;
	uint8_t hlen; /* in 8-byte words */
	uint8_t ce;
	uint32_t seq;
	uint64_t token;
	uint32_t ack;
	uint32_t window;
	uint32_t ts;
	uint32_t ts_echo;
	uint16_t credit;
	uint16_t ack_delay; /* 64 ns units */
	uint32_t mlo;       /* message length, fragment offset, records */

	const uint8_t *payload;
	uint32_t payload_len;
	bool marked; /* it came with ECN's CE; set by who has seen the IP
		      * header, after decoding */
	uint32_t sack_words;   /* 0: no SACK */
	const uint8_t *sack;   /* sack_words little-endian 64-bit words */
	const uint8_t *params; /* whole PARAMS extension, or NULL */
	const uint8_t *error;  /* whole ERROR extension, or NULL */
	const uint8_t *cookie; /* whole COOKIE extension, or NULL */
};

/* Why a packet cannot even be decoded. Each has a name for a counter. */
enum wire_drop {
	WIRE_OK,
	WIRE_DROP_SHORT,    /* ends inside the header */
	WIRE_DROP_VERSION,  /* not our version */
	WIRE_DROP_TYPE,     /* unknown type, or one not in use yet */
	WIRE_DROP_FLAGS,    /* a reserved flag is set */
	WIRE_DROP_HLEN,     /* header length out of range or past the end */
	WIRE_DROP_EXT,      /* extension length wrong, or one twice */
	WIRE_DROP_CRITICAL, /* unknown extension that must be understood */
	WIRE_DROP_PAYLOAD,  /* payload on a type that has none */
	WIRE_DROP_CRC,      /* no room for a trailer, or it is wrong */
	WIRE_DROP_BATCH,    /* records that do not fit into each other */
	WIRE_DROPS,
};

/* What INIT and ACCEPT say about their sender: the PARAMS extension. */
struct wire_params {
	uint64_t token; /* to be written into every packet to this sender */
	uint64_t features;
	uint64_t instance; /* who: stays the same over restarts */
	uint64_t epoch;    /* which life: grows with each restart */
	uint32_t isn;      /* sequence number of its first packet */
	uint32_t frag_size;
	uint32_t window_packets;
	uint32_t credit_msgs;
	uint32_t msg_size_max;
	uint32_t max_ack_delay_ns;
	uint32_t dead_timeout_ms;
	uint16_t data_port;  /* 0: the port this packet came from */
	uint16_t modes;      /* bits of enum wire_mode; in ACCEPT exactly one */
	uint8_t version_min; /* in ACCEPT both are the chosen one */
	uint8_t version_max;
	uint8_t proof[WIRE_PROOF_LEN]; /* what GONE will carry; 0: none */
};

/* The ERROR extension. */
struct wire_error_info {
	uint32_t code; /* enum wire_error */
	uint32_t seq;
	uint8_t version_min;
	uint8_t version_max;
};

/**
 * Decode and check one packet (the UDP payload, or what stands for it). With
 * WIRE_F_TRAILER in out->flags its last WIRE_TRAILER_LEN bytes are not part of
 * the payload, and the caller has to look at them: wire_trailer_is().
 * @return WIRE_OK, else the reason to drop it; out is then undefined.
 */
enum wire_drop weir_wire_decode(const uint8_t *bytes, uint32_t len,
				struct wire_hdr *out);

/** @return a short lower-case name for a counter. */
const char *weir_wire_drop_name(enum wire_drop reason);
const char *weir_wire_type_name(uint8_t type);

/** Write the 40 bytes of a header; extensions follow separately. */
void weir_wire_encode(const struct wire_hdr *hdr, uint8_t *dst);

/** Extensions: each writes at dst and returns its length in bytes. */
uint32_t weir_wire_put_sack(const uint64_t *words, uint32_t count,
			    uint8_t *dst);
uint32_t weir_wire_put_params(const struct wire_params *params, uint8_t *dst);
uint32_t weir_wire_put_error(const struct wire_error_info *error, uint8_t *dst);
uint32_t weir_wire_put_pad(uint8_t *dst); /* the one of PING and FIN */

/** GONE: a whole packet of WIRE_HDR_LEN bytes. */
void weir_wire_put_gone(uint64_t token, const uint8_t proof[WIRE_PROOF_LEN],
			uint8_t *dst);
void weir_wire_get_gone(const struct wire_hdr *hdr,
			uint8_t proof[WIRE_PROOF_LEN]);

/** Read an extension that weir_wire_decode() found. */
uint64_t weir_wire_get_sack(const uint8_t *sack, uint32_t word);
void weir_wire_get_params(const uint8_t *ext, struct wire_params *out);
void weir_wire_get_error(const uint8_t *ext, struct wire_error_info *out);

static inline uint8_t
wire_hdr_type(const struct wire_hdr *hdr)
{
	return hdr->vt & 15;
}

/* Where the owner of a token finds its link: the low 16 bits are an index. */
static inline uint16_t
wire_token_index(uint64_t token)
{
	return (uint16_t)token;
}

/* Trailers go behind the payload, with the flag WIRE_F_TRAILER. */
static inline void
wire_put_trailer(uint8_t *end, uint32_t crc)
{
	for (int i = 0; i < WIRE_TRAILER_LEN; i++)
		end[i] = (uint8_t)(crc >> (8 * i));
}

/* Does that packet, trailer included, end with this CRC? */
static inline int
wire_trailer_is(const uint8_t *packet, uint32_t len, uint32_t crc)
{
	uint8_t want[WIRE_TRAILER_LEN];

	wire_put_trailer(want, crc);
	return memcmp(packet + len - WIRE_TRAILER_LEN, want, sizeof(want)) == 0;
}

/*
 * What is not for the usual packet stands in a function of its own, so that
 * the usual one need not save registers for it.
 */
#define WEIR_RARE __attribute__((noinline, cold))

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define WIRE_LE16(v) __builtin_bswap16(v)
#define WIRE_LE32(v) __builtin_bswap32(v)
#define WIRE_LE64(v) __builtin_bswap64(v)
#else
#define WIRE_LE16(v) (v)
#define WIRE_LE32(v) (v)
#define WIRE_LE64(v) (v)
#endif

/*
 * Records: lengths of 2 bytes, zeros up to a word, then the messages, each
 * padded to a word but the last.
 *
 *     | len 0 | len 1 | len 2 | 0 | message 0 .. 0 | message 1 .. 0 | msg 2 |
 */
static inline uint32_t
wire_round8(uint32_t len)
{
	return (len + 7) & ~(uint32_t)7;
}

static inline uint32_t
wire_records_table(uint32_t count)
{
	return wire_round8(2 * count);
}

/* Walks the records of a payload that weir_wire_decode() let through. */
struct wire_records {
	const uint8_t *len;
	const uint8_t *message;
};

static inline struct wire_records
wire_records(const uint8_t *payload, uint32_t count)
{
	return (struct wire_records){ payload,
				      payload + wire_records_table(count) };
}

static inline const uint8_t *
wire_records_next(struct wire_records *records, uint32_t *len)
{
	const uint8_t *message = records->message;
	uint16_t size;

	memcpy(&size, records->len, sizeof(size));
	*len = WIRE_LE16(size);
	records->len += sizeof(size);
	records->message += wire_round8(*len);
	return message;
}

/*
 * The same for the data path. Field by field: a header that is built in
 * registers goes straight out.
 */
static inline __attribute__((always_inline)) void
wire_encode(const struct wire_hdr *hdr, uint8_t *dst)
{
	uint32_t seq = WIRE_LE32(hdr->seq);
	uint64_t token = WIRE_LE64(hdr->token);
	uint32_t ack = WIRE_LE32(hdr->ack);
	uint32_t window = WIRE_LE32(hdr->window);
	uint32_t ts = WIRE_LE32(hdr->ts);
	uint32_t ts_echo = WIRE_LE32(hdr->ts_echo);
	uint16_t credit = WIRE_LE16(hdr->credit);
	uint16_t ack_delay = WIRE_LE16(hdr->ack_delay);
	uint32_t mlo = WIRE_LE32(hdr->mlo);

	dst[0] = hdr->vt;
	dst[1] = hdr->flags;
	dst[2] = hdr->hlen;
	dst[3] = hdr->ce;
	memcpy(dst + 4, &seq, 4);
	memcpy(dst + 8, &token, 8);
	memcpy(dst + 16, &ack, 4);
	memcpy(dst + 20, &window, 4);
	memcpy(dst + 24, &ts, 4);
	memcpy(dst + 28, &ts_echo, 4);
	memcpy(dst + 32, &credit, 2);
	memcpy(dst + 34, &ack_delay, 2);
	memcpy(dst + 36, &mlo, 4);
}

#endif

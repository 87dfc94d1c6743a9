/*
 * test/stand/flood.c
 *	  Abuses a member's port: datagrams by the thousand, with any source address.
 *
 * usage: flood record FILE PORT SECONDS
 *		  flood MODE FILE TARGET:PORT SOURCE:PORT RATE SECONDS		as root
 *
 * "record" writes down what this network namespace receives on a UDP port.  The
 * modes send so many datagrams a second, made of such a recording:
 *
 *	  garbage	random bytes of any length up to 600
 *	  foreign	random bytes behind the first 8 of a real one, and of its size
 *	  unsigned	what a member would say, without authentication: heartbeats of a
 *				later term, vote requests, greetings of a start that never was
 *	  badtag	what a member has said, with its echo and a later number, and a tag
 *				that nobody has made
 *	  near		the same with numbers that the member may come to at any moment
 *	  greeting	greetings of starts that never were, with a tag that nobody has made
 *	  replay	what was recorded, unchanged, over and over
 *	  greeted	of it, the greetings alone
 *
 * "SOURCE:PORT" is written into the packets, whoever sends them.  When the
 * recording has datagrams from there, only these are used.  Prints one line:
 * "sent N datagrams in T s: R a second".  IPv4 only, as the stand is.
 *
 * For Abuse.pm.  For networks of one's own making: it forges addresses.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM	 264
#define LONGEST		 600
#define BATCH		 50
#define RECORDED_MAX 20000

/* Offsets of raft/message.h. */
#define TYPE	 5
#define KEY_ID	 6
#define FLAGS	 7
#define BOOT	 32
#define STARTS	 40
#define ECHO	 48
#define SEQUENCE 64
#define TERM	 80
#define BODY	 88
#define TAG		 232

typedef struct Recorded
{
	uint32_t source;
	uint16_t port;
	uint8_t	 bytes[DATAGRAM];
} Recorded;

typedef struct Packet
{
	struct iphdr  ip;
	struct udphdr udp;
	uint8_t		  bytes[LONGEST];
} __attribute__((packed)) Packet;

static Recorded recorded[RECORDED_MAX];
static int		n_recorded;
static uint64_t state = 88172645463325252u;

static void
die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t) value;
}

static uint64_t
get(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | at[i];
	return value;
}

static void
fill(uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t) (number() >> 24);
}

static struct sockaddr_in
address(const char *text)
{
	struct sockaddr_in result = {.sin_family = AF_INET};
	char			   host[64];
	unsigned		   port;

	if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
		inet_pton(AF_INET, host, &result.sin_addr) != 1)
	{
		fprintf(stderr, "flood: \"%s\" is not ADDRESS:PORT\n", text);
		exit(2);
	}
	result.sin_port = htons((uint16_t) port);
	return result;
}

/* ---- recording ---- */

static void
record(const char *path, unsigned port, double seconds)
{
	struct sockaddr_ll from;
	struct timeval	   patience = {.tv_usec = 100000};
	double			   until = seconds_now() + seconds;
	FILE			  *out = fopen(path, "we");
	int				   fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	int				   n = 0;

	if (out == NULL)
		die(path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
		die("cannot capture");
	while (seconds_now() < until && n < RECORDED_MAX)
	{
		uint8_t		  bytes[2048];
		socklen_t	  length = sizeof(from);
		ssize_t		  size = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *) &from, &length);
		struct iphdr  ip;
		struct udphdr udp;
		Recorded	  r;
		size_t		  header;

		if (size < (ssize_t) sizeof(ip) || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		memcpy(&ip, bytes, sizeof(ip));
		header = ip.ihl * 4u;
		if (ip.protocol != IPPROTO_UDP || (size_t) size != header + sizeof(udp) + DATAGRAM)
			continue;
		memcpy(&udp, bytes + header, sizeof(udp));
		if (ntohs(udp.dest) != port)
			continue;
		r.source = ip.saddr;
		r.port = udp.source;
		memcpy(r.bytes, bytes + header + sizeof(udp), DATAGRAM);
		if (fwrite(&r, sizeof(r), 1, out) != 1)
			die(path);
		n++;
	}
	if (fclose(out) != 0)
		die(path);
	printf("recorded %d datagrams\n", n);
}

static void
read_recording(const char *path, const struct sockaddr_in *source)
{
	FILE	*in = fopen(path, "re");
	Recorded r;
	int		 n_from_source = 0;

	if (in == NULL)
		die(path);
	while (n_recorded < RECORDED_MAX && fread(&r, sizeof(r), 1, in) == 1)
		recorded[n_recorded++] = r;
	fclose(in);
	for (int i = 0; i < n_recorded; i++)
	{
		if (recorded[i].source == source->sin_addr.s_addr && recorded[i].port == source->sin_port)
			recorded[n_from_source++] = recorded[i];
	}
	if (n_from_source > 0)
		n_recorded = n_from_source;
	if (n_recorded == 0)
	{
		fprintf(stderr, "flood: there is no datagram in %s\n", path);
		exit(1);
	}
}

/* ---- making datagrams ---- */

static size_t
garbage(uint8_t *bytes, uint64_t n)
{
	size_t length = 1 + number() % LONGEST;

	(void) n;
	fill(bytes, length);
	return length;
}

static size_t
foreign(uint8_t *bytes, uint64_t n)
{
	memcpy(bytes, recorded[n % (uint64_t) n_recorded].bytes, 8);
	fill(bytes + 8, DATAGRAM - 8);
	return DATAGRAM;
}

static size_t
replay(uint8_t *bytes, uint64_t n)
{
	memcpy(bytes, recorded[n % (uint64_t) n_recorded].bytes, DATAGRAM);
	return DATAGRAM;
}

static size_t
unsigned_one(uint8_t *bytes, uint64_t n)
{
	static const uint8_t types[] = {1, 8, 6, 2, 9, 7};

	memcpy(bytes, recorded[n % (uint64_t) n_recorded].bytes, DATAGRAM);
	bytes[TYPE] = types[n % sizeof(types)];
	bytes[KEY_ID] = 0;
	bytes[FLAGS] = 2;
	put(bytes + SEQUENCE, get(bytes + SEQUENCE, 8) + 1000 + n, 8);
	put(bytes + TERM, get(bytes + TERM, 8) + 1000, 8);
	memset(bytes + BODY, 0, DATAGRAM - BODY);
	put(bytes + 136, UINT64_MAX, 8); /* no leader, replaces none */
	if (bytes[TYPE] == 1)
	{
		/* the greeting of a later start */
		put(bytes + BOOT, get(bytes + BOOT, 8) + 1 + n, 8);
		put(bytes + STARTS, number(), 8);
		memset(bytes + ECHO, 0, 16);
		return DATAGRAM;
	}
	put(bytes + ECHO + 8, number(), 8); /* nobody told us the real one */
	if (bytes[TYPE] == 8 || bytes[TYPE] == 6)
		put(bytes + 104, 200000, 8); /* asks for a promise */
	return DATAGRAM;
}

static size_t
badtag(uint8_t *bytes, uint64_t n)
{
	memcpy(bytes, recorded[n % (uint64_t) n_recorded].bytes, DATAGRAM);
	put(bytes + SEQUENCE, get(bytes + SEQUENCE, 8) + 1000 + n, 8);
	put(bytes + TERM, get(bytes + TERM, 8) + 1, 8);
	if (bytes[KEY_ID] == 0)
		bytes[KEY_ID] = 1;
	fill(bytes + TAG, DATAGRAM - TAG);
	return DATAGRAM;
}

static size_t
near(uint8_t *bytes, uint64_t n)
{
	return badtag(bytes, n % 40000);
}

static size_t
greeting(uint8_t *bytes, uint64_t n)
{
	(void) unsigned_one(bytes, 0);
	put(bytes + BOOT, get(bytes + BOOT, 8) + n, 8);
	bytes[KEY_ID] = 1;
	fill(bytes + TAG, DATAGRAM - TAG);
	return DATAGRAM;
}

static size_t
greeted(uint8_t *bytes, uint64_t n)
{
	if (n == 0)
	{
		int n_greetings = 0;

		for (int i = 0; i < n_recorded; i++)
		{
			if (recorded[i].bytes[TYPE] == 1)
				recorded[n_greetings++] = recorded[i];
		}
		n_recorded = n_greetings;
	}
	if (n_recorded == 0)
	{
		fprintf(stderr, "flood: there is no greeting in the recording\n");
		exit(1);
	}
	return replay(bytes, n);
}

/* ---- sending ---- */

typedef size_t (*Maker)(uint8_t *bytes, uint64_t n);

static Maker
maker_of(const char *mode)
{
	static const struct
	{
		const char *mode;
		Maker		maker;
	} modes[] = {{"garbage", garbage}, {"foreign", foreign}, {"unsigned", unsigned_one}, {"badtag", badtag}, {"near", near}, {"greeting", greeting}, {"replay", replay}, {"greeted", greeted}};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
	{
		if (strcmp(mode, modes[i].mode) == 0)
			return modes[i].maker;
	}
	fprintf(stderr, "flood: there is no mode %s\n", mode);
	exit(2);
}

static void
flood(Maker make, const struct sockaddr_in *target, const struct sockaddr_in *source, double rate,
	  double seconds)
{
	static Packet  packets[BATCH];
	struct mmsghdr headers[BATCH] = {0};
	struct iovec   places[BATCH];
	int			   fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	double		   began = seconds_now();
	double		   now;
	uint64_t	   sent = 0;

	if (fd < 0)
		die("cannot forge packets");
	for (int i = 0; i < BATCH; i++)
	{
		headers[i].msg_hdr.msg_name = (void *) target;
		headers[i].msg_hdr.msg_namelen = sizeof(*target);
		headers[i].msg_hdr.msg_iov = &places[i];
		headers[i].msg_hdr.msg_iovlen = 1;
	}
	while ((now = seconds_now()) < began + seconds)
	{
		double due = began + (double) sent / rate;
		int	   n;

		if (due > now)
		{
			struct timespec pause = {.tv_nsec = (long) ((due - now) * 1e9)};

			if (pause.tv_nsec > 999999999)
				pause.tv_nsec = 999999999;
			nanosleep(&pause, NULL);
		}
		for (int i = 0; i < BATCH; i++)
		{
			Packet *p = &packets[i];
			size_t	length = make(p->bytes, sent + (uint64_t) i);

			p->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .saddr = source->sin_addr.s_addr, .daddr = target->sin_addr.s_addr};
			p->ip.tot_len = htons((uint16_t) (sizeof(p->ip) + sizeof(p->udp) + length));
			p->udp.source = source->sin_port;
			p->udp.dest = target->sin_port;
			p->udp.len = htons((uint16_t) (sizeof(p->udp) + length));
			p->udp.check = 0; /* none */
			places[i].iov_base = p;
			places[i].iov_len = sizeof(p->ip) + sizeof(p->udp) + length;
		}
		n = sendmmsg(fd, headers, BATCH, 0);
		if (n > 0)
			sent += (uint64_t) n;
		else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("cannot send");
	}
	printf("sent %llu datagrams in %.1f s: %.0f a second\n", (unsigned long long) sent, now - began,
		   (double) sent / (now - began));
}

int
main(int argc, char **argv)
{
	struct sockaddr_in target;
	struct sockaddr_in source;

	if (argc == 5 && strcmp(argv[1], "record") == 0)
	{
		record(argv[2], (unsigned) atoi(argv[3]), atof(argv[4]));
		return 0;
	}
	if (argc != 7 || atof(argv[5]) < 1 || atof(argv[6]) <= 0)
	{
		fprintf(stderr, "usage: flood record FILE PORT SECONDS\n"
						"       flood MODE FILE TARGET:PORT SOURCE:PORT RATE SECONDS\n");
		return 2;
	}
	target = address(argv[3]);
	source = address(argv[4]);
	if (strcmp(argv[1], "garbage") != 0)
		read_recording(argv[2], &source);
	flood(maker_of(argv[1]), &target, &source, atof(argv[5]), atof(argv[6]));
	return 0;
}

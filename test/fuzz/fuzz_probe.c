/*
 * test/fuzz/fuzz_probe.c
 *	  Fuzz target: any bytes as an HTTP request, into probe_read(), which anybody can send.
 *
 * They are given piece by piece, as a socket does.  Once a request is whole or bad, what comes
 * behind it changes nothing; and no request finds a primary without a lease.
 */
#include <string.h>

#include "../../primary/probe.h"
#include "fuzz.h"

/* A copy without a byte behind it. */
static ProbeRead
read_first(const uint8_t *data, size_t length, ProbeRequest *request)
{
	char	 *copy = malloc(length > 0 ? length : 1);
	ProbeRead read;

	CHECK(copy != NULL, "memory");
	if (length > 0)
		memcpy(copy, data, length);
	read = probe_read(copy, length, request);
	free(copy);
	return read;
}

static void
check_request(const ProbeRequest *request)
{
	ProbeFacts facts = {.now = 10, .managed = true, .process = PROBE_RUNS, .election = {.lease_term = 1, .leader_id = 0}, .server = {.open_term = 1, .server = RAFT_SERVER_PRIMARY, .is_ready = true}};
	int		   status = probe_status(request, &facts);
	bool	   is_always = request->path >= PROBE_HEALTH && request->path != PROBE_READINESS;

	CHECK(request->method <= PROBE_CHANGES && request->path <= PROBE_ORDER, "possible");
	CHECK(status != 200 || is_always, "no primary without a lease");
	CHECK(status != 200 || request->method != PROBE_CHANGES, "nothing is changed");
	CHECK(!request->is_wrong || status != 200, "what cannot be read is not answered with yes");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ProbeRequest first = {0};
	ProbeRead	 read = PROBE_MORE;
	size_t		 step = size / 16 + 1;

	for (size_t length = 0; length <= size; length += step)
	{
		ProbeRequest request;
		ProbeRead	 now = read_first(data, length, &request);

		if (read == PROBE_MORE)
		{
			read = now;
			first = request;
			if (now == PROBE_WHOLE)
				check_request(&request);
		}
		CHECK(now == read, "it stays what it was");
		CHECK(now != PROBE_WHOLE || memcmp(&first, &request, sizeof(first)) == 0, "the same request");
	}
	return 0;
}

/*
 * keep/stream.c
 *	  The receiver, while it streams.
 *
 * See stream.h; how it begins is in stream_begin.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <poll.h>
#include <string.h>
#include <time.h>

#include "../node/clock.h"
#include "../node/record.h"
#include "stream.h"

/* How often the state is saved, and the server told, us. */
#define SAVE_INTERVAL UINT64_C(100000)
#define TELL_INTERVAL UINT64_C(1000000)

/* So much WAL is taken before it is flushed although more has come. */
#define MOST_AT_ONCE (UINT64_C(8) << 20)

/* Of messages: 'w', where it begins, the end of the server's WAL, its time; 'k', the end, the time, reply wanted. */
#define WAL_HEADER	   25
#define KEEPALIVE_SIZE 18
#define STATUS_SIZE	   34
#define POSTGRES_EPOCH INT64_C(946684800) /* s since 1970 */

/* SQLSTATE of WAL that has been removed. */
#define UNDEFINED_FILE "58P01"

void
stream_init(Stream *stream, Archive *archive, const Members *members)
{
	memset(stream, 0, sizeof(*stream));
	stream->archive = archive;
	stream->members = members;
	stream->member = -1;
	wal_init(&stream->file);
}

bool
stream_is_on(const Stream *stream)
{
	return stream->connection != NULL;
}

/* ---- what is durable ---- */

static bool
save(Stream *stream, Words *words)
{
	ArchiveState next = stream->archive->state;

	/* what is received again, from the beginning of the segment on, is there already */
	if (stream->flushed <= next.durable)
		return true;
	next.durable = stream->flushed;
	stream->saved_at = clock_now();
	stream->tell = true;
	return archive_save(stream->archive, &next, words);
}

static bool
flush(Stream *stream, Words *words)
{
	if (!wal_flush(&stream->file, words))
		return false;
	stream->flushed = stream->received;
	return true;
}

/* ---- telling the server ---- */

static bool
tell(Stream *stream, Words *words)
{
	uint8_t			status[STATUS_SIZE];
	uint64_t		durable = stream->archive->state.durable;
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	status[0] = 'r';
	put_number(status + 1, 8, stream->received > durable ? stream->received : durable);
	put_number(status + 9, 8, durable);
	put_number(status + 17, 8, 0); /* it applies nothing */
	put_number(status + 25, 8, (uint64_t) ((now.tv_sec - POSTGRES_EPOCH) * 1000000 + now.tv_nsec / 1000));
	status[33] = 0;
	stream->told_at = clock_now();
	stream->tell = false;
	if (PQputCopyData(stream->connection, (const char *) status, sizeof(status)) > 0 && PQflush(stream->connection) >= 0)
		return true;
	return words_set(words, "", "could not tell %s what has come: the connection is broken", stream->members->at[stream->member].name);
}

/* ---- messages ---- */

static StreamEnd
take_wal(Stream *stream, const char *message, size_t length, Words *words)
{
	uint64_t at = get_number((const uint8_t *) message + 1, 8);
	uint64_t whole = 0;

	if (at != stream->received)
	{
		(void) words_set(words, "If this persists, see the log of that server.", "%s sent WAL from %X/%X on, and not from %X/%X",
						 stream->members->at[stream->member].name, (unsigned) (at >> 32), (unsigned) at,
						 (unsigned) (stream->received >> 32), (unsigned) stream->received);
		return STREAM_BROKEN;
	}
	stream->sent = get_number((const uint8_t *) message + 9, 8);
	if (!wal_write(stream->archive, &stream->file, stream->timeline, at, message + WAL_HEADER, length - WAL_HEADER, &whole, words))
		return STREAM_BROKEN;
	stream->received = at + (length - WAL_HEADER);
	if (whole == 0)
		return STREAM_GOES_ON;

	/* what is complete has its own name and is on disk: the state says so as well */
	stream->flushed = whole;
	return save(stream, words) ? STREAM_GOES_ON : STREAM_BROKEN;
}

static StreamEnd
take_message(Stream *stream, const char *message, size_t length, Words *words)
{
	if (message[0] == 'w' && length >= WAL_HEADER)
		return take_wal(stream, message, length, words);
	if (message[0] == 'k' && length >= KEEPALIVE_SIZE)
	{
		stream->sent = get_number((const uint8_t *) message + 1, 8);
		stream->tell |= message[17] != 0;
		return STREAM_GOES_ON;
	}
	(void) words_set(words, "Is that a PostgreSQL server?", "%s sent something else than WAL", stream->members->at[stream->member].name);
	return STREAM_BROKEN;
}

/*
 * The server has no more of that timeline; what it says of the next one is not needed, see plan_begin().
 * Or it has failed.
 */
static StreamEnd
end_of_copy(Stream *stream, Words *words)
{
	PGresult	  *result = PQgetResult(stream->connection);
	ExecStatusType status = result != NULL ? PQresultStatus(result) : PGRES_FATAL_ERROR;
	const char	  *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	StreamEnd	   end = STREAM_BROKEN;
	char		   line[WORDS_SIZE / 2];

	(void) words_set(words, "If this persists, see the log of that server.", "%s has ended the stream: %s",
					 stream->members->at[stream->member].name,
					 words_line(result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(stream->connection), line, sizeof(line)));
	if (status == PGRES_COPY_IN || status == PGRES_COPY_BOTH || status == PGRES_TUPLES_OK)
		end = STREAM_ENDED;
	else if (state != NULL && strcmp(state, UNDEFINED_FILE) == 0)
	{
		end = STREAM_GONE;
		stream->gone = stream->received;
	}
	PQclear(result);
	return end;
}

/* All that libpq has. */
static StreamEnd
take_messages(Stream *stream, Words *words)
{
	StreamEnd end = STREAM_GOES_ON;

	while (end == STREAM_GOES_ON)
	{
		char *message = NULL;
		int	  length = PQgetCopyData(stream->connection, &message, 1);

		if (length == 0)
			break;
		if (length < 0)
			end = end_of_copy(stream, words);
		else
			end = take_message(stream, message, (size_t) length, words);
		PQfreemem(message);
	}
	return end;
}

static bool
has_more(const Stream *stream)
{
	struct pollfd fd = {.fd = PQsocket(stream->connection), .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

/* All that has come, or a good deal of it, and then it is flushed: not after each piece. */
static StreamEnd
take_what_came(Stream *stream, Words *words)
{
	uint64_t  begin = stream->received;
	StreamEnd end;
	char	  line[WORDS_SIZE / 2];

	do
	{
		if (PQconsumeInput(stream->connection) == 0)
		{
			(void) words_set(words, "If this persists, check that server and the network.", "the stream from %s is broken: %s",
							 stream->members->at[stream->member].name, words_line(PQerrorMessage(stream->connection), line, sizeof(line)));
			return STREAM_BROKEN;
		}
		end = take_messages(stream, words);
	} while (end == STREAM_GOES_ON && stream->received - begin < MOST_AT_ONCE && has_more(stream));
	return end != STREAM_GOES_ON || flush(stream, words) ? end : STREAM_BROKEN;
}

StreamEnd
stream_end(Stream *stream, Words *words)
{
	StreamEnd end = STREAM_GOES_ON;
	bool	  on = stream_is_on(stream);

	if (on && (!flush(stream, words) || !save(stream, words)))
		end = STREAM_BROKEN;
	PQfinish(stream->connection);
	stream->connection = NULL;
	stream->member = -1;
	wal_close(&stream->file);
	return end;
}

/* With the words of why it ended, unless something worse has come of that. */
static StreamEnd
end_with(Stream *stream, StreamEnd why, Words *words)
{
	Words	  worse;
	StreamEnd end;

	words_clear(&worse);
	end = stream_end(stream, &worse);
	if (end == STREAM_GOES_ON)
		return why;
	*words = worse;
	return end;
}

StreamEnd
stream_go_on(Stream *stream, Words *words)
{
	StreamEnd end;
	uint64_t  now;

	words_clear(words);
	end = take_what_came(stream, words);
	if (end != STREAM_GOES_ON)
		return end_with(stream, end, words);
	now = clock_now();
	if (stream->flushed > stream->archive->state.durable && now - stream->saved_at >= SAVE_INTERVAL && !save(stream, words))
		return end_with(stream, STREAM_BROKEN, words);
	if ((stream->tell || now - stream->told_at >= TELL_INTERVAL) && !tell(stream, words))
		return end_with(stream, STREAM_BROKEN, words);
	return STREAM_GOES_ON;
}

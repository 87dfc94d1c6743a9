/*
 * keep/stream.h
 *	  The receiver: WAL of one member, written, flushed, and acknowledged.
 *
 * A connection in replication mode to the member that leads.  It begins where the archive ends, after
 * what is not on that member's path was cut off.  What is reported back as flushed is the durable
 * position in the archive's state, which is saved a few times a second: so the slot never goes further
 * than what the archive knows after a crash.
 *
 * Beginning waits, a few seconds at most; going on does not.  Used by "run", which holds the lock.
 */
#ifndef PG_LEADER_KEEP_STREAM_H
#define PG_LEADER_KEEP_STREAM_H

#include "archive.h"
#include "session.h"
#include "wal.h"

typedef struct Stream
{
	Archive		  *archive;
	const Members *members;
	PGconn		  *connection; /* NULL: it does not stream */
	int			   member;	   /* from whom */
	uint32_t	   timeline;
	uint64_t	   received; /* the next byte that is to come */
	uint64_t	   flushed;	 /* on disk, maybe not in the state yet */
	uint64_t	   sent;	 /* the end of that server's WAL, as it has said */
	uint64_t	   saved_at; /* when the state was saved, us */
	uint64_t	   told_at;	 /* when the server was told of it */
	bool		   tell;	 /* it wants to know */
	uint64_t	   gone;	 /* from there on a server had no WAL when it was asked; 0: that was not so */
	WalFile		   file;
} Stream;

typedef enum StreamEnd
{
	STREAM_GOES_ON = 0,
	STREAM_ENDED, /* that timeline has: begin again at once */
	STREAM_GONE,  /* with words: the server has that WAL no more; stream_begin() looks whether it is a gap */
	STREAM_BROKEN /* with words; the connection, the server, or this disk: it can be begun again */
} StreamEnd;

extern void stream_init(Stream *stream, Archive *archive, const Members *members);

/*
 * Begin to receive from that member, whose slot is there, in that term.  What has been cut, and gaps,
 * are said and noted.  STREAM_GOES_ON, or why not.
 */
extern StreamEnd stream_begin(Stream *stream, int member, uint64_t term, Words *words);

/* Take what has come, without waiting.  After anything but STREAM_GOES_ON, it does not stream. */
extern StreamEnd stream_go_on(Stream *stream, Words *words);

/* End it, with what has come on disk and in the state.  Safe to call at any time. */
extern StreamEnd stream_end(Stream *stream, Words *words);

extern bool stream_is_on(const Stream *stream);

#endif /* PG_LEADER_KEEP_STREAM_H */

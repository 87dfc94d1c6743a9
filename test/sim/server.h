/*
 * test/sim/server.h
 *	  A simulated PostgreSQL: WAL, files, recovery, promotion, streaming and rebuilding,
 *	  without a rule of the election.
 *
 * Nothing here is random and nothing happens by itself: a driver calls one step after the
 * other, and what could go one way or the other is a parameter.  "P" and "R" with a number
 * name the section of what experiments with real servers showed (promotion, rejoin); the
 * conformance tests replay the same on real ones.
 *
 *	  wal.c		records, segments, histories, reading, what is on disk
 *	  server.c	starts, the startup process, writing, stops and crashes
 *	  promote.c	the end of recovery
 *	  stream.c	walreceivers, walsenders, synchronous commit
 *	  rejoin.c	pg_rewind, pg_basebackup, operators who copy, put and remove files
 *
 * An LSN counts records: the record at LSN p ends at p + 1.  A function that returns bool
 * says whether anything happened; it returns false when it cannot be done now, or when a
 * table is full (cluster->full says so: end the run).  Nothing is allocated.
 *
 * PostgreSQL's timeline arithmetic is done here once more and not with node/lineage.c: a
 * judge may not share code with whom it judges, and PostgreSQL writes histories that
 * lineage_parse() refuses (promotion of a server whose target ran ahead of its WAL).
 * sim_history_text() gives the file to real code.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SERVERS		 7
#define SIM_SEGMENT		 4	 /* records of a segment */
#define SIM_FILES		 64	 /* segments in one pg_wal */
#define SIM_TIMELINES	 128 /* ids below it */
#define SIM_HISTORIES	 64	 /* contents of history files, over a run */
#define SIM_ANCESTORS	 64
#define SIM_PROMOTIONS	 64
#define SIM_COMMITS		 512 /* of a run */
#define SIM_COMMIT_WORDS (SIM_COMMITS / 64)
#define SIM_SENDERS		 8 /* max_wal_senders */
#define SIM_REPLIES		 4 /* of one connection, under way */
#define SIM_ANY_SHAPE	 255
#define SIM_NO_END		 UINT32_MAX
#define SIM_FIRST_LSN	 SIM_SEGMENT

typedef uint32_t SimLsn;

typedef enum SimKind
{
	SIM_RECORD_OTHER = 0,
	SIM_RECORD_COMMIT,
	SIM_RECORD_CHECKPOINT,
	SIM_RECORD_SHUTDOWN,
	SIM_RECORD_END_OF_RECOVERY, /* "value" is the timeline before it */
	SIM_RECORD_MARK
} SimKind;

typedef struct SimRecord
{
	uint32_t uid;	/* no two records have the same; 0: no record */
	uint32_t after; /* the uid of the one before it, where it was written: truth */
	uint16_t timeline;
	uint16_t promotion; /* which promotion (or initdb) began that timeline: truth */
	uint16_t value;		/* commit id, previous timeline or what the driver likes */
	uint8_t	 kind;
	uint8_t	 shape; /* its length; what follows another one cannot be read after it */
	uint8_t	 prev;	/* the shape before it, where it was written */
	uint8_t	 synced;
} SimRecord;

/* What a history file holds; index 0 of the table: no file, 1: burnt, 2: garbage. */
enum
{
	SIM_ABSENT = 0,
	SIM_BURNT,
	SIM_GARBAGE,
	SIM_REAL
};

typedef struct SimHistory
{
	uint16_t timeline;
	uint16_t n;
	struct
	{
		uint16_t timeline;
		SimLsn	 end;
	} ancestor[SIM_ANCESTORS]; /* oldest first */
} SimHistory;

/* PostgreSQL's expectedTLEs: a timeline and the content read for it. */
typedef struct SimPath
{
	uint16_t timeline;
	uint8_t	 history; /* below SIM_REAL: the timeline has no ancestors */
} SimPath;

typedef struct SimSegment
{
	uint16_t  timeline; /* in its name */
	uint16_t  number;
	SimRecord record[SIM_SEGMENT];
} SimSegment;

typedef enum SimState
{
	SIM_NO_CONTROL = 0, /* there is no pg_control */
	SIM_SHUT_DOWN,
	SIM_SHUT_DOWN_IN_RECOVERY,
	SIM_IN_PRODUCTION,
	SIM_IN_CRASH_RECOVERY,
	SIM_IN_ARCHIVE_RECOVERY
} SimState;

typedef struct SimControl
{
	uint8_t	 state;
	uint16_t checkpoint_timeline;
	uint16_t min_timeline;
	SimLsn	 checkpoint; /* the record; replay starts at it, after it if it is a shutdown's */
	SimLsn	 min_recovery;
} SimControl;

typedef enum SimWhole
{
	SIM_GONE = 0,
	SIM_HALF_CLONED,
	SIM_HALF_REWOUND,
	SIM_WHOLE
} SimWhole;

/* A data directory: may be copied as a value. */
typedef struct SimData
{
	uint8_t	   whole;
	bool	   standby_signal;
	bool	   backup_label;
	bool	   unsynced; /* copied by pg_rewind, and not yet on disk */
	uint32_t   system;
	SimControl control;
	SimLsn	   label; /* of backup_label: the checkpoint to start at */
	uint8_t	   history[SIM_TIMELINES];
	int		   n_files;
	SimSegment file[SIM_FILES];

	/* Pages: which commits they hold, and up to which record they were written. */
	uint64_t pages[SIM_COMMIT_WORDS];
	SimLsn	 pages_end;
	uint32_t pages_uid;
	bool	 mixture; /* truth: of two pasts, or half copied and started */
} SimData;

typedef enum SimLife
{
	SIM_DOWN = 0,
	SIM_STANDBY,	/* in recovery, with standby.signal */
	SIM_RECOVERING, /* crash recovery of one that was started as a primary */
	SIM_PRIMARY,
	SIM_STOPPING /* a primary that has written its shutdown checkpoint, and still sends */
} SimLife;

/* Where the startup process is. */
typedef enum SimPhase
{
	SIM_BEFORE_REDO = 0,
	SIM_NEVER_UP, /* a burnt file is the newest: it retries for ever */
	SIM_READ_WAL, /* pg_wal */
	SIM_READ_STREAM,
	SIM_CLEANUP, /* promotion, step by step: rm_cleanup */
	SIM_CHOOSE,
	SIM_NEW_SEGMENT,
	SIM_UNLINK_SIGNAL,
	SIM_WRITE_HISTORY,
	SIM_WRITE_RECORD,
	SIM_OPEN,
	SIM_RECOVERED
} SimPhase;

typedef enum SimWalRcv
{
	SIM_WALRCV_STOPPED = 0,
	SIM_WALRCV_CONNECTING, /* PostgreSQL's STARTING */
	SIM_WALRCV_FETCHING,   /* history files; part of STARTING and RESTARTING */
	SIM_WALRCV_BEGINNING,  /* START_REPLICATION is about to be sent */
	SIM_WALRCV_STREAMING,
	SIM_WALRCV_WAITING /* its timeline has ended; connected */
} SimWalRcv;

typedef struct SimReceiver
{
	/* WalRcv in shared memory: outlives the process, not the server's start. */
	uint8_t	 state;
	uint16_t received_timeline;
	SimLsn	 flushed_upto;
	SimLsn	 receive_start; /* 0: the startup process has never asked */

	/* The process. */
	int8_t	 source;
	int8_t	 slot; /* of the source's senders; -1: not connected */
	uint32_t connection;
	uint16_t fetch; /* the next history file */
	uint16_t source_timeline;
	SimLsn	 at; /* what is received next */
	SimLsn	 write;
	SimLsn	 flush; /* what it reports */
} SimReceiver;

typedef enum SimSenderState
{
	SIM_SENDER_FREE = 0,
	SIM_SENDER_STARTUP,
	SIM_SENDER_CATCHUP,
	SIM_SENDER_STREAMING /* only these are counted */
} SimSenderState;

typedef struct SimSender
{
	uint8_t	 state;
	int8_t	 standby;  /* whose application_name it bears */
	int8_t	 host;	   /* and where it comes from */
	bool	 attached; /* false: the receiver has gone, and this side does not know */
	uint32_t connection;
	uint16_t timeline;
	SimLsn	 sent;
	SimLsn	 flush; /* pg_stat_replication.flush_lsn */
	int		 n_replies;
	SimLsn	 reply[SIM_REPLIES]; /* on their way, oldest first */
} SimSender;

typedef enum SimRebuildStep
{
	SIM_REBUILD_NONE = 0,
	SIM_REBUILD_PAGES,
	SIM_REBUILD_FILES,
	SIM_REBUILD_LABEL,
	SIM_REBUILD_CONTROL,
	SIM_REBUILD_SYNC
} SimRebuildStep;

/* A pg_rewind or pg_basebackup that runs. */
typedef struct SimRebuild
{
	uint8_t	 step;
	bool	 clone;
	bool	 aside; /* into the side directory */
	int8_t	 source;
	uint32_t source_start;
	SimLsn	 checkpoint; /* where replay will start */
	SimLsn	 fork;
} SimRebuild;

typedef struct SimServer
{
	SimData	 data;
	SimData	 side; /* a second directory beside it, for clones */
	uint8_t	 life;
	uint8_t	 phase;
	uint32_t start; /* counts starts; also those in place */
	bool	 disk_full;
	bool	 disk_hangs; /* nothing gets to it, and nobody is told so */
	uint8_t	 own_shape;	 /* of the records that the server writes by itself */

	/* Recovery. */
	bool	 paused;
	bool	 delayed; /* recovery_min_apply_delay: stops at the next commit */
	bool	 promote;
	bool	 promoting;	  /* this end of recovery makes a new timeline */
	bool	 crash_first; /* consistent only at the end of local WAL */
	bool	 redo_began;
	bool	 consistent;
	int8_t	 conninfo; /* in the file; -1: empty */
	int8_t	 upstream; /* that the startup process acts on */
	int8_t	 bears;	   /* 1 + whose application_name is there; 0: its own */
	SimPath	 target;   /* recoveryTargetTLI and expectedTLEs */
	uint16_t new_timeline;
	SimLsn	 at; /* end of what was replayed; 0: not known yet */
	uint8_t	 at_shape;
	uint32_t at_uid;
	uint16_t at_timeline;	  /* of the last record */
	uint16_t replay_timeline; /* replayTLI: as a checkpoint or end-of-recovery record said last */
	uint16_t file_timeline;	  /* of the segment that it was read from */
	SimLsn	 replayed_checkpoint;
	uint16_t replayed_checkpoint_timeline;

	/* A primary. */
	uint16_t timeline;
	uint16_t promotion;
	SimLsn	 inserted;
	SimLsn	 written;
	SimLsn	 flushed;
	SimLsn	 released; /* WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH] */
	uint64_t unnamed;  /* standbys that are not in synchronous_standby_names; bit i: node i */

	uint64_t applied[SIM_COMMIT_WORDS]; /* in its pages in memory */
	uint64_t shown[SIM_COMMIT_WORDS];	/* visible to a reader who gets in */

	SimReceiver receiver;
	SimSender	sender[SIM_SENDERS];
	SimRebuild	rebuild;
} SimServer;

typedef enum SimOutcome
{
	SIM_COMMIT_WAITING = 0,
	SIM_COMMIT_RELEASED,   /* stock PostgreSQL would answer now */
	SIM_COMMIT_CANCELLED,  /* and also now, with a warning */
	SIM_COMMIT_TERMINATED, /* visible, and the client knows nothing */
	SIM_COMMIT_LOST_WAIT,  /* the server died */
	SIM_COMMIT_ANSWERED,
	SIM_COMMIT_WITHHELD
} SimOutcome;

typedef struct SimCommit
{
	uint8_t	 outcome;
	int8_t	 server;
	uint16_t timeline;
	uint16_t promotion;
	uint32_t start; /* of the server */
	uint32_t uid;	/* of its record */
	SimLsn	 end;
} SimCommit;

/* Truth about one promotion, or one initdb. */
typedef struct SimPromotion
{
	uint16_t timeline;
	int8_t	 server;
	bool	 asked;	 /* the callback was called */
	bool	 opened; /* it got as far as that */
	SimLsn	 fork;
} SimPromotion;

/* rm_cleanup of the server: what it may do to a promotion (P 1.2). */
typedef struct SimAsked
{
	int		 server;
	SimLsn	 end; /* the fork */
	uint16_t end_timeline;
	uint16_t target;
	bool	 promoting; /* false: crash recovery of a primary, which asks too */
} SimAsked;

typedef struct SimAnswer
{
	bool	 refuse;
	uint16_t burn_below; /* ids above the target and below it are burnt; 0: none */
} SimAnswer;

typedef SimAnswer (*SimAuthorise)(void *context, const SimAsked *asked);

/* A walreceiver under a standby's name logs in; its walsender does not exist yet.  false: refused. */
typedef bool (*SimLogin)(void *context, int server, int standby, int host);

/* A walreceiver is about to say what it has flushed. */
typedef bool (*SimMayReply)(void *context, int server, int source);

typedef struct SimCluster
{
	int			 n;
	int			 major; /* 15: pg_rewind looks at checkpoints' timelines alone */
	bool		 checksums;
	bool		 full; /* a table is: end the run */
	SimAuthorise authorise;
	SimLogin	 login;
	SimMayReply	 may_reply;
	void		*context;
	uint32_t	 n_uids;
	uint32_t	 n_connections;
	int			 n_histories;
	SimHistory	 history[SIM_HISTORIES];
	int			 n_promotions;
	SimPromotion promotion[SIM_PROMOTIONS];
	int			 n_commits;
	SimCommit	 commit[SIM_COMMITS]; /* from 1 on */
	SimServer	 server[SIM_SERVERS];
} SimCluster;

extern void sim_begin(SimCluster *c, int n, int major, bool checksums);

/* ---- wal.c ---- */

extern uint16_t			sim_newest_timeline(const SimData *d, uint16_t from);
extern uint16_t			sim_newest_history(const SimData *d);
extern SimPath			sim_path(const SimData *d, uint16_t timeline);
extern bool				sim_path_has(const SimCluster *c, SimPath path, uint16_t timeline);
extern SimLsn			sim_path_begin(const SimCluster *c, SimPath path, uint16_t timeline);
extern SimLsn			sim_path_end(const SimCluster *c, SimPath path, uint16_t timeline);
extern uint16_t			sim_path_timeline(const SimCluster *c, SimPath path, SimLsn lsn);
extern int				sim_history_text(const SimCluster *c, const SimData *d, uint16_t timeline,
										 char *text, size_t size);
extern uint8_t			sim_new_history(SimCluster *c, SimPath parent, uint16_t timeline, SimLsn fork);
extern SimSegment	   *sim_segment(SimData *d, uint16_t timeline, SimLsn lsn);
extern SimSegment	   *sim_make_segment(SimCluster *c, SimData *d, uint16_t timeline, SimLsn lsn);
extern const SimRecord *sim_read_any(const SimCluster *c, const SimData *d, SimPath path, SimLsn lsn,
									 uint16_t *file_timeline);
extern SimLsn			sim_redo(const SimCluster *c, const SimData *d);
extern SimLsn			sim_true_end(const SimCluster *c, int i, uint16_t *timeline);
extern void				sim_held(const SimCluster *c, int i, uint64_t held[SIM_COMMIT_WORDS]);
extern bool				sim_has_commit(const uint64_t *set, int commit);
extern void				sim_add_commit(uint64_t *set, int commit);
extern bool				sim_recycle(SimCluster *c, int i, uint16_t below);
extern void				sim_trim(SimData *d, uint16_t timeline, SimLsn from);
extern void				sim_remove_timeline(SimData *d, uint16_t timeline);

/* ---- server.c ---- */

typedef enum SimStep
{
	SIM_NOTHING = 0, /* there is no startup process, or it has done its work */
	SIM_REPLAYED,	 /* one record */
	SIM_MOVED,		 /* it got on otherwise */
	SIM_HELD,		 /* paused or delayed */
	SIM_WAITS,		 /* for the receiver */
	SIM_OPENED,		 /* it is a primary now */
	SIM_DIED
} SimStep;

extern bool	   sim_initdb(SimCluster *c, int i, uint32_t system);
extern bool	   sim_start(SimCluster *c, int i);
extern SimStep sim_startup_step(SimCluster *c, int i);
extern bool	   sim_promote(SimCluster *c, int i);
extern bool	   sim_insert(SimCluster *c, int i, SimKind kind, uint16_t value, uint8_t shape);
extern int	   sim_commit(SimCluster *c, int i, uint8_t shape);
extern bool	   sim_wal_write(SimCluster *c, int i, SimLsn upto);
extern bool	   sim_wal_flush(SimCluster *c, int i, SimLsn upto);
extern bool	   sim_checkpoint(SimCluster *c, int i);
extern bool	   sim_flush_pages(SimCluster *c, int i);
extern void	   sim_crash(SimCluster *c, int i);
extern void	   sim_power_loss(SimCluster *c, int i, SimLsn keep);
extern bool	   sim_restart_in_place(SimCluster *c, int i);
extern bool	   sim_stop_fast(SimCluster *c, int i);
extern bool	   sim_stop_finish(SimCluster *c, int i);
extern bool	   sim_set_conninfo(SimCluster *c, int i, int source);

/* What a role worker can read without a database (P 4). */
typedef struct SimView
{
	bool	 in_recovery;
	bool	 hot; /* readers get in */
	bool	 receiver_runs;
	uint8_t	 receiver_state;
	SimLsn	 receiver_flushed;
	uint16_t received_timeline;
	SimLsn	 receive_start;
	SimLsn	 replayed; /* 0 on a primary, and before redo */
	uint16_t replay_timeline;
	uint16_t newest_history; /* the highest id that has a file, gaps or not */
	SimLsn	 flushed;		 /* of a primary */
	uint16_t timeline;
	SimLsn	 released;
} SimView;

extern SimView sim_view(const SimCluster *c, int i);

/* ---- stream.c ---- */

extern bool	  sim_receiver_step(SimCluster *c, int i, int most);
extern bool	  sim_receiver_flush(SimCluster *c, int i);
extern bool	  sim_receiver_reply(SimCluster *c, int i);
extern bool	  sim_receiver_end(SimCluster *c, int i, bool flush);
extern void	  sim_receiver_ask(SimCluster *c, int i);
extern SimLsn sim_send_end(const SimCluster *c, int i, uint16_t *timeline);
extern bool	  sim_reply_arrives(SimCluster *c, int i, int slot, int which);
extern bool	  sim_reply_lost(SimCluster *c, int i, int slot, int which);
extern bool	  sim_sender_end(SimCluster *c, int i, int slot);
extern SimLsn sim_stock_position(const SimCluster *c, int i, int k);
extern int	  sim_release(SimCluster *c, int i, int k);
extern bool	  sim_wait_end(SimCluster *c, int commit, SimOutcome how);
extern bool	  sim_answer(SimCluster *c, int commit, bool answered);

/* ---- rejoin.c ---- */

typedef enum SimRewind
{
	SIM_REWIND_BEGUN = 0,
	SIM_REWIND_NOT_NEEDED, /* rc 0, nothing done */
	SIM_REWIND_UNCLEAN,	   /* rc 1: must be shut down cleanly, or standby.signal is there */
	SIM_REWIND_NO_SOURCE,
	SIM_REWIND_NO_CHECKSUMS,
	SIM_REWIND_NO_ANCESTOR,
	SIM_REWIND_NO_WAL
} SimRewind;

extern SimRewind sim_rewind_begin(SimCluster *c, int i, int source, bool ensure_shutdown);
extern bool		 sim_clone_begin(SimCluster *c, int i, int source, bool aside);
extern bool		 sim_rebuild_step(SimCluster *c, int i);
extern void		 sim_rebuild_stop(SimCluster *c, int i);
extern bool		 sim_swap_side(SimCluster *c, int i);
extern bool		 sim_wipe(SimCluster *c, int i, bool aside);
extern void		 sim_snapshot(const SimCluster *c, int i, SimData *copy);
extern bool		 sim_restore(SimCluster *c, int i, const SimData *copy);
extern void		 sim_put_history(SimData *d, uint16_t timeline, uint8_t history);

#endif /* SIM_SERVER_H */

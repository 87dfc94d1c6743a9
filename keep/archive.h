/*
 * keep/archive.h
 *	  An archive: a directory with the WAL of one cluster, base backups, and what is known of both.
 *
 *	  keep.conf				settings: the archive's name, the members, the role
 *	  state					two slots with CRC: ArchiveState; written by "run" alone
 *	  catalogue				what happened to the archive, a line each: catalogue.h
 *	  wal/TTTTTTTT/			segments of that timeline; the last one may end in ".partial"; and its
 *							history file, but for timeline 1
 *	  base/<gid>/			a base backup, complete
 *	  work/					what is being made; renamed when it is complete
 *	  restored/r_<gid>/		what "restore" has made
 *	  abandoned/<place>/	WAL that was cut off at a fork: archive_abandoned_name()
 *	  stopped				exists as long as receiving is stopped: "stop" and "start"
 *	  NAME.lock				who does something: archive_lock()
 *
 * Only work/ may hold what is incomplete: whatever is elsewhere was written there, flushed, and
 * renamed.  Whoever makes something in work/ holds a lock of the archive meanwhile, and removes
 * at its start what it finds there of its own.
 *
 * Called by all of keep/.  No backend symbols; errors come back as words.
 */
#ifndef PG_LEADER_ARCHIVE_H
#define PG_LEADER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "../node/lineage.h"
#include "../node/store.h"
#include "../node/words.h"

#define ARCHIVE_NAME_SIZE	 32 /* of an archive's name; its slots are "keep_" and this */
#define ARCHIVE_SLOT_SIZE	 (ARCHIVE_NAME_SIZE + 5)
#define ARCHIVE_MEMBERS_SIZE 2048
#define ARCHIVE_ROLE_SIZE	 64
#define ARCHIVE_HOURS_SIZE	 8
#define ARCHIVE_FILE_SIZE	 1024
#define ARCHIVE_PLACE_SIZE	 48 /* of a directory in abandoned/ */

/* What can be said of an archive as a whole; bits, so that a verb can accept several. */
#define ARCHIVE_CLEAR	   1 /* there is none */
#define ARCHIVE_SYNC_READY 2 /* it can receive, and has no base backup */
#define ARCHIVE_ARCHIVED   4 /* there is a base backup */
#define ARCHIVE_ANY		   (ARCHIVE_SYNC_READY | ARCHIVE_ARCHIVED)

/* keep.conf */
typedef struct ArchiveSettings
{
	char name[ARCHIVE_NAME_SIZE];
	char members[ARCHIVE_MEMBERS_SIZE];	  /* a connection string with all their hosts */
	char role[ARCHIVE_ROLE_SIZE];		  /* to connect as; empty: as the connection string says */
	char drill_hours[ARCHIVE_HOURS_SIZE]; /* settings_hours(): between the drills that "run" makes */
	char drill_sql[ARCHIVE_FILE_SIZE];	  /* a file for them; empty: none */
} ArchiveSettings;

/*
 * What "run" must never forget.  The durable position is what is on this archive's disk for
 * certain; it may have a little more.
 */
typedef struct ArchiveState
{
	uint64_t save_number;
	uint64_t system_id;		 /* of the cluster; never 0 */
	uint32_t segment_size;	 /* bytes */
	uint64_t term;			 /* the highest in which a leader was seen; 0: none yet */
	uint32_t timeline;		 /* of the next byte, whose history is there; 0: there is no WAL yet */
	uint64_t durable;		 /* the first byte that is not durable */
	uint32_t begin_timeline; /* WAL is complete from there up to the durable position */
	uint64_t begin;
} ArchiveState;

typedef struct Archive
{
	char			path[STORE_PATH_SIZE]; /* absolute */
	ArchiveSettings settings;
	ArchiveState	state;		   /* as of archive_open() or the last archive_refresh(), archive_save() */
	int				state_fd;	   /* -1: the archive is not open */
	int				next_slot;	   /* of the state file */
	bool			state_damaged; /* one slot cannot be read: the other one counts */
} Archive;

/* ---- settings ---- */

/* Defaults, and the rest empty. */
extern void settings_init(ArchiveSettings *settings);

/* Its drill_hours as a number; -1: it is none. */
extern int settings_hours(const ArchiveSettings *settings);

/* ---- beginning ---- */

/*
 * Make an archive in a directory that is empty or does not exist (only its last component is
 * made).  "first" has the system id, the segment size, and for the rest zeros.  All or nothing:
 * keep.conf is the last that is written.
 */
extern bool archive_create(const char *path, const ArchiveSettings *settings, const ArchiveState *first, Words *words);

/* Read keep.conf and the state; nothing is locked.  false: words. */
extern bool archive_open(Archive *archive, const char *path, Words *words);
extern void archive_close(Archive *archive);

/* The state again, which another process may have written. */
extern bool archive_refresh(Archive *archive, Words *words);

/*
 * Make a new state durable; numbers it.  Only whoever holds the lock "run".  false: it may or may not be
 * on disk; archive->state is the one before, and the next that is saved takes its place.
 */
extern bool archive_save(Archive *archive, const ArchiveState *state, Words *words);

/* ARCHIVE_CLEAR, _SYNC_READY or _ARCHIVED; of any directory. */
extern int		   archive_condition(const char *path);
extern const char *archive_condition_name(int condition);

/* ---- locks ---- */

/*
 * Hold that lock until the descriptor is closed or the process ends, whichever way.  "run" is
 * the receiver's; others are whatever a verb calls its own ("backup").  -1: another process has
 * it, or it failed: words say which.
 */
extern int archive_lock(const Archive *archive, const char *name, Words *words);

/* Is it held?  The answer may be old at once. */
extern bool archive_is_locked(const Archive *archive, const char *name);

/* ---- stop and start ---- */

extern bool archive_is_stopped(const Archive *archive);
extern bool archive_set_stopped(const Archive *archive, bool stopped, Words *words);

/* ---- paths; each into STORE_PATH_SIZE bytes ---- */

/* "work", "base/83886216" */
extern void archive_path(const Archive *archive, const char *name, char *path) __attribute__((nonnull));

/* wal/TTTTTTTT */
extern void archive_timeline_path(const Archive *archive, uint32_t timeline, char *path);

/* A segment, which is complete or the partial one; segments are numbered from 0. */
extern void archive_segment_path(const Archive *archive, uint32_t timeline, uint64_t segment, bool partial, char *path);
extern void archive_history_path(const Archive *archive, uint32_t timeline, char *path);

/* "keep_a0": the archive's slot on each member. */
extern void archive_slot_name(const ArchiveSettings *settings, char *name);

/* "00000001-0000000005000028": WAL of a timeline from a fork on; into ARCHIVE_PLACE_SIZE bytes. */
extern void archive_abandoned_name(uint32_t timeline, uint64_t fork, char *name);

/* ---- files ---- */

/*
 * Rename within the archive, from one of its directories into another one, with both on disk
 * afterwards.  What is at "from" has to be on disk already: archive_sync_tree().
 */
extern bool archive_move(const char *from, const char *to, Words *words);

/* All that is in a directory, and itself, on disk. */
extern bool archive_sync_tree(const char *path, Words *words);

/* ---- lineage ---- */

/*
 * The path of WAL that leads to that timeline, as the history file in the archive says.  false:
 * the archive has not that file, or it is damaged.  Lineage is large: let it be static.
 */
extern bool archive_lineage(const Archive *archive, uint32_t timeline, Lineage *lineage, Words *words);

/*
 * Where the WAL of that timeline ends which is to be replayed: at the fork, if the archive has gone
 * on from there to another timeline; at the durable position, if it is the newest; 0, if it is no
 * part of the archive's path.
 */
extern uint64_t archive_end_of(const Archive *archive, const Lineage *newest, uint32_t timeline);

#endif /* PG_LEADER_ARCHIVE_H */

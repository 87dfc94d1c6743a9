/*
 * primary/planned.h
 *	  Names of raft/raft.h that are not there yet.
 *
 * One block, to be deleted when raft/raft.h has them: primary.h then includes that alone.
 */
#ifndef PG_LEADER_PLANNED_H
#define PG_LEADER_PLANNED_H

#include <stdbool.h>
#include <stdint.h>

#define RAFT_MAX_TIMELINE UINT32_C(0x7FFFFFFF) /* timelines are 1 .. this; 0: none */
#define RAFT_TIMELINES	  16

typedef enum RaftRebuild
{
	RAFT_INTACT = 0,
	RAFT_REWINDING,
	RAFT_CLONING
} RaftRebuild;

/* A timeline that this member's WAL may be on. */
typedef struct RaftTimeline
{
	uint32_t id;
	bool	 created; /* was authorised to create it, or adopted it */
} RaftTimeline;

typedef enum RaftServer
{
	RAFT_SERVER_NONE = 0,
	RAFT_SERVER_RECOVERY,
	RAFT_SERVER_PRIMARY
} RaftServer;

#endif /* PG_LEADER_PLANNED_H */

/*
 * test/sim/server_parts.h
 *	  What wal.c, server.c, promote.c, stream.c and rejoin.c ask of each other, and nobody else.
 */
#ifndef SIM_SERVER_PARTS_H
#define SIM_SERVER_PARTS_H

#include "server.h"

/* Reading WAL, record by record. */
typedef struct SimReader
{
	SimPath	 path;
	SimLsn	 at;
	uint8_t	 shape; /* of the record before; SIM_ANY_SHAPE: not known */
	uint16_t timeline;
	uint16_t file_timeline;

	const SimSegment *file; /* of the last record */
} SimReader;

extern SimReader		sim_reader(const SimCluster *c, const SimData *d, SimPath path, SimLsn from);
extern bool				sim_can_follow(const SimRecord *r, uint8_t shape, uint16_t timeline);
extern const SimRecord *sim_read_next(const SimCluster *c, const SimData *d, SimReader *reader);
extern SimPath			sim_start_path(const SimData *d);
extern int				sim_new_promotion(SimCluster *c, int i, uint16_t timeline, SimLsn fork);
extern void				sim_drop_records(SimData *d, uint16_t timeline, SimLsn from);

extern void sim_sync_files(SimData *d);

extern bool sim_recovering(const SimServer *s);
extern bool sim_accepts(const SimServer *s);

extern bool	   sim_write_checkpoint(SimCluster *c, int i, SimKind kind);
extern SimStep sim_dies(SimCluster *c, int i);
extern SimStep sim_promotion_step(SimCluster *c, int i);
extern void	   sim_server_ends(SimCluster *c, int i);
extern bool	   sim_append(SimCluster *c, int i, SimKind kind, uint16_t value, uint8_t shape);

#endif /* SIM_SERVER_PARTS_H */

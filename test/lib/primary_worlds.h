/*
 * test/lib/primary_worlds.h
 *	  Facts about servers for the tests of primary/, in which all is well: what a test is
 *	  about is changed in a copy.
 */
#ifndef PG_LEADER_PRIMARY_WORLDS_H
#define PG_LEADER_PRIMARY_WORLDS_H

#include "../../primary/primary.h"

/*
 * Histories: 1 up to 1000, 2 up to 2000, then 5; a fork of 2 at 1800 and one at 2300 of 5;
 * what an operator made of 2 at 1500.
 */
extern const Lineage *world_path1(void);
extern const Lineage *world_path2(void);
extern const Lineage *world_path5(void);
extern const Lineage *world_path5_7(void);	 /* 5 up to 2500, then 7 */
extern const Lineage *world_path2_7(void);	 /* 2 up to 1800, then 7 */
extern const Lineage *world_path_hand(void); /* 2 up to 1500, then 3 */

/* Member 0 of three, in term 7; "now" is one second. */
extern PrimaryFacts world_follower(void); /* of member 1, on timeline 5, compared */
extern PrimaryFacts world_elected(void);  /* in recovery on 5 up to 2500, has claimed 7 */
extern PrimaryFacts world_primary(void);  /* promoted to 7 at 2500, open */

#endif /* PG_LEADER_PRIMARY_WORLDS_H */

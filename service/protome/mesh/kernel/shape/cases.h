/* The triangles of each case of marching cubes. */

#ifndef PROTOME_CASES_H
#define PROTOME_CASES_H

#include "lattice.h"

enum { MOST_TRIANGLES = 5 }; /* of a case; mc_prepare never makes more */

typedef struct {
    uint8_t count;                     /* of triangles */
    uint8_t edges[3 * MOST_TRIANGLES]; /* of their corners, counter-clockwise from outside */
    pm_four_ints along[3];             /* by axis: see mc_prepare */
} mc_case;

/* By the bits of the corners that are inside. */
extern mc_case mc_cases[256];

/* Fills the table; call it once before anything else.
 *
 * ``along`` is 1 for the edges along x that are crossed. Of two edges along y, one after the other in
 * x, the number of the second's vertex is 1 more than that of the first if that has one; the first
 * has 0. The same for z. */
void mc_prepare(void);

#endif

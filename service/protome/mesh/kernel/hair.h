/* Hair and headgear as a coarse grid of occupancy: a smooth field, sampled on the lattice. */

#ifndef PROTOME_HAIR_H
#define PROTOME_HAIR_H

#include "head.h"
#include "lattice.h"

enum {
    HAIR_CELL = 4,       /* crop pixels */
    MOST_HAIR_CELLS = 62 /* along an axis */
};

typedef struct {
    float *values;      /* positive inside, with PAD cells more on each side */
    uint64_t *signs;    /* bit x + 1 of row (y + 1) + (z + 1) * (cells[1] + 2): cell is positive */
    size_t cells[3];    /* x, y, z, without the padding */
    ptrdiff_t steps[3]; /* between values along x, y, z */
    pm_four limit;      /* cells, and one more at each end */
    ptrdiff_t low[3], high[3]; /* cells that may contain inside points; high is one further */
} pm_hair;

/* Makes the field.
 *
 * occupancy: (cells[2], cells[1], cells[0]), 255 inside; cell (i, j, k) has its centre at
 * ((i, j, k) + 1/2) * HAIR_CELL crop pixels. guard: (vertex_count), 0 to 1. A field without inside
 * has no values.
 */
pm_status pm_make_hair(const uint8_t *occupancy, const size_t cells[3], const pm_head *head,
                       const float *guard, pm_hair *hair);

/* The share of each cell's occupancy that guarded skin leaves, (z, y, x). Only cells of ``near``
 * matter: bit x of row y + z * cells[1]. */
pm_status pm_find_kept(const size_t cells[3], const uint64_t *near, const pm_head *head,
                       const float *guard, float *kept);

/* Bits of the nodes inside; the array is NULL without hair. */
pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, uint64_t **bits);

/* The field at a point in crop pixels; 0 more than a cell from the grid. ``slope`` gets its slope
 * (x, y, z), 0 there, unless NULL. */
float pm_hair_at(const pm_hair *hair, pm_four point, pm_four *slope);

void pm_free_hair(pm_hair *hair);

#endif

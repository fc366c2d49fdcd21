/* Hair and headgear as a coarse grid of occupancy: a smooth field, sampled on the lattice. */

#ifndef PROTOME_HAIR_H
#define PROTOME_HAIR_H

#include "head.h"
#include "lattice.h"

enum {
    HAIR_CELL = 4,     /* crop pixels */
    MOST_HAIR_CELLS = 62 /* along an axis */
};

typedef struct {
    float *values;      /* positive inside, with PAD cells more on each side */
    size_t cells[3];    /* x, y, z, without the padding */
    ptrdiff_t steps[3]; /* between values along x, y, z */
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

/* Bits of the nodes inside; the array is NULL without hair. */
pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, uint64_t **bits);

/* Where the field is zero on the edge from ``node`` along ``axis``, 0 to 1 from the lower end, and
 * the unit normal there. */
float pm_cross_hair(const pm_hair *hair, const pm_lattice *lattice, const size_t node[3], int axis,
                    float normal[3]);

/* The field at a point in crop pixels, and its slope (x, y, z); 0 and no slope far from the grid. */
float pm_hair_at(const pm_hair *hair, const float point[3], float slope[3]);

void pm_free_hair(pm_hair *hair);

#endif

/* Hair and headgear as a coarse grid of occupancy: a smooth field, sampled on the lattice. */

#ifndef PROTOME_HAIR_H
#define PROTOME_HAIR_H

#include "head.h"
#include "lattice.h"

enum {
    HAIR_CELL = 4,        /* crop pixels */
    MOST_HAIR_CELLS = 62, /* along an axis */
    HAIR_PAD = 2,         /* cells around the grid, empty: edges of the lattice reach that far */
    HAIR_ROW_PAD = 6,     /* along x, where four cells are sampled at a time */
    HAIR_CHUNK = 4        /* that is, the cells of a chunk */
};

typedef struct {
    float *values;      /* positive inside, with padding on each side */
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

/* Sets the values of the cells of ``near`` to the share of their occupancy that guarded skin leaves.
 * Bit x of row y + z * cells[1] is a cell. */
pm_status pm_find_kept(const pm_hair *hair, const uint64_t *near, const pm_head *head,
                       const float *guard);

/* The field on a lattice. */
typedef struct {
    uint64_t *bits;    /* nodes inside; NULL without hair */
    uint32_t *numbers; /* of the chunks that the surface may pass, by x, y, z; 0 for others */
    size_t next[2];    /* numbers from a chunk to the next one along y and z */
    int shift;         /* a cell has 1 << shift nodes along an axis */
    float *values;     /* at the nodes of those: by z, y and x in their cells, then by cell */
} pm_hair_scan;

/* Samples the field; ``scan`` is to be freed in any case. */
pm_status pm_scan_hair(const pm_hair *hair, const pm_lattice *lattice, pm_hair_scan *scan);

void pm_free_hair_scan(pm_hair_scan *scan);

/* The values at a row of nodes. */
typedef struct {
    const uint32_t *numbers; /* of its chunks */
    const float *values;     /* of the first node, in a chunk with number 0 */
    int shift;               /* see pm_hair_scan */
} pm_hair_row;

static inline pm_hair_row pm_hair_row_at(const pm_hair_scan *scan, size_t y, size_t z) {
    const int s = scan->shift;
    const size_t last = ((size_t)1 << s) - 1, node = (((z & last) << s) + (y & last)) << s;
    return (pm_hair_row){scan->numbers + (y >> s) * scan->next[0] + (z >> s) * scan->next[1],
                         scan->values + HAIR_CHUNK * node, s};
}

/* The value at node ``x`` as pm_hair_at gives it; NULL if its chunk has no number. */
static inline const float *pm_hair_value(const pm_hair_row *row, size_t x) {
    const size_t cell = x >> row->shift, node = x & (((size_t)1 << row->shift) - 1);
    const size_t number = row->numbers[cell / HAIR_CHUNK];
    const size_t first = HAIR_CHUNK * ((number << 3 * row->shift) + node);
    return number ? row->values + first + cell % HAIR_CHUNK : NULL;
}

/* The field's slope (x, y, z) at a point in crop pixels, and its value; all 0 more than a cell from
 * the grid. */
pm_four pm_hair_at(const pm_hair *hair, pm_four point);

void pm_free_hair(pm_hair *hair);

static inline float *pm_value_at(const pm_hair *hair, ptrdiff_t x, ptrdiff_t y, ptrdiff_t z) {
    return hair->values + (x + HAIR_ROW_PAD) + (y + HAIR_PAD) * hair->steps[1] +
           (z + HAIR_PAD) * hair->steps[2];
}

/* Weights of three control points at ``offset`` cells from the middle one, for each part of it. */
static inline void pm_spline(pm_four offset, pm_four weights[3]) {
    const pm_four before = 0.5F - offset, after = 0.5F + offset;
    weights[0] = before * before * 0.5F;
    weights[1] = 0.75F - offset * offset;
    weights[2] = after * after * 0.5F;
}

#endif

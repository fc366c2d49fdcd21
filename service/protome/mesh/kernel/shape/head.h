/* The posed head on the lattice: which nodes it contains and where its surface crosses edges. */

#ifndef PROTOME_HEAD_H
#define PROTOME_HEAD_H

#include "lattice.h"

typedef struct {
    int32_t corners[3]; /* vertices, counter-clockwise seen from outside */
    int32_t next[3];    /* the triangle on the other side of the edge from each corner to the next
                           one, -1: none */
} pm_face;

typedef struct {
    const float *vertices; /* (vertex_count, 3) x, y, z in crop pixels, finite */
    const pm_face *faces;  /* (triangle_count) */
    size_t vertex_count, triangle_count;
} pm_head;

/* Where a triangle meets the edge from a node to the next along an axis. */
typedef struct {
    uint32_t node;    /* the lower end of the edge */
    int32_t triangle; /* ~triangle where the axis enters the head */
    float at;         /* 0 at the lower end, 1 at the upper */
    float weights[2]; /* barycentric, of the triangle's second and third corner */
} pm_hit;

typedef struct {
    pm_four place, normal; /* unit, outwards */
} pm_point;

typedef struct {
    pm_hit *hits[3]; /* by axis, in no order */
    size_t count[3], room[3];
    uint64_t *bits;   /* nodes inside */
    pm_point *points; /* the head's vertices */
} pm_scan;

/* Scan-converts a closed mesh along the lines of the lattice.
 *
 * PM_BAD_SHAPE: more crossings than any head has.
 */
pm_status pm_scan_head(const pm_head *head, const pm_lattice *lattice, pm_scan *scan);

void pm_free_scan(pm_scan *scan);

#endif

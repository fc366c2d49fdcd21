/* The posed head on the lattice: which nodes it contains and where its surface crosses edges. */

#ifndef PROTOME_HEAD_H
#define PROTOME_HEAD_H

#include "lattice.h"

typedef struct {
    const float *vertices; /* (vertex_count, 3) x, y, z in crop pixels, finite */
    const int32_t *triangles; /* (triangle_count, 3) below vertex_count */
    size_t vertex_count, triangle_count;
} pm_head;

/* Where a triangle meets the edge from a node to the next along an axis. */
typedef struct {
    uint32_t node;     /* the lower end of the edge */
    uint32_t next;     /* next hit of the list, 0 ends it */
    int32_t triangle;  /* ~triangle where the surface is left against the axis */
    float at;          /* 0 at the lower end, 1 at the upper */
    float weights[2];  /* barycentric, of the triangle's second and third corner */
} pm_hit;

typedef struct {
    pm_hit *hits; /* the first is unused */
    size_t count, room;
    uint32_t *rows;      /* (nz * ny): list of the hits along x, in order */
    uint32_t *planes[2]; /* (nz): lists of the hits along y, and along z by the lower node */
    uint64_t *bits;      /* nodes inside */
    float *normals;      /* (vertex_count, 3): unit, outwards */
} pm_scan;

/* Scan-converts a closed mesh along the lines of the lattice.
 *
 * PM_BAD_SHAPE: more crossings than any head has.
 */
pm_status pm_scan_head(const pm_head *head, const pm_lattice *lattice, pm_scan *scan);

void pm_free_scan(pm_scan *scan);

#endif

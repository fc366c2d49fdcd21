/* posed head + hair -> surface. No Python in here. */

#ifndef PROTOME_COMPOSE_H
#define PROTOME_COMPOSE_H

#include "hair.h"
#include "head.h"
#include "lattice.h"

/* Longest side of the box around head and hair, crop pixels, and furthest from the crop's corner. */
#define LONGEST_BOX 480
#define FURTHEST 1e6

/* The surface; all arrays are NULL when it is empty. */
typedef struct {
    pm_four *places;     /* (vertex_count): x, y, z in crop pixels, and nothing */
    pm_four *normals;    /* (vertex_count): unit, outwards */
    int32_t *source;     /* (vertex_count): triangle of the head, -1 on hair */
    float *weights;      /* (vertex_count, 2): barycentric, of its second and third corner */
    uint32_t *triangles; /* (triangle_count, 3): counter-clockwise seen from outside */
    size_t vertex_count, triangle_count;
} pm_mesh;

typedef struct {
    pm_head head;
    const float *guard;     /* (head.vertex_count), 0 to 1 where hair may not cover the skin */
    const uint8_t *hair;    /* (cells[2], cells[1], cells[0]), 255 inside */
    size_t cells[3];        /* 4 to MOST_HAIR_CELLS each */
    int step;               /* crop pixels between nodes: 1, 2 or 4 */
    int rounds;             /* of relaxation, see relax.h */
} pm_input;

/* Composes the surface: the largest piece of the union of head and hair.
 *
 * Every edge is used by exactly two triangles and the triangles around a vertex form one fan.
 * Indices of triangles are not checked. PM_BAD_SHAPE: a vertex is not finite, or the box is too
 * large.
 */
pm_status pm_compose(const pm_input *input, pm_mesh *mesh);

void pm_free_mesh(pm_mesh *mesh);

/* Keeps the connected piece with the most triangles. */
pm_status pm_keep_largest(pm_mesh *mesh);

#endif

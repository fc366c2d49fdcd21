/* volume -> surface: marching cubes on the occupied box. No Python in here. */

#ifndef PROTOME_MARCHING_CUBES_H
#define PROTOME_MARCHING_CUBES_H

#include <stddef.h>
#include <stdint.h>

typedef enum { MC_OK, MC_NO_MEMORY, MC_TOO_LARGE } mc_status;

/* The surface; all three arrays are NULL when it is empty. */
typedef struct {
    float *vertices;     /* (vertex_count, 3): x, y, z */
    float *normals;      /* (vertex_count, 3): unit, outwards */
    uint32_t *triangles; /* (triangle_count, 3): counter-clockwise seen from outside */
    size_t vertex_count;
    size_t triangle_count;
} mc_mesh;

/* Fills the table of cases; call it once before anything else. */
void mc_prepare(void);

/* The surface at 127.5, closed where the volume ends.
 *
 * volume: shape[0] x shape[1] x shape[2] samples (z, y, x), the last index fastest.
 * voxel: extent of a voxel along z, y and x; vertex (x, y, z) = (index + 1/2) * extent.
 * largest: keep only the connected piece with the most triangles.
 *
 * Every edge is used by exactly two triangles and the triangles around a vertex form one fan.
 * MC_TOO_LARGE: vertex numbers might not fit into 32 bits; the volume is not read.
 */
mc_status mc_extract(const uint8_t *volume, const size_t shape[3], const float voxel[3],
                     int largest, mc_mesh *mesh);

/* Releases the arrays. */
void mc_free(mc_mesh *mesh);

#endif

/* Paint a head's atlas from a photo. Without Python; texture_module.c checks all sizes and numbers.

   A trace is a coarse picture of the atlas, nodes x nodes x 3: the point of the photo that each
   node shows (x and y, shares of its sides) and a weight, 0 where the photo shows nothing. */

#ifndef PROTOME_TEXTURE_H
#define PROTOME_TEXTURE_H

#include <stddef.h>
#include <stdint.h>

/* Channels of a plan's cell: base colour (3), share of the photo's detail, mean of the photo (3),
   share of the detail of the mirrored place. */
enum { TX_OWN = 3, TX_MIRRORED = 7, TX_PLAN = 8 };

typedef struct {
    const float *places;       /* (n, 2) in the atlas, shares of its sides */
    const float *spots;        /* (n, 2) in the photo, shares of its sides */
    const float *weights;      /* (n,) 0 to 1 */
    const uint32_t *triangles; /* (m, 3) */
    size_t triangle_count;
} tx_mesh;

typedef struct {
    const uint8_t *pixels; /* height x width x 3, at least 3 x 3 */
    size_t height, width;
} tx_photo;

/* Fills a table; call it once before tx_blend. */
void tx_prepare(void);

/* Least z of triangles at the centre of each cell of side x side, infinite where there is none.
   vertices: (n, 3), x and y in cells. */
void tx_depth(const float *vertices, const uint32_t *triangles, size_t triangle_count, size_t side,
              float *depth);

/* Draw the trace of the triangles that have a corner of weight above 0. Triangles that bridge
   places far apart are drawn below the others. */
void tx_trace(const tx_mesh *mesh, size_t nodes, float *trace);

/* Draw the atlas: base + share (photo - mean), and the same of the texel mirrored left to right.
   cells divides nodes, and nodes divides side. Returns 0 without memory. */
int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture);

#endif

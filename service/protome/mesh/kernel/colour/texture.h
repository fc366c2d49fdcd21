/* Paint a head's atlas from a photo. Without Python; texture_module.c checks all sizes and numbers.

   A trace is a coarse picture of the atlas, nodes x nodes x 3: the point of the photo that each
   node shows (x and y, shares of its sides) and a weight, 0 where the photo shows nothing. */

#ifndef PROTOME_TEXTURE_H
#define PROTOME_TEXTURE_H

#include <stddef.h>
#include <stdint.h>

/* Channels of a plan's cell: the colour without detail (3), mean of the photo (3), share of the
   photo's detail, share of the detail of the mirrored place. */
enum { TX_MEAN = 3, TX_OWN = 6, TX_MIRRORED = 7, TX_PLAN = 8 };

/* What a surface of the head has in the head's layout. */
typedef struct {
    const float *corners;      /* (T, 3, 2) of each of the head's triangles: a corner and its edges */
    const int32_t *source;     /* (n,) the triangle that each vertex lies on; below 0: on hair */
    const float *weights;      /* (n, 2) of the second and third corner */
    const uint32_t *triangles; /* (m, 3) */
    size_t vertex_count, triangle_count;
    float strip, share; /* of the atlas: width of the strip around the head's island, its height */
} tx_surface;

/* Places of a surface in the atlas; free it with tx_free_layout. */
typedef struct {
    float *uv;             /* (n, 2) in the head's layout */
    uint32_t *order;       /* (3 n) number of each vertex on the head, beyond the seam, in the hair */
    uint8_t *used;         /* (n) bits: which of these there are */
    uint8_t *where;        /* (m) how the triangle lies */
    size_t in_hair, count; /* number of the first in hair; of all */
    int hairy;
} tx_layout;

/* The hair's disk: the skull's middle and axes, (3, 3), the angle from the second to its rim,
   radians, how much larger its middle is shown, its radii, and the lower place of its middle,
   shares of the atlas' sides. */
typedef struct {
    const float *middle, *axes;
    float reach, growth, radii[2], centre;
} tx_frame;

/* A mesh in the atlas. What a place shows: the point of the photo, shares of its sides, and its
   weight, 0 to 1. */
typedef struct {
    const float *places;       /* (k, 2) in the atlas, shares of its sides */
    const uint32_t *triangles; /* (m, 3); those with a corner below ``first`` are left out */
    const float *seen;         /* (k - first, 3) what the others show */
    size_t triangle_count;
    uint32_t first;
} tx_mesh;

/* Which point of the head each node shows. */
typedef struct {
    const int32_t *corners; /* (count, 3) vertices */
    const float *shares;    /* (count, 2) of the second and third */
    size_t count;
} tx_nodes;

/* What hides points: least depth of head and of hair, in a cell and within EDGE cells, and distance
   to the outline, of side x side cells each; and the lines of the photo's border, (side_count, 3).
   bare: whether the points are skin. */
typedef struct {
    const float *head, *hair, *head_around, *hair_around, *inside;
    int bare;
    size_t side;
    const float *sides; /* distance inside: dot product with (x, y, 1) */
    size_t side_count;
} tx_depths;

typedef struct {
    const uint32_t *pixels; /* height x width, at least 2 x 2: red is the lowest byte, then green */
    size_t height, width;
} tx_photo;

/* Make pixels of three channels each. */
void tx_pixels(const uint8_t *channels, size_t count, uint32_t *pixels);

/* Average 2 x 2 pixels; an odd last row or column is left out. */
void tx_halve(const tx_photo *photo, uint32_t *out);

/* Number the places of a surface. Returns 0 without memory. */
int tx_lay_out(const tx_surface *surface, tx_layout *layout);

/* Write ``count`` places, (count, 2), and sources, and the triangles, (m, 3). Places in the hair
   are left to the caller. */
void tx_write_layout(const tx_surface *surface, const tx_layout *layout, float *places,
                     uint32_t *source, uint32_t *triangles);

void tx_free_layout(tx_layout *layout);

/* Set places of vertices in the hair's disk, (count, 2). which: (count,) the vertices. */
void tx_disk(const float *vertices, const uint32_t *which, size_t count, const tx_frame *frame,
             float *places);

/* Transform listed rows, (count, 3), by a matrix, (3, 4). */
void tx_move(const float *rows, const uint32_t *which, size_t count, const float *matrix,
             float *out);

/* Least z of triangles at the centre of each cell, infinite where there is none: two maps of
   side x side, one of the head and one of hair, the triangles with a vertex of source below 0.
   vertices: (count, 3), x and y in cells. Returns 0 without memory. */
int tx_depth(const float *vertices, const int32_t *source, size_t count,
             const uint32_t *triangles, size_t triangle_count, size_t side, float *depth);

/* Least depth within two cells, and distance to what is infinitely far in both maps, up to 3.8
   cells: exact for each cell nearer than that, some larger number elsewhere. maps, around: two of
   side x side, as of tx_depth; inside: side x side. Returns 0 without memory. */
int tx_outline(const float *maps, size_t side, float *around, float *inside);

/* Unit normals of vertices, (count, 3), outwards; 0 without a triangle of some area. */
void tx_normals(const float *vertices, size_t count, const int32_t *triangles,
                size_t triangle_count, float *normals);

/* What vertices show, (count, 3): shares of the sides, -1 to 2, and how well each is visible.
   which: (count,) the vertices. */
void tx_seen(const float *vertices, const float *normals, const uint32_t *which, size_t count,
             const tx_depths *depths, float *seen);

/* Draw the trace of the triangles that have a corner of weight above 0. Triangles that bridge
   places far apart, and overhangs, which lie the other way round, are drawn below the others. */
void tx_trace(const tx_mesh *mesh, size_t nodes, float *trace);

/* Set nodes of the trace that always show the same points of the head's triangles. seen:
   (count, 3) what its vertices show. Returns 0 without memory. */
int tx_trace_head(const tx_nodes *table, const float *seen, size_t count, float *trace);

/* Fade the photo towards what is not seen. mouth: (cells, cells), other than 0 in the mouth; cells
   divides nodes. Returns 0 without memory. */
int tx_fade(float *trace, size_t nodes, const uint8_t *mouth, size_t cells);

/* Mean of colour times weight, and of weight, (cells, cells, 4), of each cell's nodes. cells
   divides nodes. Returns 0 without memory. */
int tx_gather(const float *trace, size_t nodes, const tx_photo *photo, size_t cells, float *sums);

/* Paint an atlas, side x side x 3: the plan's colour + share (photo - mean), and the same detail of
   the texel mirrored left to right. cells divides nodes, and nodes divides side. Returns 0 without
   memory. */
int tx_blend(const float *trace, size_t nodes, const float *plan, size_t cells,
             const tx_photo *photo, size_t side, uint8_t *picture);

#endif

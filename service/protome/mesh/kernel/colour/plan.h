/* Plan an atlas: what its cells have of the photo, and what fills them. Without Python. */

#ifndef PROTOME_PLAN_H
#define PROTOME_PLAN_H

#include "texture.h"

/* Groups of regions, as in fill.py. */
enum { TX_SKIN, TX_NECK, TX_HAIR, TX_LIPS, TX_EYES, TX_DARK, TX_GROUPS };

/* Added to a colour before its logarithm is taken. */
static const float TX_FLOOR = 12;

/* What is known of the side x side cells; side is a power of two, 2 to 256. */
typedef struct {
    size_t side;
    const float *sums;     /* (side, side, 4) the photo's colours times their weight, the weight */
    const uint8_t *groups; /* (side, side) */
    const uint8_t *mouth;  /* (side, side) not 0 in the mouth and next to it */
    const float *facing;   /* (side, side, 3) direction that the cell faces */
    size_t rows, strip;    /* of the head's island, and of the strips around it */
} tx_cells;

/* Write the plan, (side, side, TX_PLAN). Returns 0 without memory. */
int tx_plan(const tx_cells *cells, float *plan);

/* Estimate the logarithm of the light on each cell from the skin's colours, (side, side).
   own: the share of the photo. room: 5 (side, side). */
void tx_light(const tx_cells *cells, float *const colours[3], const float *own, float *room,
              float *light);

/* Directions that triangles face, (side, side), for twice as many cells along each side:
   (2 side, 2 side, 3), about unit. corners: (side, side, 3) vertices. Returns 0 without memory. */
int tx_facing(const float *vertices, const int32_t *corners, size_t side, float *facing);

#endif
